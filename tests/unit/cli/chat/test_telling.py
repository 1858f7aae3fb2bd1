"""What a person reads: pure, from events to lines."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cli.chat import telling
from cli.chat.names import Names
from cli.chat.telling import Line
from headrace_client import Attachment, Conversation, Member, MemberChanged, Message
from headrace_client.entities import Content
from headrace_client.view import Room

NAMES = Names("A", {"A": "alice", "B": "bob", "C": "carol", "D": "dave", "E": "eve"})


def message(text: str | None = "hello", **fields: Any) -> Message:
    content = None if text is None else Content(text)
    given = {"message_id": "m12", "conversation_id": "c", "seq": 12, "rev": 1, "sender_id": "B"} | fields
    return Message(content=content, **given)


def room(*members: Member, **fields: Any) -> Room:
    return Room(
        Conversation(conversation_id="c", kind="group", **fields), {member.user_id: member for member in members}
    )


@pytest.mark.parametrize(
    ("said", "reads"),
    [
        (message(), "#12 bob: hello"),
        (message("two\nlines"), "#12 bob: two\n    lines"),
        (message(sender_id=None), "#12 somebody: hello"),
        (message(sender_id="0123456789"), "#12 01234567: hello"),
        (message(None), "#12 bob: deleted"),
        (message(edited_at="2026-11-22T13:00:00Z"), "#12 bob (edited): hello"),
        (message(pinned_at="2026-11-22T13:00:00Z"), "#12 bob [pinned]: hello"),
        (message(reactions={"👍": ("A", "C"), "🎉": ()}), "#12 bob: hello\n    👍 2"),
    ],
)
def test_a_message_is_told_as_it_is_now(said: Message, reads: str) -> None:
    assert telling.new(said, NAMES).text == reads


PHOTO = Attachment(attachment_id="f", name="photo.png", content_type="image/png", size=1_258_291)


@pytest.mark.parametrize(
    ("fields", "reads"),
    [
        ({}, "[photo.png 1.2MiB, scanning …]"),
        ({"status": "uploading"}, "[photo.png 1.2MiB, being uploaded …]"),
        ({"status": "clean"}, "[photo.png 1.2MiB]"),
        ({"status": "clean", "width": 900, "height": 600}, "[photo.png 1.2MiB 900×600]"),
        ({"status": "infected", "reason": "Eicar"}, "[photo.png 1.2MiB, refused: infected (Eicar)]"),
        ({"status": "error"}, "[photo.png 1.2MiB, refused: error]"),
        ({"status": "clean", "name": "a\x1b"}, "[a\N{REPLACEMENT CHARACTER} 1.2MiB]"),
    ],
)
def test_a_file_is_told_with_what_can_be_done_with_it(fields: dict[str, Any], reads: str) -> None:
    assert telling.file(replace(PHOTO, **fields)) == reads


def test_a_message_shows_its_files_behind_its_text_or_in_its_place() -> None:
    files = (PHOTO, replace(PHOTO, name="b.txt", size=3, status="clean"))
    shown = "[photo.png 1.2MiB, scanning …] [b.txt 3B]"
    assert telling.new(message("look", attachments=files), NAMES).text == f"#12 bob: look\n    {shown}"
    assert telling.new(message("", attachments=files), NAMES).text == f"#12 bob: {shown}"
    assert telling.new(message(None, attachments=files), NAMES).text == "#12 bob: deleted"
    assert telling.elsewhere(message("", attachments=files), "Demo", NAMES).text == f"-- Demo: bob: {shown} --"


def test_what_became_of_a_file_is_told_of_those_that_are_different() -> None:
    other = replace(PHOTO, attachment_id="g", name="b.txt")
    before = message("", attachments=(PHOTO, other))
    after = message("", attachments=(replace(PHOTO, status="clean"), other))
    assert telling.change("attachment.updated", after, before, None, NAMES) == [Line("#12 [photo.png 1.2MiB]")]
    assert telling.change("attachment.updated", after, after, None, NAMES) == []
    assert len(telling.change("attachment.updated", after, None, None, NAMES)) == 2


def test_an_answer_points_at_what_it_answers() -> None:
    said = message("yes", thread_root_id="m3", reply_to="m3")
    assert telling.new(said, NAMES, 3).text == "#12 bob ↳ #3: yes"
    assert telling.new(said, NAMES).text == "#12 bob ↳ #?: yes"


@pytest.mark.parametrize(
    ("said", "calls"),
    [
        (message(), False),
        (message(mentions=("A",)), True),
        (message(mentions=("all",)), True),
        (message(mentions=("C",)), False),
        (message(mentions=("A", "all"), sender_id="A"), False),
    ],
)
def test_who_is_called_is_told_loudly(said: Message, calls: bool) -> None:
    assert telling.new(said, NAMES).calls_me is calls
    assert telling.elsewhere(said, "Demo", NAMES).calls_me is calls


@pytest.mark.parametrize(
    ("event", "after", "actor", "reads"),
    [
        ("message.edited", message("hi"), "B", ["#12 bob (edited): hi"]),
        ("message.deleted", message(None), "B", ["#12 bob: deleted"]),
        ("message.deleted", message(None), "A", ["#12 bob: deleted by alice"]),
        ("message.pinned", message(), "A", ["#12 pinned by alice"]),
        ("message.unpinned", message(), "A", ["#12 unpinned by alice"]),
        ("reaction.added", message(reactions={"👍": ("A", "C")}), "C", ["#12 👍 carol"]),
        ("reaction.removed", message(), "C", ["#12 reaction carol: taken back"]),
        ("thread.updated", message(reply_count=1), "C", []),
    ],
)
def test_a_change_is_told_of_a_message_that_was_not_seen(
    event: str, after: Message, actor: str, reads: list[str]
) -> None:
    assert [line.text for line in telling.change(event, after, None, actor, NAMES)] == reads


def test_a_reaction_is_what_is_different() -> None:
    before = message(reactions={"👍": ("A", "C")})
    after = message(reactions={"👍": ("A", "C"), "🎉": ("C",)})
    assert telling.change("reaction.added", after, before, "C", NAMES) == [Line("#12 🎉 carol")]
    assert telling.change("reaction.removed", before, after, "C", NAMES) == [Line("#12 🎉 carol: taken back")]


def test_an_edit_calls_whom_the_message_did_not_call_before() -> None:
    before, after = message(), message("@alice", mentions=("A",))
    assert [line.calls_me for line in telling.change("message.edited", after, before, "B", NAMES)] == [True]
    assert [line.calls_me for line in telling.change("message.edited", after, after, "B", NAMES)] == [False]


@pytest.mark.parametrize(
    ("event", "users", "actor", "reads"),
    [
        ("member.joined", ["C", "D"], "B", "-- Demo: bob added carol, dave --"),
        ("member.left", ["C"], "C", "-- Demo: carol left --"),
        ("member.left", ["C"], "B", "-- Demo: bob removed carol --"),
        ("member.role_changed", ["C"], "B", "-- Demo: bob changed roles: carol is member --"),
    ],
)
def test_who_comes_and_goes(event: str, users: list[str], actor: str, reads: str) -> None:
    changed = MemberChanged(conversation_id="c", rev=2, members=tuple(Member(user_id=user) for user in users))
    assert telling.members(event, changed, actor, "Demo", NAMES) == Line(reads)


def test_being_removed_is_told_loudly_and_leaving_is_not() -> None:
    changed = MemberChanged(conversation_id="c", rev=2, members=(Member(user_id="A"),))
    assert telling.members("member.left", changed, "B", "Demo", NAMES).calls_me
    assert not telling.members("member.left", changed, "A", "Demo", NAMES).calls_me


def test_settings_are_told_as_far_as_they_changed() -> None:
    def conversation(**fields: Any) -> Conversation:
        return Conversation(conversation_id="c", kind="group", **fields)

    known = conversation(title="Demo", rev=3, muted_until=None, archived=False)
    for heard, reads in (
        (conversation(title="Ours", rev=4), ["-- bob calls this “Ours” --"]),
        (conversation(title="Ours", rev=2), []),
        (conversation(title="Demo", rev=4), []),
        (conversation(title="Demo", rev=4, history="joined"),
         ["-- bob lets new members see what is said from now on --"]),
        (conversation(title="Demo", rev=3, muted_until="9999-12-31T00:00:00Z", archived=True),
         ["-- muted --", "-- archived --"]),
    ):  # fmt: skip
        assert [line.text for line in telling.settings(known, heard, "B", NAMES)] == reads


def test_how_far_ones_newest_message_has_come() -> None:
    def after(*marks: tuple[str, int, int]) -> str:
        members = (Member(user_id=user, delivered_seq=there, read_seq=read) for user, there, read in marks)
        demo = room(Member(user_id="A", read_seq=12), *members)
        demo.messages = {12: message(sender_id="A"), 13: message(seq=13)}
        return telling.progress(demo, NAMES)

    assert after(("B", 11, 11)) == "#12 sent"
    assert after(("B", 12, 11), ("C", 0, 0)) == "#12 ✓ delivered to bob"
    assert after(("B", 13, 13), ("C", 12, 11)) == "#12 ✓✓ read by bob"
    assert after(*((user, 12, 12) for user in "BCDE")) == "#12 ✓✓ read by bob, carol, dave and 1 more"
    assert telling.progress(room(Member(user_id="A")), NAMES) == ""


def test_a_member_is_told_with_role_and_mark() -> None:
    assert (
        telling.member(Member(user_id="B", role="owner", read_seq=7), NAMES, 7) == "owner    @bob  has read everything"
    )
    assert telling.member(Member(user_id="A"), NAMES, 7) == "member   @alice (you)  has read nothing"
    assert telling.member(Member(user_id="C", read_seq=3), NAMES, 7) == "member   @carol  has read up to #3"


def test_a_conversation_without_a_title_is_called_by_who_is_in_it() -> None:
    assert telling.title(Conversation(conversation_id="c", kind="direct"), "AB", NAMES) == "bob"
    assert telling.title(Conversation(conversation_id="c", kind="group", title="Demo"), "AB", NAMES) == "Demo"
    assert telling.title(Conversation(conversation_id="c", kind="group"), "A", NAMES) == "c"


def test_muted_lasts_until_its_time() -> None:
    until = Conversation(conversation_id="c", kind="group", muted_until="2026-11-22T13:00:00.000Z")
    assert telling.is_muted(until, datetime(2026, 11, 22, 12, 59, tzinfo=UTC))
    assert not telling.is_muted(until, datetime(2026, 11, 22, 13, 1, tzinfo=UTC))
    assert not telling.is_muted(Conversation(conversation_id="c", kind="group"), datetime(2026, 11, 22, tzinfo=UTC))


@given(st.text(), st.text())
def test_nothing_of_others_steers_the_terminal(text: str, other: str) -> None:
    said = message(text, reactions={other: ("B",)}, thread_root_id=other)
    called = Conversation(conversation_id=other, kind="group", title=text, rev=2)
    changed = MemberChanged(conversation_id="c", rev=1, members=(Member(user_id=other, role=text),))
    lines = [
        telling.new(said, NAMES),
        *telling.change("message.edited", said, None, other, NAMES),
        *telling.change("reaction.added", said, None, "B", NAMES),
        telling.members("member.role_changed", changed, other, telling.title(called, [other], NAMES), NAMES),
        *telling.settings(Conversation(conversation_id="c", kind="group"), called, other, NAMES),
        Line(telling.member(Member(user_id=other, role=text), NAMES, 0)),
    ]
    for line in lines:
        assert all(char == "\n" or char.isprintable() for char in line.text)
