"""What may not be served ends as it is documented, and at no moment can anybody get at it: the whole way, on a real S3 server and a real clamd."""

import hashlib
import random
import uuid
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from backplane.objects.s3 import Objects
from backplane.objects.shapes import Upload
from backplane.scans import Scans
from backplane.settings import Settings
from tests.integration.attachments.conftest import Join, Sender, running
from tests.integration.attachments.watching import watching, when_nothing_is_left
from tests.objects import post, put
from tests.services import EICAR
from tests.unit.consumers.imaging.photos import halves, saved
from tests.unit.consumers.inspection.samples import ZEROS, bomb, gzipped, nested, tarred, zip_by_hand, zipped

pytestmark = pytest.mark.anyio

ZIP = "application/zip"
OCTETS = "application/octet-stream"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SIGNATURE = "Eicar-Test-Signature.UNOFFICIAL"
"""As clamd calls what is in a set of one's own."""
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
TRAVERSING = zipped({"../../etc/cron.d/x": b"x"})
TRUNCATED = zipped({"a.txt": b"some text " * 100})[:-30]


def over_the_total() -> bytes:
    """One member of 510 MB, packed to a hundredth: no bomb by its ratio."""
    packer, noise, crc, packed = zlib.compressobj(1, zlib.DEFLATED, -15), random.Random(5).randbytes(10_000), 0, b""
    for _ in range(510):
        piece = noise + ZEROS[10_000:]
        crc = zlib.crc32(piece, crc)
        packed += packer.compress(piece)
    packed += packer.flush()
    return zip_by_hand(b"large", packed, 510 * len(ZEROS), crc)


@dataclass(frozen=True)
class Case:
    """A file that ends so; `at_store`: put with the server's own keys, past the form. `reason` None: the scanner chooses the words."""

    name: str
    media: str
    content: bytes
    status: str
    reason: str | None
    at_store: bool = False
    sha256: str | None = None

    @property
    def id(self) -> str:
        return self.name.replace(" ", "_")


