"""The web client's files over real HTTP: headers, validators, deep links, and nothing that is not one of them."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator

import httpx2
import pytest

from backplane.settings import load_settings
from gateway.app import make_server
from gateway.rest.application import make_application
from gateway.web_client import FOLDER, PAGES, content_security_policy, prepare, reachable, web_routes
from tests.services import free_port

pytestmark = pytest.mark.anyio

ROOM = "0190a3c4-5b6d-7e8f-9a0b-1c2d3e4f5a6b"
SETTINGS = load_settings(
    {},
    environment="development",
    allowed_hosts="127.0.0.1,chat.example",
    s3_url="http://s3.internal:8333",
    s3_public_url="https://files.example",
    s3_cdn_url="https://cdn.example",
    s3_access_key="key",
    s3_secret_key="secret",
)


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    server = make_server(make_application(web_routes(SETTINGS), SETTINGS), ())
    server.config.port = port = free_port()
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield port
    server.should_exit = True
    await task


@pytest.fixture(scope="module")
async def web(port: int) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        yield http


async def raw(port: int, target: str) -> tuple[int, bytes]:
    """What a request line gets that no client library would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/ops", "text/html; charset=utf-8"),
        ("/sw.js", "text/javascript; charset=utf-8"),
        ("/web/app/main.js", "text/javascript; charset=utf-8"),
        ("/web/sdk/index.js", "text/javascript; charset=utf-8"),
        ("/web/styles/base.css", "text/css; charset=utf-8"),
        ("/web/icons/icon.svg", "image/svg+xml"),
        ("/web/manifest.webmanifest", "application/manifest+json"),
    ],
)
async def test_a_file_is_served_with_its_type_and_every_protection(
    web: httpx2.AsyncClient, path: str, media_type: str
) -> None:
    answer = await web.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    if not path.startswith("/web/"):
        assert "; script-src 'self'; style-src 'self'; " in answer.headers["content-security-policy"]
        assert "camera=()" in answer.headers["permissions-policy"]
    assert re.fullmatch(r'"[0-9a-f]{32}(-gzip)?"', answer.headers["etag"])


async def test_the_policy_names_the_object_store_as_browsers_reach_it_and_nobody_else() -> None:
    rules = dict(rule.split(" ", 1) for rule in content_security_policy(SETTINGS).split("; "))
    assert rules["connect-src"] == "'self' wss://127.0.0.1 wss://chat.example https://files.example"
    assert rules["img-src"] == "'self' blob: data: https://files.example https://cdn.example"
    assert "unsafe" not in content_security_policy(SETTINGS)
    without = content_security_policy(load_settings({}, environment="development"))
    assert "connect-src 'self';" in without
    assert "http" not in without


async def test_a_page_has_no_script_and_no_style_of_its_own_which_the_policy_would_refuse(
    web: httpx2.AsyncClient,
) -> None:
    for path in ("/", "/ops"):
        page = (await web.get(path)).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", page)
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
        assert "<!-- preloads -->" not in page


async def test_a_deep_link_is_the_same_page(web: httpx2.AsyncClient) -> None:
    page = await web.get("/")
    for path in (f"/c/{ROOM}", f"/c/{ROOM}/t/{ROOM}", "/settings"):
        linked = await web.get(path)
        assert (linked.status_code, linked.content) == (200, page.content)


@pytest.mark.parametrize(
    "path", ["/c/nobody", f"/c/{ROOM}/x", "/web", "/web/", "/web/app", "/web/app/", "/web/missing.js", "/index.html"]
)
async def test_what_is_no_file_is_the_documented_problem(web: httpx2.AsyncClient, path: str) -> None:
    answer = await web.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors")


@pytest.mark.parametrize(
    "target",
    [
        "/web/../web_client.py",
        "/web/app/../../app.py",
        "/web/%2e%2e/web_client.py",
        "/web/..%2fweb_client.py",
        "/web/app/..%5c..%5capp.py",
        "/web//app/main.js",
        "/web/./app/main.js",
        "/web/app/main.js%00.css",
        "/web/package.json",
        "/web/tsconfig.json",
        "/web/node_modules/typescript/package.json",
        "/../../etc/passwd",
    ],
)
async def test_no_path_leads_out_of_the_table(port: int, target: str) -> None:
    status, answer = await raw(port, target)
    assert status in {400, 404}
    assert b"import" not in answer


