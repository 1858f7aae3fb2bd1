"""People who do everything at once: they write, edit, delete, react, pin, read, bring others in and put them out, and promote them.

Who is in a conversation from beginning to end (`Scene.conversations`) is owed all of it; guests come and go and are owed what is theirs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.histories.client import Client
from tests.histories.records import Text
from tests.system.scene import OUTBOX_LIMIT, Scene

EMOJI = (":ok:", "👍", "🎉")


class Mixture:
    """What the people of a scene do, at random; `done` counts it."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.rng = scene, scene.rng
        self.done = 0
        groups = [room for room, members in scene.conversations.items() if len(members) > 2]
        self.groups = {room: scene.conversations[room] for room in groups}
        self.guests = {
            room: [user for user in scene.users if user not in members][:3] for room, members in self.groups.items()
        }
        self.edits = 0

    async def go_on(self, operations: int, *, per_second: float) -> None:
        """So many things are done, sends among them."""
        began, start = time.monotonic(), self.done
        while self.done - start < operations:
            ahead = (self.done - start) / per_second - (time.monotonic() - began)
            await asyncio.sleep(max(ahead, 0.0))
            move = self.rng.choices(list(MOVES), weights=list(MOVES.values()))[0]
            self.done += await move(self)

    # Moves: 1 if something was asked for

    async def say(self) -> int:
        sent = self.scene.sent
        self.scene.say_something()
        return self.scene.sent - sent

    async def edit(self) -> int:
        client = self.anybody()
        message = self.known_to(client, own=True) if client else None
        if not client or not message:
            return 0
        self.edits += 1
        client.changes.want(
            message.conversation_id, "message.edit", message.message_id, f"edit {self.edits} of {client.device}"
        )
        return 1

    async def delete(self) -> int:
        client = self.anybody()
        message = self.known_to(client, own=True) if client else None
        if not client or not message:
            return 0
        client.changes.want(message.conversation_id, "message.delete", message.message_id)
        return 1

    async def react(self) -> int:
        client = self.anybody()
        message = self.known_to(client) if client else None
        if not client or not message:
            return 0
        kind = self.rng.choice(["reaction.add", "reaction.add", "reaction.remove"])
        client.changes.want(message.conversation_id, kind, message.message_id, self.rng.choice(EMOJI))
        return 1

    async def pin(self) -> int:
        """Who may and who may not: a member of a group is refused."""
        client = self.anybody()
        message = self.known_to(client) if client else None
        if not client or not message:
            return 0
        method = self.rng.choice(["PUT", "PUT", "DELETE"])
        over = (method, f"/api/messages/{message.message_id}/pin", None)
        client.changes.want(message.conversation_id, "message.pin", message.message_id, method, over=over)
        return 1

    async def read(self) -> int:
        client = self.anybody()
        if not client or not client.highest:
            return 0
        room = self.rng.choice(sorted(client.highest))
        await client.mark(room, self.rng.randint(1, client.highest[room]))
        return 1

    async def bring_in_or_put_out(self) -> int:
        room = self.rng.choice(list(self.groups))
        owner = self.device_of(self.groups[room][0])
        if not owner or not self.guests[room]:
            return 0
        guest, path = self.rng.choice(self.guests[room]), f"/api/conversations/{room}/members"
        if self.rng.random() < 0.5:
            over = ("POST", path, {"user_ids": [guest]})
            owner.changes.want(room, "member.add", guest, over=over)
        else:
            owner.changes.want(room, "member.remove", guest, over=("DELETE", f"{path}/{guest}", None))
        return 1

    async def promote(self) -> int:
        room = self.rng.choice(list(self.groups))
        owner = self.device_of(self.groups[room][0])
        if not owner:
            return 0
        user, role = self.rng.choice(self.groups[room][1:]), self.rng.choice(["admin", "member"])
        over = ("PATCH", f"/api/conversations/{room}/members/{user}", {"role": role})
        owner.changes.want(room, "member.role", user, role, over=over)
        return 1

    # Whom and what

    def anybody(self) -> Client | None:
        ready = [client for client in self.scene.clients if _ready(client)]
        return self.rng.choice(ready) if ready else None

    def device_of(self, user: str) -> Client | None:
        ready = [client for client in self.scene.clients if client.user == user and _ready(client)]
        return self.rng.choice(ready) if ready else None

    def known_to(self, client: Client, *, own: bool = False) -> Text | None:
        """One of the newer messages that this device has, so that people meet at the same ones."""
        newest = list(client.messages.values())[-60:]
        found = [one for one in newest if one.sender_id is not None and not one.deleted]
        found = [one for one in found if not own or one.sender_id == client.user]
        return self.rng.choice(found) if found else None


def _ready(client: Client) -> bool:
    return client.reading.is_set() and not client.dead and len(client.changes) < OUTBOX_LIMIT


MOVES: dict[Callable[[Mixture], Awaitable[int]], float] = {
    Mixture.say: 45,
    Mixture.edit: 12,
    Mixture.delete: 3,
    Mixture.react: 16,
    Mixture.pin: 6,
    Mixture.read: 12,
    Mixture.bring_in_or_put_out: 4,
    Mixture.promote: 2,
}
