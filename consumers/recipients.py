"""Who gets an event: a function of the event alone, whoever computes it and when (hole B9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backplane.store.conversations import StoredMember
from schemas.events import EventHeader
from schemas.ids import UserId
from schemas.names import Names

ByShard = Mapping[int, tuple[UserId, ...]]
"""Users, by the shard that holds their log."""


@dataclass(frozen=True, slots=True)
class Audience:
    """The members of a conversation, ready for the usual case: an event newer than every coming and going."""

    members: tuple[StoredMember, ...]
    settled_rev: int
    """From this `rev` on, whoever is a member now is a recipient."""
    seen_seq: int
    """Every member may see the messages above this number."""
    current: ByShard

    @classmethod
    def of(cls, members: Sequence[StoredMember], names: Names) -> "Audience":
        """Members as stored, those who left too."""
        edges = [edge for member in members for span in member.spans for edge in span if edge is not None]
        return cls(
            members=tuple(members),
            settled_rev=max(edges, default=0),
            seen_seq=max((member.from_seq for member in members), default=0),
            current=by_shard([member.user_id for member in members if member.current], names),
        )

    def of_event(self, header: EventHeader, names: Names) -> ByShard:
        """Those whose span holds the event's `rev` and who may see its message, and the member that it is about."""
        everybody_sees = header.seq is None or header.seq > self.seen_seq
        if header.about is None and everybody_sees and header.rev >= self.settled_rev:
            return self.current
        users = {
            member.user_id
            for member in self.members
            if member.holds(header.rev) and (header.seq is None or header.seq > member.from_seq)
        }
        if header.about is not None:
            users.add(header.about)
        return by_shard(sorted(users), names)


def by_shard(users: Sequence[UserId], names: Names) -> ByShard:
    """Group users by the shard that holds their log."""
    shards: dict[int, list[UserId]] = {}
    for user in users:
        shards.setdefault(names.shard_of(user), []).append(user)
    return {shard: tuple(found) for shard, found in shards.items()}


def changes_members(header: EventHeader) -> bool:
    """Whether members known from before this event may be wrong after it."""
    return header.about is not None or header.event.startswith(("conversation.", "member."))
