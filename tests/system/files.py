"""People who send files on a stack, what each of them is told, and somebody who tries to fetch every file all the time."""

import asyncio
import contextlib
import hashlib
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from backplane.objects.s3 import Objects
from backplane.scans import Scans
from backplane.store.attachments import StoredAttachment
from backplane.store.users import StoredUser
from backplane.streams import Intents
from consumers.scanning.sweep import MARGIN_MS, Sweep, Swept
from consumers.scanning.telling import Teller
from gateway.tokens import Tokens
from schemas.ids import AttachmentId, SessionId, UserId
from tests.objects import opened, settings_for, when_it_serves
from tests.services import SeaweedServer, Server, clamd_server, seaweedfs_server
from tests.system.samples import Sample
from tests.system.stack import Stack, run_stack, until

AWAY = (httpx2.TransportError, httpx2.TimeoutException)
PATIENCE_SECONDS = 60.0
OF_FILES = {"scan_claim_seconds": "2", "attachment_sweep_seconds": "1", "attachment_max_bytes": "30000000"}


@dataclass
class Person:
    """Somebody with a socket, and every message as it is known on it."""

    user_id: str
    token: str
    socket: ClientConnection
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def listen(self) -> None:
        async for raw in self.socket:
            frame = msgspec.json.decode(raw)
            match frame["type"]:
                case "ping":
                    await self.socket.send('{"type":"pong"}')
                case "event" if frame["event"] in {"message.created", "attachment.updated"}:
                    message = frame["data"]
                    known = self.messages.get(message["message_id"])
                    if known is None or known["rev"] < message["rev"]:
                        self.messages[message["message_id"]] = message
                case "resync_required" | "disconnect":
                    raise AssertionError(frame)


@dataclass
class Sent:
    """One file on its way."""

    sample: Sample
    sender: Person
    room: str
    attachment_id: str
    message_id: str | None = None


