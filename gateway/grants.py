"""Who may watch and type where: what Redis holds, else what the store says. The socket asks here and knows no store (hole C19)."""

from collections.abc import Sequence
from typing import Protocol

from backplane import grants
from backplane.errors import Transient
from backplane.grants import Membership, Pair
from backplane.store.conversations import StoredMember
from schemas.ids import ConversationId, UserId

_ATTEMPTS = 3


class Members(Protocol):
    """What is needed of `backplane.store.conversations.Conversations`."""

    async def member(self, conversation_id: ConversationId, user_id: UserId) -> StoredMember | None:
        """One membership, also of somebody who left."""
        ...


class Grants:
    """Exact grants: a membership that was read before a removal never counts after it."""

    def __init__(self, held: grants.Grants, members: Members) -> None:
        self._held, self._members = held, members

    async def may(self, pair: Pair) -> bool:
        """Whether this person is a member now.

        Raises:
            Transient: Redis, or the store where Redis holds nothing, is away.
        """
        for _ in range(_ATTEMPTS):
            (held,) = await self._held.held([pair])
            if held.allowed is not None:
                return held.allowed
            member = await self._members.member(pair.conversation_id, pair.user)
            if member is None:
                return False  # not noted: without a `rev` nothing could tell whether they join before or after it
            noted = await self._held.note(Membership(pair, member.rev, member.current), held.era)
            if noted is not None:
                return noted
        raise Transient("the eras of the grants change all the time")

    async def refused(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Those of many who are no members any more; raises as `may`."""
        held = await self._held.held(pairs)
        return [
            pair
            for pair, one in zip(pairs, held, strict=True)
            if one.allowed is False or (one.allowed is None and not await self.may(pair))
        ]
