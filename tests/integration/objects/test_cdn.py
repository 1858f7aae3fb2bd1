"""Links that lead through a CDN: it asks the store under the store's own name, and that is what is signed for."""

import asyncio
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from backplane.objects.s3 import Objects
from backplane.settings import Settings
from tests.objects import get, opened, put
from tests.services import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
def cdn(s3_settings: Settings) -> Iterator[tuple[str, list[str]]]:
    """Its address, and what it was asked for."""
    asked: list[str] = []

    class Front(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            try:
                with urllib.request.urlopen(f"{s3_settings.s3_url}{self.path}") as answer:
                    status, body = answer.status, answer.read()
            except urllib.error.HTTPError as refused:
                status, body = refused.code, refused.read()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


async def test_a_link_leads_through_the_cdn_and_counts_at_the_store(
    s3_settings: Settings, cdn: tuple[str, list[str]], objects: Objects
) -> None:
    url, asked = cdn
    await objects.promote("far", await put(objects, "far", b"content"), "far", "text/plain")
    async with opened(s3_settings.model_copy(update={"s3_cdn_url": url})) as behind:
        link = await behind.presign_download("far", 60, file_name="a.txt", content_type="text/plain")
        assert link.startswith(url)
        answer = await get(link)
        assert (answer.status_code, answer.content) == (200, b"content")
        assert len(asked) == 1
        assert (await get(link.replace("Signature=", "Signature=0"))).status_code == 403
        form = await behind.presign_upload("in", "text/plain", min_bytes=1, max_bytes=1, seconds=60)
        assert urlsplit(form.url).netloc == urlsplit(s3_settings.s3_url or "").netloc  # uploads go to the store itself
        short = await behind.presign_download("far", 1, file_name="a.txt", content_type="text/plain")
    await asyncio.sleep(2.1)
    assert (await get(short)).status_code == 403
