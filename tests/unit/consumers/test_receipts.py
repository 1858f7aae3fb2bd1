# ruff: noqa: ARG002 - the model takes what the real stores take
"""The receipts stage on a model of its stores: killed between write and settle, memberships that change, batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from backplane.errors import Transient
from backplane.store.blocks import StoredBlock
from backplane.store.conversations import StoredConversation, StoredMember
from backplane.store.marks import Key, Raise, StoredMark
from backplane.store.messages import StoredMessage
from backplane.streams import Entry
from consumers.receipts import Receipts
from consumers.stages import Work
from schemas.events import Event
from schemas.ids import ConversationId, IntentId, MessageId, StreamId, UserId
from schemas.marks import Mark, encode_mark
from schemas.names import AGAIN_FIELD, MARK_FIELD, Names

pytestmark = pytest.mark.anyio

ROOM = ConversationId("room")
ANN, BEN, EVE = UserId("ann"), UserId("ben"), UserId("eve")


def a_member(user: UserId, **fields) -> StoredMember:
    given = {"role": "member", "rev": 1, "spans": ((1, None),)}
    return StoredMember(conversation_id=ROOM, user_id=user, **(given | fields))


@dataclass
class Around:
    """What outlives a process."""

    people: dict[UserId, StoredMember] = field(default_factory=lambda: {who: a_member(who) for who in (ANN, BEN)})
    marks: dict[Key, StoredMark] = field(default_factory=dict)
    last_seq: int = 10
    writes: list[Raise] = field(default_factory=list)
    rung: list[bytes] = field(default_factory=list)
    dropped: list[UserId] = field(default_factory=list)
    leaves_before_write: UserId | None = None
    away: bool = False
    counted: int = 0
    kind: str = "group"
    blocks: list[StoredBlock] = field(default_factory=list)

    def stage(self, everybody_up_to: int = 50) -> Receipts:
        return Receipts(
            Names(partitions=1, shards=1),
            0,
            conversations=Rooms(self),
            marks=Levels(self),
            messages=Messages(),
            blocks=Blocks(self),
            ring=self.ring,
            drop=self.drop,
            late_seconds=0,
            everybody_up_to=everybody_up_to,
        )

    async def ring(self, channel: str, payload: bytes) -> None:
        self.rung.append(payload)

    async def drop(self, users: Sequence[UserId]) -> None:
        self.dropped += users


class Rooms:
    def __init__(self, around: Around) -> None:
        self._around = around

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, StoredConversation]:
        room = StoredConversation(
            conversation_id=ROOM, kind=self._around.kind, title=None, created_by=ANN, created_ms=1, intent_id="", body_hash="",
            rev=7, last_seq=self._around.last_seq,
        )  # fmt: skip
        return {ROOM: room} if ROOM in ids else {}

    async def members(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredMember]]:
        self._around.counted += 1
        return {ROOM: list(self._around.people.values())} if ROOM in ids else {}


class Levels:
    def __init__(self, around: Around) -> None:
        self._around = around

    async def members(self, keys: Sequence[Key]) -> dict[str, StoredMember]:
        found = self._around.people
        return {key.member_id: found[key.user_id] for key in keys if key.user_id in found}

    async def threads(self, keys: Sequence[Key]) -> dict[Key, StoredMark]:
        return {key: self._around.marks[key] for key in keys if key in self._around.marks}

    async def raise_to(self, raises: Sequence[Raise]) -> bool:
        around = self._around
        if around.away:
            raise Transient("away")
        if (gone := around.leaves_before_write) is not None:
            around.leaves_before_write = None
            around.people[gone] = msgspec.structs.replace(around.people[gone], rev=8, spans=((1, 8),))
        whole = True
        for one in raises:
            by = {"marked_by": one.marked_by, "privately_by": one.privately_by}
            fields = one.levels._asdict() | {name: value for name, value in by.items() if value}
            if one.key.thread_root_id is not None:
                around.marks[one.key] = StoredMark(
                    mark_id=one.key.mark_id, conversation_id=ROOM, user_id=one.key.user_id,
                    thread_root_id=one.key.thread_root_id, **fields,
                )  # fmt: skip
            elif around.people[one.key.user_id].rev != one.member_rev:
                whole = False
                continue
            else:
                around.people[one.key.user_id] = msgspec.structs.replace(around.people[one.key.user_id], **fields)
            around.writes.append(one)
        return whole


class Blocks:
    def __init__(self, around: Around) -> None:
        self._around = around

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredBlock]]:
        return dict.fromkeys(ids, self._around.blocks)


class Messages:
    async def find(self, ids: Sequence[MessageId]) -> dict[MessageId, StoredMessage]:
        root = StoredMessage(
            message_id=MessageId("root"), conversation_id=ROOM, seq=1, rev=1, sender_id=ANN, client_msg_id="k", intent_id="",  # type: ignore[arg-type]
            body_hash="", text="", created_ms=1,
        )  # fmt: skip
        return {MessageId("root"): root} if "root" in ids else {}


def works(stage: Receipts, *marks: Mark, first: int = 1) -> list[Work[Mark]]:
    entries = [Entry(StreamId(first + at, 0), {MARK_FIELD: encode_mark(one)}) for at, one in enumerate(marks)]
    return [Work(entry, stage.decode(entry)) for entry in entries]


def a_mark(who: UserId = ANN, read_seq: int = 0, **more) -> Mark:
    return Mark(IntentId("i"), ROOM, who, 1, read_seq=read_seq, **more)


async def told(stage: Receipts, *marks: Mark, first: int = 1) -> list[Event]:
    done = await stage.handle("era", works(stage, *marks, first=first))
    assert [settled.id for settled in done] == [StreamId(first + at, 0) for at in range(len(marks))]
    return [event for settled in done for event in settled.events]


def data(event: Event) -> dict:
    return msgspec.json.decode(b"{" + event.body)["data"]


async def test_many_marks_of_one_person_are_one_write_and_one_event() -> None:
    around = Around()
    [event] = await told(around.stage(), *(a_mark(ANN, number) for number in (1, 5, 9, 3)))
    assert len(around.writes) == 1
    assert data(event) == {"conversation_id": ROOM, "user_id": ANN, "delivered_seq": 9, "read_seq": 9}
    assert (event.header.to, event.header.rev, event.header.about) == ((), 7, None)


async def test_killed_between_write_and_settle_everybody_is_still_told() -> None:
    """C11: the next owner takes its predecessor's entries one by one."""
    around = Around()
    marks = [a_mark(ANN, 4), a_mark(BEN, 3), a_mark(ANN, 9), a_mark(ANN, 2)]
    await around.stage().handle("era", works(around.stage(), *marks))
    successor = around.stage()
    events = [event for at, one in enumerate(marks) for event in await told(successor, one, first=1 + at)]
    assert {(data(event)["user_id"], data(event)["read_seq"]) for event in events} == {(ANN, 9), (BEN, 3)}
    assert len(around.writes) == 2


