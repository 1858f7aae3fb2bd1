"""What tests of the object store share: settings for a server, a moment when it serves, streams, and forms as a browser posts them."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator

import httpx2

from backplane.errors import Permanent, Transient
from backplane.objects.s3 import Objects
from backplane.objects.shapes import Upload
from backplane.settings import Settings, load_settings
from cli import embedded
from tests.services import Server


def settings_for(server: Server, **overrides: object) -> Settings:
    """Two buckets of their own on a server."""
    access, secret = embedded.seaweedfs_keys(server.folder)
    name = uuid.uuid4().hex[:12]
    values: dict[str, object] = {
        "s3_url": f"http://127.0.0.1:{server.port}",
        "s3_access_key": access,
        "s3_secret_key": secret,
        "s3_bucket": f"clean-{name}",
        "s3_quarantine_bucket": f"quarantine-{name}",
    }
    return load_settings({}, environment="development", **(values | overrides))


@contextlib.asynccontextmanager
async def opened(settings: Settings, **limits: float) -> AsyncIterator[Objects]:
    objects = await Objects.open(settings, **limits)
    try:
        yield objects
    finally:
        await objects.close()


async def when_it_serves(objects: Objects) -> None:
    """Until buckets can be made and objects stored: the server listens before it can."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(Transient, Permanent):
                await objects.ensure_buckets()
                await objects.quarantine.put_stream("is it there?", stream(b"yes"), "text/plain", 3)
                await objects.quarantine.delete("is it there?")
                return
            await asyncio.sleep(0.05)


async def stream(content: bytes, size: int = 65536) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def content_of(objects: Objects, key: str) -> bytes:
    info = await objects.quarantine.head(key)
    assert info is not None
    return b"".join([chunk async for chunk in objects.quarantine.read(key, etag=info.etag)])


async def put(objects: Objects, key: str, content: bytes, content_type: str = "text/plain") -> str:
    return await objects.quarantine.put_stream(key, stream(content), content_type, len(content))


async def post(upload: Upload, content: bytes, *, url: str | None = None, **changed: str | None) -> int:
    """Post a form as a browser does; `changed` fields are set, or left out where None. Returns the status."""
    fields = {name: value for name, value in ({**upload.fields, **changed}).items() if value is not None}
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(url or upload.url, data=fields, files={"file": ("name", content)})
    return answer.status_code


async def get(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.get(url)
