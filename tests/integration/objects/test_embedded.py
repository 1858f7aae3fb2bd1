"""The embedded SeaweedFS: no port gives anything without a key, and a kill loses nothing."""

import httpx2
import pytest

from backplane.objects.s3 import Objects
from backplane.settings import Settings
from tests.objects import content_of, opened, put, settings_for, when_it_serves
from tests.services import SeaweedServer, seaweedfs_server

pytestmark = pytest.mark.anyio


async def test_no_port_gives_anything_without_a_key(objects: Objects, s3: SeaweedServer) -> None:
    await put(objects, "secret", b"for nobody")
    bucket = objects.quarantine.name
    answers: list[int] = []
    async with httpx2.AsyncClient(trust_env=False, timeout=2) as client:
        for port in (*s3.inner, s3.inner.admin_grpc):
            for path in (f"buckets/{bucket}/secret", f"buckets/{bucket}/", f"{bucket}/secret", f"{bucket}/"):
                try:
                    answer = await client.get(f"http://127.0.0.1:{port}/{path}")
                except httpx2.RemoteProtocolError:
                    continue  # it speaks gRPC alone
                answers.append(answer.status_code)
                assert not answer.is_success
                assert b"for nobody" not in answer.content
    assert {403, 404} <= set(answers)


async def test_a_kill_and_other_ports_lose_nothing(mortal: SeaweedServer) -> None:
    settings: Settings = settings_for(mortal)
    async with opened(settings) as objects:
        await when_it_serves(objects)
        for number in range(20):
            await put(objects, f"kept/{number}", f"content {number}".encode(), "text/x-own")
    mortal.kill()
    again = seaweedfs_server(mortal.folder)
    again.start()
    try:
        assert again.port != mortal.port
        async with opened(settings.model_copy(update={"s3_url": f"http://127.0.0.1:{again.port}"})) as objects:
            await when_it_serves(objects)
            for number in range(20):
                assert await content_of(objects, f"kept/{number}") == f"content {number}".encode()
                info = await objects.quarantine.head(f"kept/{number}")
                assert info is not None
                assert info.content_type == "text/x-own"
    finally:
        again.kill()