async def test_the_same_marks_in_later_entries_write_nothing_and_tell_nobody() -> None:
    around = Around()
    stage = around.stage()
    await told(stage, a_mark(ANN, 4), a_mark(BEN, 3))
    assert await told(stage, a_mark(ANN, 4), a_mark(BEN, 1), first=100) == []
    assert len(around.writes) == 2


async def test_marks_that_an_operator_sends_again_write_nothing_and_are_told_again() -> None:
    around = Around()
    stage = around.stage()
    await told(stage, a_mark(ANN, 4), a_mark(BEN, 3))
    again = [Work(Entry(one.entry.id, {**one.entry.fields, AGAIN_FIELD: b"1"}), one.item)
             for one in works(stage, a_mark(ANN, 2), a_mark(EVE, 3), first=100)]  # fmt: skip
    done = await stage.handle("era", again)
    assert [(data(event)["user_id"], data(event)["read_seq"]) for one in done for event in one.events] == [(ANN, 4)]
    assert len(around.writes) == 2


async def test_what_was_written_before_a_failure_is_told_by_the_next_try() -> None:
    around = Around(away=True)
    stage = around.stage()
    with pytest.raises(Transient):
        await told(stage, a_mark(ANN, 4))
    around.away = False
    await told(stage, a_mark(ANN, 4))
    assert len(await told(stage, a_mark(ANN, 4))) == 1, "not settled yet: the same entry again"


async def test_who_leaves_while_their_mark_is_under_way_is_not_marked() -> None:
    """C11"""
    around = Around(leaves_before_write=BEN)
    [event] = await told(around.stage(), a_mark(BEN, 4), a_mark(ANN, 4))
    assert data(event)["user_id"] == ANN
    assert around.people[BEN].read_seq == 0


