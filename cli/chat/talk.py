"""The conversation as both views see it. A view gives `talk.show`, which prints one line, and calls `enter` with what was typed."""

from collections.abc import Callable
from dataclasses import dataclass

from cli.output import printable
from headrace_client import (
    AnyEvent,
    Api,
    ApiError,
    Client,
    Conversation,
    Event,
    Message,
    OutboxFull,
    Rejected,
    Rejection,
    Resynced,
    Sending,
    Unreachable,
)

HISTORY = 20
HELP = """\
/list                       your conversations
/open NUMBER|TITLE|ID       go to one of them
/new @user                  a direct conversation
/new @user @user TITLE      a group
/users TEXT                 people whose name begins so
/quit                       leave"""


@dataclass(slots=True)
class Mine:
    """A message of ours on its way."""

    sending: Sending
    text: str


class Quit(Exception):
    """The person wants to leave."""


class Talk:
    """One person's conversations, one of them open."""

    def __init__(self, api: Api, client: Client) -> None:
        self.api, self.client = api, client
        self.show: Callable[[str], None] = print
        self.mine: dict[str, Mine] = {}
        self.failed = 0
        self._me = ""
        self._open: Conversation | None = None
        self._conversations: dict[str, Conversation] = {}
        self._names: dict[str, str] = {}
        self._shown: dict[str, int] = {}

    @property
    def title(self) -> str:
        """What the open conversation is called."""
        return self._title(self._open) if self._open else "no conversation: /new @user"

    async def start(self, wanted: str | None) -> None:
        """Learn who we are and what there is, and open the conversation that is wanted, or the latest.

        Raises:
            ValueError: there is no such conversation.
            ApiError: the server refused.
            Unreachable: it did not answer.
        """
        me = await self.api.me()
        self._me, self._names[me.user_id] = me.user_id, me.username
        await self._load()
        found = self._find(wanted) if wanted else next(iter(self._conversations.values()), None)
        if wanted and found is None:
            raise ValueError(f"there is no conversation {wanted!r}; /list shows yours")
        self._open = found

    async def history(self) -> None:
        """Print the newest messages of the open conversation."""
        if self._open is None:
            return
        self.show(f"-- {self.title} --")
        for message in await self.api.messages(self._open.conversation_id, limit=HISTORY):
            await self._print(message)

    # What is typed

    async def enter(self, line: str) -> None:
        """Send a line, or do what a /command asks.

        Raises:
            Quit: it was /quit.
            OutboxFull: too many messages wait; the line was not taken.
        """
        line = line.strip()
        if not line:
            return
        try:
            if line.startswith("/"):
                await self._command(*_split(line))
            else:
                self._send(line)
        except (ApiError, Unreachable, ValueError) as failure:
            self.show(f"!! {failure}")

    def _send(self, text: str) -> None:
        if self._open is None:
            raise ValueError("open a conversation first: /list, /open, /new")
        sending = self.client.send(self._open.conversation_id, text)
        self.mine[sending.client_msg_id] = Mine(sending, text)

    async def _command(self, word: str, rest: str) -> None:
        match word:
            case "/help":
                self.show(HELP)
            case "/list":
                await self._load()
                for number, conversation in enumerate(self._conversations.values(), 1):
                    mark = "*" if self._open and conversation.conversation_id == self._open.conversation_id else " "
                    unread = f"  ({conversation.unread_count} new)" if conversation.unread_count else ""
                    self.show(f"{mark}{number:>3}  {self._title(conversation)}{unread}")
            case "/open":
                found = self._find(rest)
                if found is None:
                    raise ValueError(f"there is no conversation {rest!r}; /list shows yours")
                self._open = found
                self._shown.pop(found.conversation_id, None)
                await self.history()
            case "/new":
                await self._new(rest)
            case "/users":
                for user in await self.api.users(rest.lstrip("@")):
                    self.show(f"@{printable(user.username)}  {printable(user.display_name)}")
            case "/quit" | "/exit":
                raise Quit
            case _:
                raise ValueError(f"{word} is no command; /help shows them")

    async def _new(self, rest: str) -> None:
        words = rest.split()
        names = [word.lstrip("@") for word in words if word.startswith("@")]
        title = " ".join(word for word in words if not word.startswith("@")) or None
        if not names:
            raise ValueError("say with whom: /new @user")
        members = [await self._user_id(name) for name in names]
        direct = len(members) == 1 and title is None
        self._open = await self.api.create("direct" if direct else "group", members, title)
        self._conversations[self._open.conversation_id] = self._open
        await self._learn(self._open)
        await self.history()

    async def _user_id(self, name: str) -> str:
        for user in await self.api.users(name):
            if user.username == name:
                self._names[user.user_id] = user.username
                return user.user_id
        raise ValueError(f"there is no user @{name}; /users {name[:2]} shows similar ones")

    # What arrives

    async def hear(self, event: AnyEvent) -> None:
        """Show what concerns a person."""
        match event:
            case Resynced(state):
                self._conversations = {each.conversation_id: each for each in state.conversations}
                for conversation in state.conversations:
                    await self._learn(conversation)
                    if self._open and conversation.conversation_id == self._open.conversation_id:
                        for message in conversation.messages:
                            await self._print(message)
            case Event("message.created", data=Message() as message):
                await self._print(message)
            case Event("conversation.created", data=Conversation() as conversation):
                self._conversations[conversation.conversation_id] = conversation
                await self._learn(conversation)
                if conversation.created_by != self._me:
                    self.show(f"-- {self._title(conversation)}: you were added; /list --")
            case Event("message.rejected", data=Rejection() as rejection):
                self._rejected(rejection)
            case _:
                pass

    async def settled(self, mine: Mine) -> None:
        """Wait until a message of ours is stored; one that is refused at once, before any event, is shown here."""
        try:
            await mine.sending.stored
        except Rejected as failure:
            if self.mine.pop(mine.sending.client_msg_id, None):
                self.failed += 1
                self.show(f"!! not sent: {mine.text} — {failure.message}")

    def _rejected(self, rejection: Rejection) -> None:
        mine = self.mine.pop(rejection.client_msg_id or "", None)
        if mine is not None:
            self.failed += 1
            self.show(f"!! not sent: {mine.text} — {printable(rejection.error.message)}")

    async def _print(self, message: Message) -> None:
        self.mine.pop(message.client_msg_id or "", None)
        if message.seq <= self._shown.get(message.conversation_id, 0) or message.content is None:
            return
        self._shown[message.conversation_id] = message.seq
        name = await self._name(message.sender_id)
        text = "\n    ".join(printable(line) for line in message.text.split("\n"))
        if self._open and message.conversation_id == self._open.conversation_id:
            self.show(f"#{message.seq} {name}: {text}")
        elif message.sender_id != self._me:
            where = self._conversations.get(message.conversation_id)
            self.show(f"-- {self._title(where) if where else 'elsewhere'}: {name}: {text} --")

    # Names

    async def _load(self) -> None:
        self._conversations = {each.conversation_id: each for each in await self.api.conversations()}
        for conversation in self._conversations.values():
            await self._learn(conversation)

    def _find(self, wanted: str) -> Conversation | None:
        everything = list(self._conversations.values())
        if wanted.isdecimal() and 0 < int(wanted) <= len(everything):
            return everything[int(wanted) - 1]
        names = {wanted, wanted.lstrip("@")}
        return next((each for each in everything if each.conversation_id == wanted or self._title(each) in names), None)

    async def _learn(self, conversation: Conversation) -> None:
        """Names that `_title` needs: of the other person of a direct conversation."""
        if conversation.kind == "direct":
            for member in conversation.members:
                await self._name(member.user_id)

    async def _name(self, user_id: str | None) -> str:
        if user_id is None:
            return "somebody"
        if user_id not in self._names:
            try:
                self._names[user_id] = printable((await self.api.user(user_id)).username)
            except (ApiError, Unreachable):
                return user_id[:8]
        return self._names[user_id]

    def _title(self, conversation: Conversation) -> str:
        if conversation.title:
            return printable(conversation.title)
        others = [self._names.get(each.user_id, "?") for each in conversation.members if each.user_id != self._me]
        return ", ".join(others) or conversation.conversation_id


def _split(line: str) -> tuple[str, str]:
    word, _, rest = line.partition(" ")
    return word, rest.strip()


def say_full(failure: OutboxFull) -> str:
    """What a person reads when nothing more can be taken."""
    return f"!! {failure}; wait until the server is back"
