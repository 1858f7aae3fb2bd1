"""The promises over the wire while nothing is broken: the measure for what the faults may cost."""

from pathlib import Path

import pytest

from tests.system.scene import open_scene
from tests.system.stack import run_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_what_is_sent_is_seen_by_every_device_in_one_order(tmp_path: Path) -> None:
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await scene.people(6)
        await scene.devices(each=2)
        await scene.converse(directs=6, groups=[4, 6])
        await scene.talk(300, per_second=100)
        report = await scene.verdict(tmp_path)
        assert report.figures.stored == 300
