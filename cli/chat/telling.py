"""What a person reads of an event. No I/O: names and numbers are looked up before.

Every word of somebody else's goes through `printable`: it must not steer the reader's terminal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cli.chat.names import Names
from cli.output import printable, size
from headrace_client import Attachment, Conversation, Member, MemberChanged, Message
from headrace_client.view import Room

NAMED: Final = 3
"""So many people are named, of more their number is told."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line to print; `calls_me`: somebody wants the reader's attention."""

    text: str
    calls_me: bool = False


def new(message: Message, names: Names, answers: int | None = None) -> Line:
    """`#15 bob: hello`, or `#15 bob ↳ #12: hello` of an answer."""
    arrow = "" if message.reply_to is None and message.thread_root_id is None else f" ↳ #{answers or '?'}"
    said = "deleted" if message.content is None else _said(message)
    edited = " (edited)" if message.edited_at and message.content else ""
    pinned = " [pinned]" if message.pinned_at else ""
    text = f"#{message.seq} {names.of(message.sender_id)}{arrow}{edited}{pinned}: {said}"
    reactions = "  ".join(f"{printable(emoji)} {len(users)}" for emoji, users in message.reactions.items() if users)
    return Line(f"{text}\n    {reactions}" if reactions else text, _calls(message, names))


def elsewhere(message: Message, title: str, names: Names) -> Line:
    """A message in a conversation that is not on screen."""
    return Line(f"-- {title}: {names.of(message.sender_id)}: {_said(message)} --", _calls(message, names))


def change(event: str, after: Message, before: Message | None, actor_id: str | None, names: Names) -> list[Line]:
    """What happened to a message; `before`: how the reader saw it last, if they did."""
    who, number = names.of(actor_id), f"#{after.seq}"
    match event:
        case "message.edited":
            text = f"{number} {names.of(after.sender_id)} (edited): {_lines(after.text)}"
            return [Line(text, _calls(after, names) and not (before and _calls(before, names)))]
        case "message.deleted":
            by = "" if actor_id in {None, after.sender_id} else f" by {who}"
            return [Line(f"{number} {names.of(after.sender_id)}: deleted{by}")]
        case "reaction.added" | "reaction.removed":
            return [Line(f"{number} {told}") for told in _reacted(event, after, before, actor_id, who)]
        case "message.pinned" | "message.unpinned":
            return [Line(f"{number} {event.removeprefix('message.')} by {who}")]
        case "attachment.updated":
            known = {each.attachment_id: each.status for each in before.attachments} if before else {}
            return [
                Line(f"{number} {file(each)}")
                for each in after.attachments
                if known.get(each.attachment_id) != each.status
            ]
        case _:
            return []


def file(attachment: Attachment) -> str:
    """`[photo.png 1.2MiB, scanning …]`, then `[photo.png 1.2MiB 900×600]`, or why nobody gets it."""
    what = f"{printable(attachment.name)} {size(attachment.size)}"
    match attachment.status:
        case "clean":
            pixels = f" {attachment.width}×{attachment.height}" if attachment.width and attachment.height else ""
            return f"[{what}{pixels}]"
        case "uploading":
            return f"[{what}, being uploaded …]"
        case "pending":
            return f"[{what}, scanning …]"
        case status:
            reason = f" ({printable(attachment.reason)})" if attachment.reason else ""
            return f"[{what}, refused: {printable(status)}{reason}]"


def members(event: str, changed: MemberChanged, actor_id: str | None, title: str, names: Names) -> Line:
    """Who came, left, or is something else now; `title`: where."""
    actor_id = changed.actor_id or actor_id
    actor, who = names.of(actor_id), _list(names.of(each.user_id) for each in changed.members)
    mine = any(each.user_id == names.me for each in changed.members) and actor_id != names.me
    alone = all(each.user_id == actor_id for each in changed.members)
    match event:
        case "member.joined":
            text = f"{who} joined" if alone else f"{actor} added {who}"
        case "member.left":
            text = f"{who} left" if alone else f"{actor} removed {who}"
        case _:
            roles = _list(f"{names.of(each.user_id)} is {printable(each.role)}" for each in changed.members)
            text = f"{actor} changed roles: {roles}"
    return Line(f"-- {title}: {text} --", mine)


