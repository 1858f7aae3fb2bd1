"""One person's conversations as both views see them: one of them is open, messages go out, lines are printed.

A view gives `talk.show`, which prints a line, and `talk.changed`, which is called after every event.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from cli.chat import telling
from cli.chat.around import Around
from cli.chat.names import People, mentioned
from cli.chat.shown import Shown
from cli.chat.telling import Line
from cli.chat.transfers import Transfers
from cli.chat.underway import Underway
from headrace_client import Api, ApiError, Attachment, Client, Conversation, Event, Message, Unreachable, View
from headrace_client.view import Room

HISTORY: Final = 20
NAMED: Final = 10
"""So many members of a conversation without a title are asked for their names."""


class Talk:
    """One person's conversations, one of them open."""

    def __init__(self, api: Api, client: Client) -> None:
        self.api, self.client, self.people = api, client, People(api)
        self.names = self.people.names
        self.view = View("")
        self.show: Callable[[Line], None] = lambda line: print(line.text)
        self.changed: Callable[[], None] = lambda: None
        self.mine = Underway(self.say, self._knows)
        self.transfers = Transfers(self.say, self._redraw)
        self.order: Sequence[str] = ()
        """Conversations by their number in the list."""
        self.open_id: str | None = None
        self.shown = Shown()
        self.around = Around(client, self._redraw)
        self.printing = asyncio.Lock()
        """Held by whoever prints messages: history that is still being fetched and an event must not mix."""
        self._marked: dict[str, int] = {}
        self._numbers: dict[str, int] = {}

    @property
    def room(self) -> Room:
        """The open conversation.

        Raises:
            ValueError: none is.
        """
        room = self.view.rooms.get(self.open_id or "")
        if room is None:
            raise ValueError("open a conversation first: /list, /open, /new")
        return room

    @property
    def title(self) -> str:
        """What the open conversation is called."""
        return self.title_of(self.room) if self.open_id in self.view.rooms else "no conversation: /new @user"

    @property
    def progress(self) -> str:
        """How far our newest message has come."""
        return telling.progress(self.room, self.names) if self.open_id in self.view.rooms else ""

    @property
    def typing(self) -> str:
        """Who types."""
        return telling.typing([user for user in self.around.typing if user != self.names.me], self.names)

    @property
    def all_marked(self) -> bool:
        """Whether the server knows what we have read."""
        rooms = ((self.view.rooms.get(key), seq) for key, seq in self._marked.items())
        return all(room is None or room.conversation.read_seq >= seq for room, seq in rooms)

    async def start(self, wanted: str | None) -> None:
        """Learn who we are and what there is, and open the conversation that is wanted, or the latest.

        Raises:
            ValueError: there is no such conversation.
            ApiError: the server refused.
            Unreachable: it did not answer.
        """
        await self.people.sign_in()
        self.view = View(self.names.me)
        self.view.replace(await self.api.sync())
        self.order = list(self.view.rooms)
        await self.learn_titles()
        self.open_id = self.find(wanted) if wanted else next(iter(self.order), None)
        self.look()

    def find(self, wanted: str) -> str:
        """A conversation by its number in the list, its id, or its title.

        Raises:
            ValueError: there is none.
        """
        if wanted.isdecimal() and 0 < int(wanted) <= len(self.order):
            wanted = self.order[int(wanted) - 1]
        names = {wanted, wanted.removeprefix("@")}
        for key, room in self.view.rooms.items():
            if key == wanted or self.title_of(room) in names:
                return key
        raise ValueError(f"there is no conversation {wanted!r}; /list shows yours")

    def title_of(self, room: Room) -> str:
        """What a conversation is called."""
        return telling.title(room.conversation, room.members, self.names)

    async def open(self, conversation_id: str) -> None:
        """Go to a conversation, and print its newest messages."""
        async with self.printing:
            self.open_id, self.shown = conversation_id, Shown()
            self.look()
            await self._history()

    def _redraw(self) -> None:
        self.changed()

    def look(self) -> None:
        """Look after the people of the open conversation."""
        room = self.view.rooms.get(self.open_id or "")
        people = [user for user in room.members if user != self.names.me] if room else ()
        self.around.look_at(self.open_id if room else None, people)

    async def history(self) -> None:
        """Print the newest messages of the open conversation."""
        async with self.printing:
            await self._history()

    async def _history(self) -> None:
        if self.open_id not in self.view.rooms:
            return
        self.say(f"-- {self.title} --")
        for message in await self.api.messages(self.open_id, limit=HISTORY):
            await self.tell(message)

    def say(self, text: str) -> None:
        """Print a line."""
        self.show(Line(text))

    def know(self, conversation: Conversation) -> None:
        """A conversation that we have made; its event may come later."""
        self.view.apply(Event("conversation.created", "", "", "", conversation))

    async def message(self, number: int) -> Message:
        """A message of the open conversation by its number.

        Raises:
            ValueError: there is none.
        """
        room = self.room
        if known := room.messages.get(number):
            return known
        page = await self.api.messages(room.conversation.conversation_id, after_seq=max(0, number - 1), limit=1)
        if not page or page[0].seq != number:
            raise ValueError(f"there is no #{number} here")
        return page[0]

    # What goes out

    async def send(
        self,
        text: str,
        answers: Message | None = None,
        *,
        files: Sequence[Attachment] = (),
        room: Room | None = None,
    ) -> None:
        """Send a message, in the thread of another if it answers one; into a `room` that need not be open any more."""
        room = room or self.room
        root = (answers.thread_root_id or answers.message_id) if answers else None
        sending = self.client.send(
            room.conversation.conversation_id,
            text,
            attachments=[file.attachment_id for file in files],
            reply_to=answers.message_id if answers else None,
            thread_root_id=root,
            mentions=await self._mentions(room, text),
        )
        self.mine.add(sending, text or " ".join(file.name for file in files))

    async def _mentions(self, room: Room, text: str) -> list[str]:
        """Who of the members is called. Without the server, those whose names are known: a message can be sent at any time."""
        found: list[str] = []
        me = room.members.get(self.names.me)
        for name in mentioned(text):
            if name == "all" and room.conversation.kind == "group" and me and me.role in {"owner", "admin"}:
                found.append(name)
            with suppress(ValueError, ApiError, Unreachable):
                user_id = await self.people.find(name)
                found += [user_id] if user_id in room.members else []
        return found

    def _knows(self, message: Message) -> bool:
        room = self.view.rooms.get(message.conversation_id)
        known = room.messages.get(message.seq) if room else None
        return room is None or (known is not None and known.rev >= message.rev)

    # What is printed

    async def tell(self, message: Message) -> None:
        """Print a message of the open conversation: then it is read."""
        answered = message.reply_to or message.thread_root_id
        await self.people.learn((message.sender_id,))
        number = await self._number(message.conversation_id, answered) if answered else None
        self.mine.printed(message)
        self.shown.note(message)
        self.show(telling.new(message, self.names, number))
        self._mark(message)

    def _mark(self, message: Message) -> None:
        room = self.view.rooms.get(message.conversation_id)
        if room is not None and message.seq > max(
            room.conversation.read_seq, self._marked.get(message.conversation_id, 0)
        ):
            self._marked[message.conversation_id] = message.seq
            self.client.mark(message.conversation_id, read_seq=message.seq)

    async def _number(self, conversation_id: str, message_id: str) -> int | None:
        """Of the message that is answered, which may be older than what is known here."""
        if message_id not in self._numbers:
            room = self.view.rooms.get(conversation_id)
            known = room.messages.values() if room else ()
            seq = next((each.seq for each in known if each.message_id == message_id), None)
            if seq is None:
                with suppress(ApiError, Unreachable):
                    seq = (await self.api.message(message_id)).seq
            if seq is None:
                return None
            self._numbers[message_id] = seq
        return self._numbers[message_id]

    async def learn_titles(self) -> None:
        """The names that titles are made of: of the people in conversations without one."""
        for room in self.view.rooms.values():
            if not room.conversation.title:
                await self.people.learn(list(room.members)[:NAMED])