@dataclass
class Files:
    """A deployment that takes files, and everybody on it."""

    stack: Stack
    seaweedfs: SeaweedServer
    clamd: Server
    objects: Objects
    http: httpx2.AsyncClient
    rng: random.Random
    people: list[Person] = field(default_factory=list)
    rooms: dict[str, list[Person]] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    served: Counter[str] = field(default_factory=Counter)
    """By file: how often it was fetched, content and all."""
    answers: Counter[int] = field(default_factory=Counter)
    """What was answered to who tried to fetch a file."""
    _listening: list[asyncio.Task[None]] = field(default_factory=list)

    # Setting up

    async def join(self, people: int, rooms: int) -> None:
        """Create people with sockets, and groups of all of them."""
        for number in range(people):
            user = UserId(str(uuid.uuid4()))
            name = f"u{number}-{user[:8]}"
            assert await self.stack.store.users.create(
                StoredUser(user_id=user, username=name, display_name=name, password_hash="-", created_ms=1)
            )
            token = Tokens(self.stack.settings).issue(
                user, SessionId(str(uuid.uuid4())), now_ms=time.time_ns() // 1_000_000
            )
            person = Person(user, token, await self._socket(token))
            self._listening.append(asyncio.create_task(person.listen()))
            self.people.append(person)
        first = self.people[0]
        for number in range(rooms):
            body = {"kind": "group", "title": str(number), "member_ids": [one.user_id for one in self.people[1:]]}
            answer = await self.ask(first, "POST", "/api/conversations", json=body)
            assert answer.status_code == 201, answer.text
            self.rooms[answer.json()["conversation_id"]] = self.people

    async def _socket(self, token: str) -> ClientConnection:
        socket = await connect(
            f"ws://{self.stack.addresses[0]}/ws", subprotocols=["headrace.v1"], ping_interval=None, max_queue=None
        )
        await socket.send(msgspec.json.encode({"type": "connect", "token": token, "client": {}}).decode())
        assert msgspec.json.decode(await socket.recv())["type"] == "connected"
        return socket

    async def leave(self) -> None:
        """Hang up; what went wrong at somebody's socket is raised here."""
        for person in self.people:
            await person.socket.close()
        await asyncio.gather(*self._listening)

    # Requests

    async def ask(self, person: Person, method: str, path: str, *, key: str = "", **more: Any) -> httpx2.Response:
        """A request, repeated for as long as something is away."""
        headers = {"Authorization": f"Bearer {person.token}"} | ({"Idempotency-Key": key} if key else {})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = None
            with contextlib.suppress(*AWAY):
                answer = await self.http.request(
                    method, f"http://{self.stack.addresses[0]}{path}", headers=headers | more.get("headers", {}),
                    **{name: value for name, value in more.items() if name != "headers"},
                )  # fmt: skip
                if answer.status_code < 500 and answer.status_code not in {202, 429}:
                    return answer
            assert time.monotonic() < deadline, f"{method} {path}: {answer.text if answer else 'no answer'}"
            await asyncio.sleep(0.2)

    async def send(self, sample: Sample, *, patient: bool) -> None:
        """Announce a file, upload it, say so, and send a message with it; once it is judged, if `patient`."""
        sender, room = self.rng.choice(self.people), self.rng.choice(list(self.rooms))
        said = {"name": f"{sample.kind}.bin", "content_type": sample.media, "size": len(sample.content)}
        said |= {"sha256": sample.sha256} if sample.sha256 else {}
        key = str(uuid.uuid4())
        announced = (await self.ask(sender, "POST", "/api/attachments", key=key, json=said)).json()
        sent = Sent(sample, sender, room, announced["attachment_id"])
        self.sent[sent.attachment_id] = sent
        if not await (self._streamed(sent) if sample.streamed else self._posted(sent, announced["upload"])):
            return
        if patient:
            await until(lambda: self._judged(sent), PATIENCE_SECONDS, f"{sample.kind} is not judged")
        body = {"conversation_id": room, "content": {"text": sample.kind}, "attachments": [sent.attachment_id]}
        answer = await self.ask(sender, "POST", "/api/messages", key=str(uuid.uuid4()), json=body)
        if answer.status_code == 410 and sample.status != "clean":
            return
        assert answer.status_code in {200, 201}, (sample.kind, answer.text)
        sent.message_id = answer.json()["message_id"]

    async def _posted(self, sent: Sent, form: dict[str, Any]) -> bool:
        """By the form, as often as it takes; False where the object store refuses it."""
        path = f"/api/attachments/{sent.attachment_id}/complete"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            status = 0
            with contextlib.suppress(*AWAY):
                content = {"file": ("name", sent.sample.content)}
                status = (await self.http.post(form["url"], data=form["fields"], files=content)).status_code
            if status == 400 and sent.sample.status == "uploading":
                answer = await self.ask(sent.sender, "POST", path)
                assert (answer.status_code, answer.json()["code"]) == (409, "attachment_not_ready")
                return False
            assert status in {0, 200, 201, 204} or status >= 500, (sent.sample.kind, status)
            if 200 <= status < 300 and (await self.ask(sent.sender, "POST", path)).status_code == 200:
                return True
            await asyncio.sleep(0.2)
        raise AssertionError(f"{sent.sample.kind} can not be uploaded")

    async def _streamed(self, sent: Sent) -> bool:
        path = f"/api/attachments/{sent.attachment_id}/content"
        answer = await self.ask(sent.sender, "PUT", path, content=sent.sample.content)
        assert answer.status_code == 200, (sent.sample.kind, answer.text)
        return True

    async def _judged(self, sent: Sent) -> bool:
        answer = await self.ask(sent.sender, "GET", f"/api/attachments/{sent.attachment_id}")
        return answer.json()["status"] != "pending"

    # Somebody who wants to have every file

    async def snatch(self) -> None:
        """Ask for any file as anybody, until cancelled; what comes must be a clean file, and this one."""
        while True:
            if self.sent:
                newest = list(self.sent.values())[-self.rng.choice([8, 1000]) :]
                sent, person = self.rng.choice(newest), self.rng.choice(self.people)
                await self.fetch(sent, person, self.rng.choice(["content", "content", "thumbnail"]))
            await asyncio.sleep(0.02)

    async def fetch(self, sent: Sent, person: Person, what: str = "content") -> bool:
        """Whether the file, or its picture, is served to somebody; it is that file, then, and a clean one."""
        path = f"/api/attachments/{sent.attachment_id}/{what}"
        answer = await self.ask(person, "GET", path, headers={"Accept": "application/json"})
        self.answers[answer.status_code] += 1
        if answer.status_code != 200:
            assert answer.status_code in {404, 409, 410}, answer.text
            return False
        assert sent.sample.status == "clean", f"{sent.sample.kind} is served"
        assert what == "content" or sent.sample.pictured, f"{sent.sample.kind} has a picture"
        with contextlib.suppress(*AWAY):
            got = await self.http.get(answer.json()["url"])
            if got.status_code < 500:
                assert got.status_code == 200, (sent.sample.kind, got.text)
                if what == "content":
                    assert hashlib.sha256(got.content).digest() == hashlib.sha256(sent.sample.content).digest()
                self.served[sent.attachment_id] += 1
                return True
        return False

    # The end

    async def wrong(self) -> list[str]:
        """What is not as it should be by now, in words."""
        found = await self.stack.store.attachments.find([AttachmentId(key) for key in self.sent])
        faults = [
            fault for key, sent in self.sent.items() for fault in self._wrong_with(sent, found[AttachmentId(key)])
        ]
        if (depth := await Scans(self.stack.redis).depth()).entries:
            faults.append(f"{depth.entries} files are in the queue")
        async for one in self.objects.quarantine.list_older("", 2**53):
            file = found.get(AttachmentId(one.key.rpartition("/")[2]))
            if file and one.modified_ms <= file.queued_ms:  # what was complete; anything later S3 did late
                faults.append(f"{one.key} is in quarantine")
        return faults

    async def sweep_late(self) -> int:
        """Have swept what S3 did after all when nobody waited for it any more; returns how many objects that were."""
        store = self.stack.store
        scans = Scans(self.stack.redis)
        teller = Teller(self.stack.settings.names, Intents(self.stack.redis, limit=1))
        sweep = Sweep(
            store.attachments,
            store.messages,
            self.objects,
            scans,
            teller,
            loose_seconds=3600,
            clock=lambda: time.time() + MARGIN_MS / 1000 + 1,
        )
        swept = await sweep.look()
        assert swept == Swept(strays=swept.strays)
        assert [one.key async for one in self.objects.quarantine.list_older("", 2**53)] == []
        return swept.strays

    def _wrong_with(self, sent: Sent, stored: StoredAttachment) -> list[str]:
        sample, faults = sent.sample, list[str]()
        if stored.status != sample.status or not (stored.reason or "").startswith(sample.reason):
            faults.append(f"{sample.kind} is {stored.status}: {stored.reason}, {stored.attempts} attempts")
        if (stored.thumbnail is not None) != sample.pictured:
            faults.append(f"{sample.kind}: its picture is {stored.thumbnail}")
        if sent.message_id:
            shown = [one.messages.get(sent.message_id) for one in self.rooms[sent.room]]
            told = {one["attachments"][0]["status"] if one else "not told" for one in shown}
            if told != {sample.status}:
                faults.append(f"{sample.kind} is told as {told}")
        elif sample.status == "clean":
            faults.append(f"{sample.kind} was not sent")
        return faults

    async def shown_over_rest(self) -> None:
        """Each message is to every member over REST what it is on their sockets; and each clean file can be had, no other."""
        for sent in self.sent.values():
            reader = self.rng.choice([one for one in self.people if one is not sent.sender])
            if sent.message_id:
                message = (await self.ask(reader, "GET", f"/api/messages/{sent.message_id}")).json()
                told = reader.messages[sent.message_id]
                assert (message["rev"], message["attachments"]) == (told["rev"], told["attachments"])
            assert await self.fetch(sent, reader) == (sent.sample.status == "clean"), sent.sample.kind
            assert await self.fetch(sent, reader, "thumbnail") == sent.sample.pictured, sent.sample.kind

    async def dead(self) -> int:
        """How many entries were given up."""
        names = self.stack.settings.names
        counts = [await self.stack.redis.command("XLEN", names.dead(number)) for number in range(names.partitions)]
        return sum(counts)