CASES = [
    Case("eicar", "text/plain", EICAR, "infected", SIGNATURE),
    Case("eicar as octets", OCTETS, EICAR, "infected", SIGNATURE),
    Case("eicar in zip", ZIP, zipped({"eicar.com": EICAR}), "infected", SIGNATURE),
    Case("eicar in zip in zip", ZIP, nested(EICAR, 2), "infected", SIGNATURE),
    Case("eicar in tar gz", "application/gzip", gzipped(tarred({"e": EICAR})), "infected", SIGNATURE),
    Case("eicar behind a picture", "image/png", saved(halves(40, 20), "PNG") + EICAR, "infected", None),
    Case("encrypted zip", ZIP, zip_by_hand(b"secret", b"x" * 20, 8, 0, flags=1), "unscannable", "encrypted"),
    Case("zip bomb", ZIP, bomb(60), "unscannable", "archive_ratio"),
    Case("zip bomb with a huge member", ZIP, bomb(600), "unscannable", "archive_ratio"),
    Case("zip with a member over the total", ZIP, over_the_total(), "unscannable", "archive_size"),
    Case("zip bomb that lies", ZIP, bomb(60, said=100), "unscannable", None),
    Case("zips too deep", ZIP, nested(b"x", 6), "unscannable", "archive_depth"),
    Case("zip with a path", ZIP, TRAVERSING, "unscannable", "archive_names"),
    Case("damaged zip", ZIP, TRUNCATED, "unscannable", "archive_damaged"),
    Case("text as png", "image/png", b"only text", "error", "wrong_type"),
    Case("octets as text", "text/plain", b"text, and then \xff\xfe\x00", "error", "wrong_type"),
    Case("zip as docx", DOCX, zipped({"a": b"a"}), "error", "wrong_type"),
    Case("html", "text/html", b"<!doctype html><script>alert(1)</script>", "error", "active_content"),
    Case("html as text", "text/plain", b"<html><body onload=alert(1)>", "error", "active_content"),
    Case("svg", "image/svg+xml", SVG, "error", "active_content"),
    Case("exe", OCTETS, b"MZ\x90\x00" + bytes(range(256)), "error", "active_content"),
    Case("elf as png", "image/png", b"\x7fELF" + bytes(60), "error", "active_content"),
    Case("wrong checksum", "text/plain", b"not that", "error", "wrong_checksum", True, hashlib.sha256(b"x").hexdigest()),
    Case("eicar past the form", OCTETS, EICAR + b"past", "infected", SIGNATURE, True),
]  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What became of all cases; by the names of the cases."""

    owner: Sender
    member: Sender
    room: str
    files: dict[str, str]
    verdicts: dict[str, dict[str, Any]]
    got: list[str]
    asked: int


@pytest.fixture(scope="module")
async def judged(file_settings: Settings, objects: Objects, storing: None, join: Join) -> AsyncIterator[Judged]:
    """All of them are uploaded, sent, and only then scanned, while somebody asks for them all the time."""
    owner, member = await join(), await join()
    room = await owner.group(member)
    files: dict[str, str] = {}
    async with watching(file_settings, owner, member) as watcher:
        for case in CASES:
            sha256 = case.sha256 or hashlib.sha256(case.content).hexdigest()
            announced = await owner.announce(case.content, f"{case.id}.bin", case.media, sha256=sha256)
            files[case.name] = file = announced["attachment_id"]
            watcher.watch(file, owner)
            if case.at_store:
                await put(objects, f"{owner.user_id}/{file}", case.content, case.media)
            else:
                assert await owner.post(announced, case.content) in {200, 201, 204}
            assert (await owner.complete(file)).json()["status"] == "pending"
            assert (await owner.send(room, file)).status_code == 201
        await watcher.once_more()
        async with running(file_settings, "scan"):
            verdicts = {name: await member.verdict(file) for name, file in files.items()}
            await watcher.once_more()
            for file in files.values():
                await when_nothing_is_left(objects, file, owner.user_id)
        yield Judged(owner, member, room, files, verdicts, watcher.got, watcher.asked)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_a_file_that_is_not_clean_ends_as_documented(judged: Judged, case: Case) -> None:
    verdict = judged.verdicts[case.name]
    assert verdict["status"] == case.status
    assert verdict["reason"] == case.reason or (case.reason is None and verdict["reason"])
    assert {"width", "height", "thumbnail"}.isdisjoint(verdict)
    for person in (judged.owner, judged.member):
        answer = await person("GET", f"/api/attachments/{judged.files[case.name]}/content")
        assert (answer.status_code, answer.json()["code"]) == (410, "attachment_gone")


async def test_nothing_was_to_be_had_at_any_moment(judged: Judged) -> None:
    assert judged.asked > 2 * 7 * len(CASES)
    assert judged.got == []


async def test_messages_show_what_became_of_their_files(judged: Judged) -> None:
    page = await judged.member.page_until(
        judged.room, lambda messages: all(one["attachments"][0]["status"] != "pending" for one in messages)
    )
    shown = {one["attachments"][0]["attachment_id"]: one["attachments"][0] for one in page}
    assert shown == {judged.files[name]: verdict for name, verdict in judged.verdicts.items()}


async def test_the_queue_is_empty_in_the_end(judged: Judged, scans: Scans) -> None:
    assert await scans.depth() == (0, None)


@pytest.mark.parametrize("size", [1, 60_000_000])
async def test_a_file_over_the_limit_is_refused_whatever_size_it_says(storing: None, alice: Sender, size: int) -> None:
    content = bytes(60_000_000)
    body = {"name": "a.bin", "content_type": OCTETS, "size": size}
    answer = await alice("POST", "/api/attachments", json=body, key=str(uuid.uuid4()))
    if size > 30_000_000:
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        return
    announced = answer.json()
    assert 400 <= await alice.post(announced, content) < 500
    assert (await alice.complete(announced["attachment_id"])).json()["code"] == "attachment_not_ready"


@pytest.mark.parametrize("content", [b"more than was said", b"less"])
async def test_a_file_of_another_size_is_never_complete(
    storing: None, objects: Objects, alice: Sender, content: bytes
) -> None:
    announced = await alice.announce(b"what was said")
    file = announced["attachment_id"]
    assert 400 <= await alice.post(announced, content) < 500
    await put(objects, f"{alice.user_id}/{file}", content)
    answer = await alice.complete(file)
    assert (answer.status_code, answer.json()["code"]) == (409, "attachment_not_ready")
    assert (await alice("GET", f"/api/attachments/{file}")).json()["status"] == "uploading"


async def test_a_form_takes_no_other_content_than_was_announced(
    storing: None, objects: Objects, alice: Sender, bob: Sender
) -> None:
    announced, his = await alice.announce(b"hello"), await bob.announce(b"hello")
    fields = announced["upload"]["fields"]
    tampered: list[tuple[bytes, dict[str, str | None]]] = [
        (b"jello", {}),
        (b"hello", {"Content-Type": "text/html"}),
        (b"hello", {"key": fields["key"] + "x"}),
        (b"hello", {"key": f"{bob.user_id}/{his['attachment_id']}"}),
        (b"hello", {"policy": his["upload"]["fields"]["policy"]}),
        (b"jello", {"x-amz-checksum-sha256": None, "x-amz-checksum-algorithm": None}),
    ]
    for content, changed in tampered:
        assert 400 <= await alice.post(announced, content, **changed) < 500, changed
    form = announced["upload"]
    clean = form["url"].replace(objects.quarantine.name, objects.clean.name)
    assert 400 <= await post(Upload(form["url"], fields, 0), b"hello", url=clean) < 500, "into the other bucket"
    assert await objects.clean.head(fields["key"]) is None
    for person, file in ((alice, announced["attachment_id"]), (bob, his["attachment_id"])):
        assert await objects.quarantine.head(f"{person.user_id}/{file}") is None
        assert (await person.complete(file)).json()["code"] == "attachment_not_ready"


async def test_a_file_is_nobody_elses(storing: None, alice: Sender, bob: Sender) -> None:
    room = await alice.group(bob)
    announced = await alice.announce(b"mine")
    file = announced["attachment_id"]

    async def touched_by_bob() -> list[httpx2.Response]:
        path = f"/api/attachments/{file}"
        return [
            await bob("GET", path),
            await bob.complete(file),
            await bob("PUT", f"{path}/content", content=b"evil"),
            await bob("GET", f"{path}/content"),
            await bob("GET", f"{path}/thumbnail"),
            await bob("DELETE", path),
        ]

    assert {answer.status_code for answer in await touched_by_bob()} == {404}
    await alice.post(announced, b"mine")
    await alice.complete(file)
    assert {answer.status_code for answer in await touched_by_bob()} == {404}
    sent = await bob.send(room, file)
    assert (sent.status_code, sent.json()["code"]) == (422, "unknown_attachment")
