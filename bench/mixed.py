"""The mixed run: sends, read receipts, typing, reactions and edits at once, on one schedule."""

import math
import time
from collections.abc import Sequence

from bench.history import Promised
from bench.member import Data, Frame, Member, Room, connect_all
from bench.mixed_findings import CHANGES, MixedRecords
from bench.mixture import Mixture, Operation, cast, operations, seats
from bench.pace import paced, settled
from bench.people import Person, make_conversation
from bench.view import View


class MixedRun:
    """One mixture, carried out once: `prepare`, `perform` (which is what CPU time is counted of), `finish`.

    Each conversation begins with a message of each member, before the schedule: so there is always something to read, react to and edit.
    """

    def __init__(self, plan: Mixture, people: Sequence[Person], urls: Sequence[str]) -> None:
        self.plan, self._people, self._urls = plan, people[: plan.people], urls
        self._cast = cast(plan)
        never = [math.nan] * plan.total
        self.records = MixedRecords(
            plan, operations(plan, self._cast), never, accepted=never.copy(), stored=never.copy(), changed=never.copy()
        )
        self._prefix = f"{time.time_ns() & 0xFFFFFFFF:08x}-0000-4000-8000-"
        self._members: list[Member] = []
        self._rooms: list[Room] = []
        self._views: dict[tuple[str, str], View] = {}
        self._before: dict[str, int] = {}  # conversation → messages that are not of the schedule
        self._made: dict[int, tuple[str, float]] = {}  # operation → its maker, its intended moment
        self._reads: dict[tuple[str, str], int] = {}
        self._refused = 0
        self._heard_count = 0
        # What is still to come; empty when everybody has everything.
        self._unanswered: set[int] = set()
        self._unseen: set[tuple[int, str]] = set()  # (operation, member)
        self._unread: dict[tuple[str, str, str], int] = {}  # (member, conversation, whose) → how far

    async def prepare(self) -> None:
        """Connect everybody, make conversations, put them on screen, let everybody say something.

        Raises:
            RuntimeError: what was said first did not come to everybody.
        """
        self._members = await connect_all(self._people, self._urls, self._heard)
        for number, persons in enumerate(self._cast):
            members = tuple(self._members[person] for person in persons)
            title = None if len(members) == 2 else f"mixed {number}"
            conversation_id = await make_conversation([each.person for each in members], title)
            self._rooms.append(Room(conversation_id, members))
            for member in members:
                user_id = member.person.user_id
                self._views[conversation_id, user_id] = View(conversation_id)
                self.records.history.arrivals[conversation_id, user_id] = []
                member.say({"type": "watch", "conversation_id": conversation_id})
        for offset, (conversation, person) in enumerate(seats(self._cast)):
            number = self.plan.total + offset
            self._perform(number, Operation("send", conversation, person, 0.0), time.perf_counter())
        if not await settled(lambda: self._heard_count, self._whole) or self._refused:
            raise RuntimeError("the first messages of the mixed scenario did not come to everybody")
        for room in self._rooms:
            self._before[room.conversation_id] = await room.count()

    async def perform(self) -> None:
        """Carry out the schedule and wait for stragglers."""

        def act(number: int, due: float) -> None:
            self._perform(number, self.records.operations[number], due)

        self.records.lag = await paced(self.plan, act)
        await settled(lambda: self._heard_count, self._whole)

    async def finish(self) -> Promised:
        """Hang up; what the records are to be judged by."""
        counts = {room.conversation_id: await room.count() - self._before[room.conversation_id] for room in self._rooms}
        self.records.lost_connections = sum(member.leave() for member in self._members)
        changes = {
            number: self._rooms[each.conversation].conversation_id
            for number, each in enumerate(self.records.operations)
            if each.kind in CHANGES and not math.isnan(self.records.accepted[number])
        }
        return Promised(
            members={room.conversation_id: room.user_ids for room in self._rooms},
            counts=counts,
            changes=changes,
            reads=self._reads,
            refused=self._refused,
            unanswered=len(self._unanswered),
            skipped=len(self.records.skipped),
        )

    # Saying

    def _perform(self, number: int, operation: Operation, due: float) -> None:
        member, room = self._members[operation.person], self._rooms[operation.conversation]
        user_id = member.person.user_id
        view = self._views[room.conversation_id, user_id]
        frame = view.frame(operation, number, f"{self._prefix}{number:012x}")
        if frame is None:
            self.records.skipped.add(number)
            return
        if operation.kind == "send" or operation.kind in CHANGES:
            self._made[number] = user_id, due
            self._unanswered.add(number)
            self._unseen.update((number, each) for each in room.user_ids)
        elif operation.kind == "read" and view.newest > self._reads.get((room.conversation_id, user_id), 0):
            self._reads[room.conversation_id, user_id] = view.newest
            self._unread.update({(each, room.conversation_id, user_id): view.newest for each in room.user_ids})
        member.say(frame)

    def _whole(self) -> bool:
        return not (self._unanswered or self._unseen or self._unread)

    # Hearing

    def _heard(self, user_id: str, frame: Frame, now: float) -> None:
        self._heard_count += 1
        data = frame.data
        if frame.type == "reply":
            self._answered(frame, now)
        elif frame.type == "ephemeral":
            self.records.typing_heard += frame.event == "typing"
        elif data is not None:
            match frame.event:
                case "message.created":
                    self._created(user_id, data, now)
                case "message.edited" | "reaction.added":
                    self._changed(user_id, frame, data, now)
                case "receipt.updated":
                    self._read(user_id, data)
                case "message.rejected" | "operation.rejected":
                    self._refused += 1
                case _:
                    pass

    def _answered(self, frame: Frame, now: float) -> None:
        self._refused += not frame.ok
        if frame.id is None:
            return
        self._unanswered.discard(frame.id)
        if frame.ok and frame.id < self.plan.total:
            self.records.accepted[frame.id] = now - self._made[frame.id][1]

    def _created(self, user_id: str, data: Data, now: float) -> None:
        number = self._number(data.client_msg_id)
        if number is None:
            return
        maker, due = self._made[number]
        self._views[data.conversation_id, user_id].saw(data.message_id, data.seq, own=maker == user_id)
        self.records.history.revs[user_id, data.message_id].append(data.rev)
        first = self._first(number, user_id)
        if number >= self.plan.total:
            return
        seq = data.seq - self._before[data.conversation_id]
        self.records.history.arrivals[data.conversation_id, user_id].append(seq)
        if first and maker == user_id:
            self.records.stored[number] = now - due
        elif first and number >= self.plan.warmup:
            self.records.delivered.append(now - due)

    def _changed(self, user_id: str, frame: Frame, data: Data, now: float) -> None:
        self.records.history.revs[user_id, data.message_id].append(data.rev)
        number = self._number(frame.client_op_id)
        if number is None or self._made[number][0] != frame.actor_id:
            return
        self.records.history.changes[user_id].append((number, data.rev))
        maker, due = self._made[number]
        if not self._first(number, user_id):
            return
        if maker == user_id:
            self.records.changed[number] = now - due
        elif number >= self.plan.warmup:
            self.records.changed_elsewhere.append(now - due)

    def _read(self, user_id: str, data: Data) -> None:
        key = (user_id, data.conversation_id, data.user_id)
        self.records.history.receipts[key].append((data.delivered_seq, data.read_seq))
        if data.read_seq >= self._unread.get(key, 0):
            self._unread.pop(key, None)

    def _number(self, mark: str) -> int | None:
        """Which operation of this run an event is of."""
        return int(mark[-12:], 16) if mark.startswith(self._prefix) else None

    def _first(self, number: int, user_id: str) -> bool:
        """Whether this member hears of it for the first time."""
        first = (number, user_id) in self._unseen
        self._unseen.discard((number, user_id))
        return first
