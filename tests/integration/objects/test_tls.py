"""S3 behind TLS: a CA of one's own is believed, and nobody else's."""

from pathlib import Path

import pytest

from backplane.errors import Transient
from backplane.objects.s3 import Objects
from backplane.settings import Settings
from tests.objects import content_of, opened, put
from tests.tls import Authority, tls_in_front_of

pytestmark = pytest.mark.anyio


async def test_a_ca_of_one_s_own_is_believed_and_nobody_else_s(
    objects: Objects, s3_settings: Settings, tmp_path: Path
) -> None:
    ours, others = Authority(tmp_path / "ours"), Authority(tmp_path / "others")
    port = int((s3_settings.s3_url or "").rpartition(":")[2])
    with tls_in_front_of(port, ours.issue()) as front:
        behind = s3_settings.model_copy(update={"s3_url": f"https://127.0.0.1:{front.port}"})
        async with opened(behind.model_copy(update={"s3_ca_file": str(ours.path)})) as encrypted:
            await put(encrypted, "encrypted", b"seen by nobody")
            assert await content_of(encrypted, "encrypted") == b"seen by nobody"
        assert front.connections > 0
        for authority in (str(others.path), None):
            async with opened(behind.model_copy(update={"s3_ca_file": authority})) as deceived:
                with pytest.raises(Transient, match="SSLError"):
                    await deceived.ping()
