"""What is on screen is not told again."""

from typing import Any

from msgspec.structs import replace

from cli.chat.names import Names
from cli.chat.shown import REMEMBERED, Shown
from headrace_client import Attachment, Message
from headrace_client.entities import Content

NAMES = Names("A", {"A": "alice", "B": "bob"})


def message(seq: int = 1, rev: int = 1, text: str | None = "hello", **fields: Any) -> Message:
    content = None if text is None else Content(text)
    return Message(
        message_id=f"m{seq}", conversation_id="c", seq=seq, rev=rev, sender_id="B", content=content, **fields
    )


def test_a_message_is_new_once() -> None:
    shown = Shown()
    assert shown.is_new(message(2))
    shown.note(message(2))
    assert not shown.is_new(message(2))
    assert not shown.is_new(message(1)), "what is older than the screen is history"
    assert shown.is_new(message(3))


def test_a_change_that_the_screen_has_is_not_told() -> None:
    shown = Shown()
    shown.note(message(rev=5, text="five"))
    assert shown.change("message.edited", message(rev=4, text="four"), "B", NAMES) == []
    assert len(shown.change("message.edited", message(rev=6, text="six"), "B", NAMES)) == 1
    assert shown.change("message.edited", message(rev=6, text="six"), "B", NAMES) == []


def test_a_change_that_is_not_told_counts_for_the_next_difference() -> None:
    shown = Shown()
    shown.note(message())
    assert shown.change("thread.updated", message(rev=2, reply_count=1), "B", NAMES) == []
    told = shown.change("reaction.added", message(rev=3, reactions={"👍": ("B",)}), "B", NAMES)
    told += shown.change("reaction.removed", message(rev=4), "B", NAMES)
    assert [line.text for line in told] == ["#1 👍 bob", "#1 👍 bob: taken back"]


def test_what_changed_while_away_is_told_of_what_is_on_screen_alone() -> None:
    shown = Shown()
    for seq in (1, 2, 3):
        shown.note(message(seq))
    missed = [
        line.text
        for now in (
            message(1, 2, None, deleted_at="later"),
            message(2, 2, "hi", edited_at="later"),
            message(3),
            message(4, 2, "new", edited_at="later"),
        )
        for line in shown.missed(now, NAMES)
    ]
    assert missed == ["#1 bob: deleted", "#2 bob (edited): hi"]


def test_a_verdict_that_came_while_away_is_told() -> None:
    shown = Shown()
    file = Attachment(attachment_id="f", name="a.txt", size=3)
    shown.note(message(1, text="", attachments=(file,)))
    clean = message(1, 2, "", attachments=(replace(file, status="clean"),))
    assert [line.text for line in shown.missed(clean, NAMES)] == ["#1 [a.txt 3B]"]
    assert list(shown.missed(clean, NAMES)) == []


def test_old_versions_are_forgotten() -> None:
    shown = Shown()
    for seq in range(1, REMEMBERED + 2):
        shown.note(message(seq))
    forgotten, known = (list(shown.missed(message(seq, 2, None), NAMES)) for seq in (1, 2))
    assert (forgotten, len(known)) == ([], 1)
    assert not shown.is_new(message(1))
