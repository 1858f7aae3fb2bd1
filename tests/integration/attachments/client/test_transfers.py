"""Uploads and downloads of the SDK: through cuts, around an S3 that is away, and what is refused."""

import asyncio
import io
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from PIL import Image

from backplane.objects.s3 import Objects
from headrace_client import Api, ApiError, Client, Event, FileChanged, Message, Resynced, Unreachable, View
from headrace_client.carrier import in_thread
from headrace_client.content import look_at
from headrace_client.transfer import post
from headrace_client.tries import StoreRefusal
from tests.door import Door
from tests.integration.attachments.client.conftest import LARGE_BYTES, Progress, digest, names_in
from tests.services import EICAR

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]

MB = 1_000_000
EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(EXPIRED), EXPIRED)


async def test_a_large_file_comes_through_cut_connections_both_ways(
    ann: Api, door: Door, large: Path, tmp_path: Path
) -> None:
    told, size = Progress(), LARGE_BYTES
    door.cuts.extend([1 * MB, 7 * MB, 15 * MB])
    before = door.connections
    file = await ann.upload(large, progress=told)
    assert (file.name, file.size, file.content_type) == ("large.bin", size, "application/octet-stream")
    assert door.connections == before + 4
    told.check(size)
    assert (await ann.wait_scanned(file.attachment_id, 30)).status == "clean"

    told, before, down = Progress(), door.connections, door.down
    door.cuts.extend([1 * MB, 8 * MB, 5 * MB])
    assert await ann.download(file.attachment_id, tmp_path / "got.bin", progress=told) == size
    assert digest(tmp_path / "got.bin") == digest(large)
    assert door.connections == before + 4
    assert door.down - down < size + 4 * 10_000, "each connection went on where the last one was lost"
    told.check(size)
    assert names_in(tmp_path) == ["got.bin"]


async def test_a_transfer_holds_a_few_chunks_in_memory(ann: Api, url: str, large: Path, tmp_path: Path) -> None:
    small, program = tmp_path / "small.bin", tmp_path / "transfers.py"
    small.write_bytes(b"\0" * 100_000)
    program.write_text(
        "import asyncio, resource, sys\n"
        "from headrace_client import Api, Session\n"
        "async def both(api, path):\n"
        "    file = await api.upload(path)\n"
        "    assert (await api.wait_scanned(file.attachment_id, 30)).status == 'clean'\n"
        "    await api.download(file.attachment_id, path + '.got')\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "async def main(url, token, small, large, got):\n"
        "    api = Api(url, Session(access_token=token, expires_in=600))\n"
        "    before = await both(api, small)\n"
        "    print(await both(api, large) - before)\n"
        "asyncio.run(main(*sys.argv[1:]))\n"
    )
    own = tmp_path / "large.bin"
    own.symlink_to(large)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, program, url, await ann.token(), small, own, tmp_path), stdout=subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert int(out) < 8_000, "KiB more for 20 MB than for 100 kB"
    assert digest(tmp_path / "large.bin.got") == digest(large)


async def test_around_an_s3_that_can_not_be_reached_the_gateway_takes_it(ann: Api, door: Door, tmp_path: Path) -> None:
    content, told = b"hello\n" * 100_000, Progress()
    async with door.closed():
        file = await ann.upload(content, name="a.txt", progress=told)
        assert file.status != "uploading"
        told.check(len(content))
        assert (await ann.wait_scanned(file.attachment_id)).status == "clean"
        with pytest.raises(Unreachable, match="can not be reached"):
            await ann.download(file.attachment_id, tmp_path / "a.txt", seconds=0.1)
        assert names_in(tmp_path) == []
    into = io.BytesIO()
    await ann.download(file.attachment_id, into)
    assert into.getvalue() == content


async def test_a_form_that_has_expired_is_asked_for_anew(ann: Api, door: Door) -> None:
    door.answers.append(REFUSED)
    file = await ann.upload(b"hello", name="a.txt")
    assert (await ann.wait_scanned(file.attachment_id)).status == "clean"
    door.answers.append(REFUSED)
    into = io.BytesIO()
    await ann.download(file.attachment_id, into)
    assert into.getvalue() == b"hello"


async def test_what_the_store_refuses_twice_is_refused(ann: Api, door: Door) -> None:
    door.answers.extend([REFUSED, REFUSED])
    with pytest.raises(ApiError, match="403 AccessDenied") as refused:
        await ann.upload(b"hello", name="a.txt")
    assert (refused.value.code, refused.value.temporary) == ("upload_refused", False)


async def test_the_real_store_refuses_an_expired_form_as_one_to_be_asked_for_anew(objects: Objects, door: Door) -> None:
    source = look_at(b"hello", "a.txt", None, lambda: None)
    form = await objects.presign_upload("x", source.content_type, min_bytes=5, max_bytes=5, seconds=-5)
    with pytest.raises(StoreRefusal):
        await in_thread(lambda carrier: post(carrier, form.url, dict(form.fields), source), lambda _count, _total: None)