@contextlib.asynccontextmanager
async def run_files(
    folder: Path, rng: random.Random, *, elsewhere: Path | None = None, **more: Any
) -> AsyncGenerator[Files]:
    """A stack with an object store and a scanner; their data are `elsewhere`, if that is said. `more` as `run_stack` takes it."""
    clamd = clamd_server((elsewhere or folder) / "clamd", StreamMaxLength="40M", MaxFileSize="40M", MaxScanSize="200M")
    if clamd is None:
        pytest.skip("clamd is not installed (Debian: apt-get install clamav-daemon)")
    seaweedfs = seaweedfs_server((elsewhere or folder) / "s3")
    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.callback(lambda: [server.kill() for server in (clamd, seaweedfs)])
        clamd.start()
        seaweedfs.start()
        settings = settings_for(seaweedfs)
        objects = await cleanup.enter_async_context(opened(settings))
        await when_it_serves(objects)
        given = {
            "s3_url": settings.s3_url or "",
            "s3_access_key": settings.s3_access_key.get_secret_value(),
            "s3_secret_key": settings.s3_secret_key.get_secret_value(),
            "s3_bucket": settings.s3_bucket,
            "s3_quarantine_bucket": settings.s3_quarantine_bucket,
            "scanner_url": f"unix://{clamd.folder / 'clamd.ctl'}",
        }
        stack = await cleanup.enter_async_context(run_stack(folder / "stack", **given, **OF_FILES, **more))
        http = await cleanup.enter_async_context(httpx2.AsyncClient(timeout=30, trust_env=False))
        yield Files(stack, seaweedfs, clamd, objects, http, rng)