async def test_a_tag_that_is_known_saves_the_body(web: httpx2.AsyncClient) -> None:
    first = await web.get("/web/app/main.js")
    for asked in (first.headers["etag"], f"W/{first.headers['etag']}", f'"other", {first.headers["etag"]}', "*"):
        again = await web.get("/web/app/main.js", headers={"If-None-Match": asked})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert (await web.get("/web/app/main.js", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_the_two_forms_have_two_tags_and_the_same_content(web: httpx2.AsyncClient) -> None:
    plain = await web.get("/web/app/main.js", headers={"Accept-Encoding": "identity"})
    zipped = await web.get("/web/app/main.js", headers={"Accept-Encoding": "br;q=1, gzip;q=0.5"})
    refused = await web.get("/web/app/main.js", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.headers["etag"] == plain.headers["etag"][:-1] + '-gzip"'
    assert zipped.content == plain.content == refused.content
    assert "Accept-Encoding" in plain.headers["vary"]
    assert int(zipped.headers["content-length"]) < len(plain.content) / 2


async def test_head_has_the_headers_alone_and_other_methods_are_refused(web: httpx2.AsyncClient) -> None:
    got, asked = await web.get("/"), await web.head("/")
    assert asked.content == b""
    assert asked.headers["etag"] == got.headers["etag"]
    assert asked.headers["content-length"] == got.headers["content-length"]
    refused = await web.post("/")
    assert refused.status_code == 405
    assert refused.json()["code"] == "method_not_allowed"


async def test_everything_that_a_page_needs_is_there_and_told_ahead(web: httpx2.AsyncClient) -> None:
    page = (await web.get("/")).text
    named = re.findall(r'(?:href|src)="(/web/[^"]+)"', page)
    modules = set(re.findall(r'rel="modulepreload" href="(/web/[^"]+)"', page))
    assert {"/web/app/main.js", "/web/sdk/index.js", "/web/app/timeline.js"} <= modules
    for path in named:
        assert (await web.get(path)).status_code == 200, path
    kept = re.search(r'"paths": (\[[^\]]*\])', (await web.get("/sw.js")).text)
    assert kept
    for path in re.findall(r'"([^"]+)"', kept[1]):
        assert (await web.get(path)).status_code == 200, path


async def test_the_first_load_is_small() -> None:
    files = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*.js")}
    modules = [files[name] for name in reachable(files, "app/main.js")]
    styles = [path.read_bytes() for path in FOLDER.glob("styles/*.css")]
    assert sum(len(gzip.compress(one)) for one in [*modules, *styles]) < 150_000


def test_another_content_is_another_release_for_the_service_worker() -> None:
    files = {
        "index.html": b"<p>",
        "sw.js": b'const SHELL = "{{shell}}";',
        "app/main.js": b'import "./a.js";',
        "app/a.js": b"1",
    }
    first, second = prepare(files), prepare(files | {"app/a.js": b"2"})
    assert b'"/web/app/a.js"' in first["sw.js"]
    assert first["sw.js"] != second["sw.js"] != files["sw.js"]
    assert prepare(files, "default-src 'none'")["sw.js"] != first["sw.js"]


def test_imports_are_followed_over_folders_and_round_circles() -> None:
    files = {
        "app/main.js": b'import { a } from "../sdk/index.js";\nexport * from "./b.js";\n',
        "app/b.js": b'import {\n  x,\n} from "./main.js";\n',
        "sdk/index.js": b"export const a = 1;",
        "sdk/unused.js": b"",
    }
    assert reachable(files, "app/main.js") == ["app/main.js", "sdk/index.js", "app/b.js"]


def test_a_page_of_each_address_exists() -> None:
    assert all((FOLDER / name).is_file() for name in PAGES.values())