async def test_the_same_key_goes_on_with_the_same_file(ann: Api, door: Door) -> None:
    content, key = b"line\n" * MB, str(uuid.uuid4())
    door.cuts.append(MB)
    async with asyncio.timeout(30):
        with pytest.raises(Unreachable):
            await ann.upload(content, name="a.txt", key=key, seconds=0.0)
    first = await ann.upload(content, name="a.txt", key=key)
    up, told = door.up, Progress()
    again = await ann.upload(content, name="a.txt", key=key, progress=told)
    assert again.attachment_id == first.attachment_id
    assert door.up == up, "it is there, and is not sent again"
    told.check(len(content))
    with pytest.raises(ApiError) as refused:
        await ann.upload(content + b"!", name="a.txt", key=key)
    assert refused.value.code == "idempotency_conflict"


async def test_an_upload_whose_answer_was_lost_is_not_sent_again(ann: Api, door: Door) -> None:
    content, before, connections = b"line\n" * MB, door.up, door.connections
    door.silences += 1
    file = await ann.upload(content, name="a.txt")
    assert (await ann.wait_scanned(file.attachment_id)).status == "clean"
    assert (door.connections - connections, door.silences) == (1, 0)
    assert len(content) < door.up - before < len(content) + 10_000


async def test_a_download_begins_anew_where_another_object_is_found(ann: Api, door: Door) -> None:
    content = b"line\n" * 10_000
    file = await ann.upload(content, name="a.txt")
    await ann.wait_scanned(file.attachment_id)
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nETag: "another"\r\n\r\n'.encode()
    door.answers.append(head + b"x" * 20_000)
    into = io.BytesIO()
    await ann.download(file.attachment_id, into)
    assert into.getvalue() == content


async def test_an_object_of_another_size_is_not_the_file(ann: Api, door: Door, tmp_path: Path) -> None:
    file = await ann.upload(b"hello", name="a.txt")
    await ann.wait_scanned(file.attachment_id)
    door.answers.append(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell")
    with pytest.raises(FileChanged, match="5 bytes"):
        await ann.download(file.attachment_id, tmp_path / "a.txt")
    assert names_in(tmp_path) == []


async def test_an_infected_file_is_refused_with_its_reason(ann: Api, tmp_path: Path) -> None:
    with pytest.raises(ApiError) as refused:
        await ann.attachment(str(uuid.uuid4()))
    assert refused.value.code == "not_found"
    file = await ann.upload(EICAR, name="a.bin")
    found = await ann.wait_scanned(file.attachment_id)
    assert (found.status, found.judged) == ("infected", True)
    assert found.reason
    with pytest.raises(ApiError) as refused:
        await ann.download(file.attachment_id, tmp_path / "a.bin")
    assert refused.value.code == "attachment_gone"
    assert names_in(tmp_path) == []


async def test_a_picture_has_its_size_and_a_thumbnail(ann: Api, tmp_path: Path) -> None:
    Image.new("RGB", (900, 600), "teal").save(tmp_path / "photo.png")
    with (tmp_path / "photo.png").open("rb") as opened:
        file = await ann.upload(opened)
    found = await ann.wait_scanned(file.attachment_id)
    assert (found.name, found.width, found.height) == ("photo.png", 900, 600)
    assert found.thumbnail is not None
    into = io.BytesIO()
    assert await ann.download(file.attachment_id, into, thumbnail=True) == len(into.getvalue())
    assert Image.open(into).size == (found.thumbnail.width, found.thumbnail.height)


async def test_a_cancelled_upload_lets_go_of_the_file_at_once(ann: Api, door: Door, large: Path) -> None:
    with large.open("rb") as opened:
        begun = asyncio.Event()
        task = asyncio.create_task(ann.upload(opened, progress=lambda _count, _total: begun.set()))
        await asyncio.wait_for(begun.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)


async def test_files_wait_in_the_outbox_for_the_next_run_and_their_verdict_is_told(
    ann: Api, ben: Api, url: str, tmp_path: Path
) -> None:
    room = (await ann.create("direct", [(await ben.me()).user_id])).conversation_id
    file = await ann.upload(b"hello", name="a.txt")
    async with Client("http://127.0.0.1:9", token=ann.token, store=tmp_path / "ann.db") as client:
        client.send(room, attachments=[file.attachment_id])
    view = View((await ben.me()).user_id)
    async with (
        Client(url, token=ann.token, store=tmp_path / "ann.db", deliver=False) as client,
        Client(url, token=ben.token) as reader,
        asyncio.timeout(30),
    ):
        async for event in reader.events():
            view.apply(event)
            match event:
                case Resynced() | Event(data=Message()):
                    told = view.rooms[room].messages.get(1)
                    if told is not None and [each.status for each in told.attachments] == ["clean"]:
                        break
                case _:
                    pass
        assert client.pending() == []
    assert told.text == ""
    assert await ben.messages(room) == (told,)
    into = io.BytesIO()
    await ben.download(told.attachments[0].attachment_id, into)
    assert into.getvalue() == b"hello"
