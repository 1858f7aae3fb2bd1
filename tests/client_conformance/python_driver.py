"""The Python SDK, driven over stdin and stdout (`program.py` says how)."""

import asyncio
import json
import selectors
import sys
import time
from collections import deque
from typing import Any

import msgspec

from headrace_client import (
    AnyEvent,
    ApiError,
    Client,
    Ephemeral,
    Event,
    HeadraceError,
    Link,
    Message,
    Rejected,
    Resynced,
    Sending,
    Stopped,
    Unknown,
)

Frame = dict[str, Any]


class FastSelector(selectors.DefaultSelector):
    """Waits less long than it is asked to."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout / self._speed if timeout else timeout)


class FastLoop(asyncio.SelectorEventLoop):
    """A loop whose clock runs faster than the world's."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        super().__init__(FastSelector(speed))

    def time(self) -> float:
        return time.monotonic() * self._speed


def say(frame: Frame) -> None:
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


class Driven:
    """One client, and what it is told to do: a method for each command."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tokens: deque[asyncio.Future[str]] = deque()
        self.watched: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def start(
        self,
        *,
        url: str,
        token: str | None,
        store: str | None = None,
        device: str | None = None,
        outbox: int = 1000,
        hold: bool = False,
    ) -> None:
        self.client = Client(
            url,
            token=token if token is not None else self._ask,
            store=store,
            device_id=device,
            outbox_cap=outbox,
        )
        await self.client.__aenter__()
        self.events = self.client.events()
        self._spawn(self._follow_links())
        if hold:
            self._next()
        else:
            self._spawn(self._follow_events())

    async def close(self) -> None:
        await self.client.close()

    async def send(self, *, conversation_id: str, text: str, **fields: Any) -> Frame:
        return self._follow(self.client.send(conversation_id, text, **fields))

    async def edit(self, *, message: Frame, text: str, only_if_unchanged: bool = False) -> Frame:
        return self._follow(self.client.edit(as_message(message), text, only_if_unchanged=only_if_unchanged))

    async def delete(self, *, message: Frame) -> Frame:
        return self._follow(self.client.delete(as_message(message)))

    async def react(self, *, message: Frame, emoji: str, remove: bool = False) -> Frame:
        return self._follow(self.client.react(as_message(message), emoji, remove=remove))

    async def read(self, *, conversation_id: str, seq: int, private: bool = False, **fields: Any) -> None:
        self.client.mark(conversation_id, read_seq=seq, private=private, **fields)

    async def typing(self, *, conversation_id: str, stop: bool = False) -> None:
        self.client.typing(conversation_id, stop=stop)

    async def watch(self, *, conversation_id: str) -> None:
        self.client.watch(conversation_id)

    async def unwatch(self, *, conversation_id: str) -> None:
        self.client.unwatch(conversation_id)

    async def subscribe(self, *, user_ids: list[str]) -> None:
        self.client.subscribe_presence(user_ids)

    async def unsubscribe(self, *, user_ids: list[str]) -> None:
        self.client.unsubscribe_presence(user_ids)

    async def status(self, *, status: Any) -> None:
        self.client.set_presence(status)

    async def pending(self) -> Frame:
        return {"keys": [sending.client_msg_id for sending in self.client.pending()]}

    async def take(self) -> None:
        """What was handed out is handled: on disk when this returns, if nothing else waits."""
        self._next()
        await asyncio.sleep(0)  # the task has asked for the next event by then

    async def token(self, *, token: str | None = None, error: Frame | None = None) -> None:
        wanted = self.tokens.popleft()
        if error is None:
            wanted.set_result(token or "")
        else:
            wanted.set_exception(ApiError(**error))

    # What happens

    async def _ask(self) -> str:
        self.tokens.append(asyncio.get_running_loop().create_future())
        self._report("token")
        return await self.tokens[-1]

    def _next(self) -> None:
        self._spawn(self._hand_out())

    async def _hand_out(self) -> None:
        try:
            self._report("item", **described(await anext(self.events)))
        except StopAsyncIteration:
            pass
        except Stopped as stopped:
            self._report("stopped", code=stopped.code, reason=stopped.reason)

    async def _follow_events(self) -> None:
        try:
            async for item in self.events:
                self._report("item", **described(item))
        except Stopped as stopped:
            self._report("stopped", code=stopped.code, reason=stopped.reason)

    async def _follow_links(self) -> None:
        async for link in self.client.links():
            self._report("link", link=link.value)
            if link is Link.CONNECTED:
                for sending in self.client.pending():  # those of an earlier run among them
                    self._follow(sending)

    def _follow(self, sending: Sending) -> Frame:
        key = sending.client_msg_id
        if key not in self.watched:
            self.watched.add(key)
            self._spawn(self._follow_sending(sending))
        return {"key": key}

    async def _follow_sending(self, sending: Sending) -> None:
        key = sending.client_msg_id
        try:
            await sending.accepted
            self._report("sending", key=key, state="accepted")
            message = await sending.stored
            self._report("sending", key=key, state="stored", seq=message.seq, text=message.text)
        except Rejected as rejected:
            self._report("sending", key=key, state="rejected", code=rejected.code)
        except Stopped as stopped:
            self._report("sending", key=key, state="stopped", code=stopped.code)

    def _report(self, kind: str, /, **fields: object) -> None:
        say({"report": kind, "client": self.name} | fields)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def as_message(frame: Frame) -> Message:
    return msgspec.convert(frame, Message)


def described(item: AnyEvent) -> Frame:
    match item:
        case Resynced(state, reason):
            rooms = {each.conversation_id: [one.text for one in each.messages] for each in state.conversations}
            return {
                "kind": "resynced",
                "name": "resynced",
                "reason": reason,
                "position": state.position,
                "rooms": rooms,
            }
        case Event(name, event_id, _, position, data, actor_id):
            known = {"event_id": event_id, "position": position, "actor_id": actor_id}
            return {"kind": "event", "name": name, "data": plain(data)} | known
        case Ephemeral(name, data):
            return {"kind": "ephemeral", "name": name, "data": plain(data)}


def plain(data: Any) -> Any:
    return json.loads(data.json) if isinstance(data, Unknown) else msgspec.to_builtins(data)


async def main() -> None:
    clients: dict[str, Driven] = {}
    reader = asyncio.StreamReader(limit=2**22)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        number, do, name = command.pop("n"), command.pop("do"), command.pop("client")
        if do == "start":
            clients[name] = Driven(name)
        try:
            if do == "reset":
                await asyncio.gather(*(client.close() for client in clients.values()))
                clients.clear()
                answer = None
            else:
                answer = await getattr(clients[name], do)(**command)
        except (HeadraceError, ValueError) as failure:
            say({"n": number, "ok": False, "error": type(failure).__name__})
        else:
            say({"n": number, "ok": True} | (answer or {}))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=lambda: FastLoop(float(sys.argv[1]))) as runner:
        runner.run(main())