def settings(known: Conversation, heard: Conversation, actor_id: str | None, names: Names) -> list[Line]:
    """What is different about a conversation: its title for all, muted and archived for oneself."""
    told: list[str] = []
    if heard.rev >= known.rev and heard.title != known.title:
        told.append(f"{names.of(actor_id)} calls this “{printable(heard.title)}”")
    if heard.rev >= known.rev and heard.history != known.history:
        told.append(f"{names.of(actor_id)} lets new members see {_HISTORY.get(heard.history, 'something else')}")
    for name, before, after in (
        ("muted", known.muted_until, heard.muted_until),
        ("archived", known.archived, heard.archived),
    ):
        if isinstance(after, str | bool | None) and bool(before) != bool(after):
            told.append(name if after else f"not {name} any more")
    return [Line(f"-- {text} --") for text in told]


_HISTORY: Final = {"all": "everything", "joined": "what is said from now on"}


def member(each: Member, names: Names, last_seq: int) -> str:
    """A line of /who."""
    read = "everything" if each.read_seq >= last_seq else f"up to #{each.read_seq}" if each.read_seq else "nothing"
    own = " (you)" if each.user_id == names.me else ""
    return f"{printable(each.role):<8} @{names.of(each.user_id)}{own}  has read {read}"


def progress(room: Room, names: Names) -> str:
    """How far one's own newest message has come: `#12 ✓✓ read by bob`."""
    own = max((seq for seq, one in room.messages.items() if one.sender_id == names.me and one.content), default=0)
    others = [each for each in room.members.values() if each.user_id != names.me]
    if read := [names.of(each.user_id) for each in others if own and each.read_seq >= own]:
        return f"#{own} ✓✓ read by {_few(read)}"
    if delivered := [names.of(each.user_id) for each in others if own and each.delivered_seq >= own]:
        return f"#{own} ✓ delivered to {_few(delivered)}"
    return f"#{own} sent" if own else ""


def typing(user_ids: Sequence[str], names: Names) -> str:
    """`bob is typing …`."""
    if not user_ids:
        return ""
    return f"{_few([names.of(user_id) for user_id in user_ids])} {'is' if len(user_ids) == 1 else 'are'} typing …"


def title(conversation: Conversation, member_ids: Iterable[str], names: Names) -> str:
    """What a conversation is called: its title, or who else is in it."""
    if conversation.title:
        return printable(conversation.title)
    others = [names.of(user_id) for user_id in member_ids if user_id != names.me]
    return _list(others) or printable(conversation.conversation_id)


def is_muted(conversation: Conversation, now: datetime) -> bool:
    """Whether one does not want to hear of it now."""
    until = conversation.muted_until
    return isinstance(until, str) and datetime.fromisoformat(until) > now


def _calls(message: Message, names: Names) -> bool:
    return message.sender_id != names.me and not {names.me, "all"}.isdisjoint(message.mentions)


def _reacted(event: str, after: Message, before: Message | None, actor_id: str | None, who: str) -> list[str]:
    if event == "reaction.added":
        return [f"{emoji} {who}" for emoji in _reactions(after, before, actor_id)]
    taken = _reactions(before, after, actor_id) if before else []
    return [f"{emoji} {who}: taken back" for emoji in taken or ["reaction"]]


def _reactions(having: Message, lacking: Message | None, actor_id: str | None) -> list[str]:
    """The emoji with which somebody reacts in one version of a message and not in the other."""
    without = lacking.reactions if lacking else {}
    return [
        printable(emoji)
        for emoji, users in having.reactions.items()
        if actor_id in users and actor_id not in without.get(emoji, ())
    ]


def _said(message: Message) -> str:
    """Its text, and its files: behind it in a line of their own, or in its place."""
    files = " ".join(file(each) for each in message.attachments)
    return "\n    ".join(filter(None, (_lines(message.text), files)))


def _lines(text: str) -> str:
    return "\n    ".join(printable(line) for line in text.split("\n"))


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


def _few(words: list[str]) -> str:
    return _list(words) if len(words) <= NAMED else f"{_list(words[:NAMED])} and {len(words) - NAMED} more"
