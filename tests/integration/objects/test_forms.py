"""Forms by which clients upload by themselves: what they are bound to, the server refuses."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable

import httpx2
import pytest

from backplane.objects.s3 import Objects
from backplane.objects.shapes import Upload
from backplane.settings import Settings
from tests.objects import content_of, get, opened, post

pytestmark = pytest.mark.anyio

CONTENT = b"\x89PNG and so on"


async def form(objects: Objects, key: str, **more: int | bytes) -> Upload:
    bounds = {"min_bytes": 5, "max_bytes": 20, "seconds": 60} | more
    return await objects.presign_upload(key, "image/png", **bounds)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def key() -> str:
    return f"somebody/{secrets.token_hex(8)}"


async def test_a_form_stores_one_object_as_it_says(objects: Objects, key: str) -> None:
    assert await post(await form(objects, key), CONTENT) == 204
    info = await objects.quarantine.head(key)
    assert info is not None
    assert (info.key, info.size, info.content_type) == (key, len(CONTENT), "image/png")
    assert info.etag == hashlib.md5(CONTENT).hexdigest()
    assert await content_of(objects, key) == CONTENT
    assert await objects.clean.head(key) is None


def _longer_life(upload: Upload) -> dict[str, str]:
    policy = json.loads(base64.b64decode(upload.fields["policy"]))
    policy["expiration"] = "2099-01-01T00:00:00Z"
    return {"policy": base64.b64encode(json.dumps(policy).encode()).decode()}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda _: {"Content-Type": "text/html"}, id="another type"),
        pytest.param(lambda _: {"Content-Type": None}, id="no type"),
        pytest.param(lambda _: {"Content-Type": "image/png; charset=x"}, id="a type with more to it"),
        pytest.param(lambda _: {"key": "somebody-else/file"}, id="another key"),
        pytest.param(lambda upload: {"key": upload.fields["key"] + "x"}, id="a longer key"),
        pytest.param(lambda _: {"x-amz-meta-more": "1"}, id="a field too many"),
        pytest.param(_longer_life, id="a policy of one's own"),
        pytest.param(lambda _: {"policy": None}, id="no policy"),
        pytest.param(lambda _: {"x-amz-signature": "0" * 64}, id="a signature of one's own"),
        pytest.param(lambda _: {"x-amz-signature": None}, id="no signature"),
    ],
)
async def test_a_form_that_was_changed_stores_nothing(
    objects: Objects, key: str, changed: Callable[[Upload], dict[str, str | None]]
) -> None:
    upload = await form(objects, key)
    assert await post(upload, CONTENT, **changed(upload)) == 403
    for where in (key, key + "x", "somebody-else/file"):
        assert await objects.quarantine.head(where) is None


@pytest.mark.parametrize("size", [0, 4, 21, 300_000])
async def test_a_file_of_another_size_is_refused(objects: Objects, key: str, size: int) -> None:
    assert await post(await form(objects, key), b"x" * size) == 400
    assert await objects.quarantine.head(key) is None


@pytest.mark.parametrize("size", [5, 20])
async def test_the_bounds_themselves_are_allowed(objects: Objects, key: str, size: int) -> None:
    assert await post(await form(objects, key), b"x" * size) == 204


async def test_a_form_that_has_expired_is_refused(objects: Objects, key: str) -> None:
    assert await post(await form(objects, key, seconds=-1), CONTENT) == 403
    assert await objects.quarantine.head(key) is None


async def test_a_form_can_not_be_posted_to_the_clean_bucket(objects: Objects, key: str, s3_settings: Settings) -> None:
    upload = await form(objects, key)
    url = upload.url.replace(s3_settings.s3_quarantine_bucket, s3_settings.s3_bucket)
    assert url != upload.url
    assert await post(upload, CONTENT, url=url) == 403
    assert await objects.clean.head(key) is None


async def test_a_checksum_that_was_promised_is_kept_to(objects: Objects, key: str) -> None:
    upload = await form(objects, key, sha256=hashlib.sha256(CONTENT).digest())
    assert await post(upload, CONTENT[::-1]) == 400
    assert await objects.quarantine.head(key) is None
    other = base64.b64encode(hashlib.sha256(CONTENT[::-1]).digest()).decode()
    assert await post(upload, CONTENT[::-1], **{"x-amz-checksum-sha256": other}) == 403
    assert await post(upload, CONTENT) == 204


async def test_the_form_leads_to_where_clients_reach_the_store(
    objects: Objects, key: str, s3_settings: Settings
) -> None:
    public = (s3_settings.s3_url or "").replace("127.0.0.1", "localhost")
    async with opened(s3_settings.model_copy(update={"s3_public_url": public})) as elsewhere:
        upload = await form(elsewhere, key)
    assert upload.url.startswith(public + "/")
    assert await post(upload, CONTENT) == 204


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://chat.example", "https://chat.example"), ("https://evil.example", None)]
)
async def test_only_pages_of_allowed_origins_see_the_answer(
    objects: Objects, key: str, origin: str, allowed: str | None
) -> None:
    upload = await form(objects, key)
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with httpx2.AsyncClient(trust_env=False, headers=asked) as client:
        preflight = await client.options(f"{upload.url}/")
        posted = await client.post(upload.url, data=dict(upload.fields), files={"file": ("name", CONTENT)})
    assert preflight.is_success == (allowed is not None)
    assert preflight.headers.get("access-control-allow-origin") == allowed
    assert posted.headers.get("access-control-allow-origin") == allowed


async def test_a_right_that_a_client_adds_to_a_form_is_nobody_s(objects: Objects, key: str) -> None:
    """Amazon refuses the form; SeaweedFS takes it, and ignores the right."""
    upload = await form(objects, key)
    await post(upload, CONTENT, acl="public-read")
    assert (await get(f"{upload.url}/{key}")).status_code == 403
