"""What one was doing survives what happens around it: drafts, panels, the place where one reads, focus, clicks."""

from collections.abc import Awaitable, Callable

import pytest

from tests.browser.conftest import Window
from tests.browser.scenery import Somebody

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.timeout(90)]

Join = Callable[..., Awaitable[Somebody]]
Open = Callable[..., Awaitable[Window]]


async def test_a_panel_goes_with_its_room(join: Join, window: Open) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    await ann.group("Mill", ben)
    await ann.group("Wheel", ben)
    hers = await window(ann)
    await hers.open("Mill")
    await hers.page.get_by_role("button", name="Members and settings").click()
    await hers.page.locator("hr-details h3", has_text="Mill").wait_for()
    await hers.open("Wheel")
    await hers.page.get_by_role("heading", name="Wheel", level=1).wait_for()
    assert await hers.page.locator("hr-details").count() == 0
    await hers.page.get_by_role("button", name="Members and settings").click()
    await hers.page.locator("hr-details h3", has_text="Wheel").wait_for()
    await hers.page.get_by_role("button", name="Close details").click()
    await hers.page.locator(".panel").wait_for(state="hidden")