async def test_strangers_former_members_and_foreign_threads_are_passed_over() -> None:
    """C11"""
    around = Around()
    around.people[BEN] = a_member(BEN, spans=((1, 5),))
    marks = [a_mark(EVE, 4), a_mark(BEN, 4), a_mark(ANN, 4, thread_root_id="nothing")]
    assert await told(around.stage(), *marks) == []
    assert around.writes == []
    assert EVE not in around.people


async def test_in_a_large_group_only_ones_own_devices_are_told_and_it_is_counted_once() -> None:
    around = Around()
    stage = around.stage(everybody_up_to=1)
    [event] = await told(stage, a_mark(ANN, 4))
    await told(stage, a_mark(ANN, 5), first=2)
    assert event.header.to == (ANN,)
    assert around.counted == 1


async def test_a_private_reading_is_told_to_ones_own_devices_alone() -> None:
    around = Around()
    events = await told(around.stage(), a_mark(ANN, 6, private=True), a_mark(ANN, 2))
    by_recipient = {event.header.to: data(event) for event in events}
    assert by_recipient[()] == {"conversation_id": ROOM, "user_id": ANN, "delivered_seq": 2, "read_seq": 2}
    assert by_recipient[(ANN,)]["private_read_seq"] == 6
    assert len({event.header.event_id for event in events}) == 2
    [own] = await told(around.stage(), a_mark(ANN, 8, private=True), first=5)
    assert own.header.to == (ANN,), "others do not even learn that something was read"


def a_block(blocker: UserId, blocked_user: UserId, *, blocked: bool = True) -> StoredBlock:
    return StoredBlock(conversation_id=ROOM, blocker_id=blocker, blocked_id=blocked_user, blocked=blocked, version=1)


async def test_what_a_blocked_person_reads_is_stored_and_told_in_private() -> None:
    around = Around(kind="direct", blocks=[a_block(BEN, ANN)])
    marks = [a_mark(ANN, 6, delivered_seq=9), a_mark(ANN, 4, thread_root_id="root"), a_mark(BEN, 5)]
    events = await told(around.stage(), *marks)
    assert {(event.header.to, data(event)["user_id"]) for event in events} == {((ANN,), ANN), ((), BEN)}
    levels = around.people[ANN]
    assert (levels.delivered_seq, levels.read_seq, levels.private_read_seq) == (0, 0, 6)
    [thread] = around.marks.values()
    assert (thread.delivered_seq, thread.read_seq, thread.private_read_seq) == (0, 0, 4)


async def test_a_block_that_was_lifted_hides_no_reading() -> None:
    around = Around(kind="direct", blocks=[a_block(BEN, ANN, blocked=False)])
    [event] = await told(around.stage(), a_mark(ANN, 6))
    assert event.header.to == ()
    assert around.people[ANN].read_seq == 6


async def test_a_thread_has_marks_of_its_own() -> None:
    around = Around()
    [event] = await told(around.stage(), a_mark(ANN, 6, thread_root_id="root"))
    assert data(event)["thread_root_id"] == "root"
    assert around.people[ANN].read_seq == 0


async def test_whoever_waits_is_answered_also_with_no() -> None:
    """C2"""
    around = Around()
    stage = around.stage()
    done = await stage.handle(
        "era", works(stage, a_mark(ANN, 6, answer="c"), a_mark(EVE, 6, answer="c"), a_mark(ANN, 3))
    )
    await stage.after(done)
    assert [b"receipt.updated" in payload for payload in around.rung] == [True, False]
    assert b"not_member" in around.rung[1]


async def test_who_would_have_been_told_of_what_the_stream_has_lost_loads_their_state() -> None:
    """A6"""
    around = Around()
    stage = around.stage()
    await stage.forsake(works(stage, a_mark(ANN, 6)))
    assert sorted(around.dropped) == [ANN, BEN]
    large = Around()
    stage = large.stage(everybody_up_to=1)
    await stage.forsake(works(stage, a_mark(ANN, 6)))
    assert large.dropped == [ANN]


async def test_a_mark_that_is_given_up_is_said_to_be() -> None:
    """A10"""
    around = Around()
    stage = around.stage()
    [work] = works(stage, a_mark(ANN, 6))
    [event] = await stage.give_up(work.entry, work.item)
    assert (event.header.event, event.header.to) == ("operation.rejected", (ANN,))
    assert list(await stage.give_up(work.entry, None)) == []
