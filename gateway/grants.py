"""Who may watch and type where: what Redis holds, else what the store says. The socket asks here and knows no store (hole C19).

Only what is allowed is taken from Redis. A denial is there to order: whoever read the membership before it writes nothing over it. The store
is asked again, because whoever left may have come back.
"""

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
            if held.allowed:
                return True
            try:
                member = await self._members.member(pair.conversation_id, pair.user)
            except Transient:
                if held.allowed is None:
                    raise
                return False
            if member is None:
                return False  # not noted: without a `rev` nothing could tell whether they join before or after it
            if not held.era:
                return member.current
            noted = await self._held.note(Membership(pair, member.rev, member.current), held.era)
            if noted is not None:
                return noted
        raise Transient("the eras of the grants change all the time")

    async def refused(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Those of many who are no members any more; those of whom that can not be told now are left out.

        Raises:
            Transient: Redis is away.
        """
        refused: list[Pair] = []
        store_is_away = False
        for pair, held in zip(pairs, await self._held.held(pairs), strict=True):
            if held.allowed or (store_is_away and held.allowed is None):
                continue
            try:
                if store_is_away or not await self.may(pair):
                    refused.append(pair)
            except Transient:
                store_is_away = True
        return refused
