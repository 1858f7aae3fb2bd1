"""Rate limits of this gateway: counted in Redis for all gateways, by itself while Redis is away (schemas/limits.py has the table).

Of what is done often, several are taken at a time and spent here: who talks a lot costs few round trips. How many follows what was spent of
the last ones, so that gateways together never hold back more than was just spent through them.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import structlog

from backplane import telemetry
from backplane.errors import Transient
from backplane.limits import Buckets, Grant, Wish
from backplane.revocations import Reason, Revocations
from gateway.addresses import network_of
from gateway.buckets import Bucket
from schemas.errors import ErrorBody, error
from schemas.ids import ConversationId, SessionId, UserId
from schemas.limits import Policy, PolicyName
from schemas.names import Names

REMEMBERED: Final = 20_000
"""Subjects of which something is kept here; the longest unused goes first, and its share with it."""
AWAY_SECONDS: Final = 1.0
"""After Redis did not answer, it is not asked for this long."""
FLOOD_COST: Final = 20
"""Connections that one counts for which is ended for its flood of frames."""
_SHARE: Final = 10
"""The largest share is the burst divided by this."""

_K = TypeVar("_K")
_T = TypeVar("_T")

_log = structlog.get_logger(__name__)


class Spent(NamedTuple):
    """What became of a wish, for the headers of an answer. `wait_ms`: 0, or when to try again."""

    policy: Policy
    left: int
    full_ms: int
    wait_ms: int = 0

    @property
    def refusal(self) -> ErrorBody | None:
        """The error to answer with; None: go on."""
        return error("rate_limited", retry_after_ms=self.wait_ms) if self.wait_ms else None

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them."""
        policy, full_seconds = self.policy, math.ceil(self.full_ms / 1000)
        return {
            "RateLimit-Policy": f'"{policy.name}";q={policy.burst};w={policy.seconds}',
            "RateLimit": f'"{policy.name}";r={self.left};t={full_seconds}',
        }


@dataclass(slots=True)
class _Share:
    """What this gateway holds of one subject's bucket."""

    there: int = 0
    granted: int = 0
    until: float = 0.0
    refused_until: float = 0.0

    def take(self, now: float) -> int | None:
        """0 if one was there; ms to wait if it is known that there is none anywhere; None: Redis knows."""
        if self.there and now < self.until:
            self.there -= 1
            return 0
        return math.ceil((self.refused_until - now) * 1000) if now < self.refused_until else None

    def fill(self, grant: Grant, policy: Policy, now: float) -> int:
        """Keep what was granted, but for the one that it was asked for: 0, or ms to wait if there was none.

        What is not spent after the policy's seconds is given up: the bucket is full again without it.
        """
        if not grant.granted:
            self.refused_until = now + grant.wait_ms / 1000
            return grant.wait_ms
        self.granted, self.there, self.until = grant.granted, grant.granted - 1, now + policy.seconds
        return 0

    def wants(self, policy: Policy, now: float) -> int:
        """How many to take next: twice as many while they are spent in time, else as many as were."""
        spent = self.granted - self.there
        wanted = 2 * spent if now < self.until else spent
        return max(1, min(wanted, policy.burst // _SHARE))


class Limiter:
    """Says who may go on. A limit that is off never refuses.

    Args:
        policies: the table, as the settings have it.
    """

    def __init__(
        self, policies: Mapping[PolicyName, Policy], names: Names, buckets: Buckets, revocations: Revocations
    ) -> None:
        self._policies, self._names = policies, names
        self._buckets, self._revocations = buckets, revocations
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        self._turns: OrderedDict[UserId, asyncio.Lock] = OrderedDict()
        self._own: OrderedDict[str, Bucket] = OrderedDict()
        self._refused: OrderedDict[str, float] = OrderedDict()
        self._away_until = float("-inf")

    def policy(self, name: PolicyName) -> Policy | None:
        """A row of the table; None if it is off."""
        return self._policies.get(name)

    # What is done often

    async def message(self, user_id: UserId, conversation_id: ConversationId) -> int:
        """A message of a person into a conversation: 0, or the ms after which it may come again.

        These calls, and those of `change`, of one person end in the order in which they began.
        """
        async with self._turn(user_id):
            wait_ms = await self._spend("send", self._names.user_limit(user_id, "send"))
            return wait_ms or await self._spend("conversation", self._names.conversation_limit(conversation_id, "send"))

    async def change(self, user_id: UserId) -> int:
        """A change of a person to a message: as `message`."""
        async with self._turn(user_id):
            return await self._spend("change", self._names.user_limit(user_id, "change"))

    def _turn(self, user_id: UserId) -> asyncio.Lock:
        return _remember(self._turns, user_id, asyncio.Lock)  # fair: who comes later goes on later

    # What is done once

    async def call(
        self, user_id: UserId, session_id: SessionId, name: PolicyName, cost: int
    ) -> tuple[Spent | None, Reason | None]:
        """A REST call of a session: what is left, and why the session counts no more. While Redis is away, that is not known.

        Raises:
            Transient: Redis is away, and this limit does not go without.
        """
        policy = self._policies.get(name)
        wish = None if policy is None else Wish(self._names.user_limit(user_id, name), policy, cost, cost)
        if not self._away:
            try:
                if wish is None:
                    return None, await self._revocations.reason(user_id, session_id)
                question = self._revocations.ask(user_id, session_id)
                (grant,), ended = await self._buckets.take_with([wish], question)
                return _spent(wish, grant), self._revocations.read(ended)
            except Transient as failure:
                self._miss(failure)
        return (None if wish is None else self._without(wish)), None

    async def address(self, name: PolicyName, address: str) -> Spent | None:
        """Something that is counted by address alone. Raises as `call`."""
        return await self._once(name, self._names.other_limit(network_of(address), name))

    async def account(self, name: PolicyName, account: str, address: str | None = None) -> Spent | None:
        """Something that is counted by the name of an account (a digest of it), or by that and an address. Raises as `call`."""
        subject = account if address is None else f"{account} {network_of(address)}"
        return await self._once(name, self._names.other_limit(subject, name))

    async def person(self, name: PolicyName, user_id: UserId) -> Spent | None:
        """Something else that is counted by person. Raises as `call`."""
        return await self._once(name, self._names.user_limit(user_id, name))

    async def punish(self, user_id: UserId) -> None:
        """Count the connection of somebody who floods as many: else each new one would be as good as the last."""
        if policy := self._policies.get("connect"):
            await self._ask(Wish(self._names.user_limit(user_id, "connect"), policy, 1, FLOOD_COST))

    async def _once(self, name: PolicyName, key: str) -> Spent | None:
        policy = self._policies.get(name)
        if policy is None:
            return None
        wait = self._refused.get(key, 0.0) - time.monotonic()
        if wait > 0:  # a storm of what is refused anyway costs no round trips
            return _refused(policy, math.ceil(wait * 1000))
        self._refused.pop(key, None)
        wish = Wish(key, policy, 1, 1)
        grant = await self._ask(wish)
        if grant is None:
            return self._without(wish)
        if grant.wait_ms:
            _remember(self._refused, key, lambda: time.monotonic() + grant.wait_ms / 1000)
        return _spent(wish, grant)

    async def _ask(self, wish: Wish) -> Grant | None:
        """What Redis says; None if it is away."""
        if self._away:
            return None
        try:
            (grant,) = await self._buckets.take([wish])
        except Transient as failure:
            self._miss(failure)
            return None
        return grant

    # Shares

    async def _spend(self, name: PolicyName, key: str) -> int:
        policy = self._policies.get(name)
        if policy is None:
            return 0
        share = _remember(self._shares, key, _Share)
        wait_ms = share.take(time.monotonic())
        if wait_ms is None:
            wish = Wish(key, policy, 1, share.wants(policy, time.monotonic()))
            grant = await self._ask(wish)
            wait_ms = self._without(wish).wait_ms if grant is None else share.fill(grant, policy, time.monotonic())
        return _counted(policy, wait_ms)

    # Without Redis

    @property
    def _away(self) -> bool:
        return time.monotonic() < self._away_until

    def _miss(self, failure: Transient) -> None:
        self._away_until = time.monotonic() + AWAY_SECONDS
        _log.warning("rate limits are counted by this gateway alone", error=str(failure))

    def _without(self, wish: Wish) -> Spent:
        policy = wish.policy
        if policy.closed:
            raise Transient(f"Redis is away, and {policy.name} does not go without")
        bucket = _remember(self._own, wish.key, lambda: Bucket(policy.burst, policy.seconds))
        wait_ms = math.ceil(bucket.take(time.monotonic(), wish.needed) * 1000)
        return Spent(policy, 0, policy.seconds * 1000, wait_ms)


def _spent(wish: Wish, grant: Grant) -> Spent:
    return Spent(wish.policy, grant.left, grant.full_ms, _counted(wish.policy, grant.wait_ms))


def _refused(policy: Policy, wait_ms: int) -> Spent:
    return Spent(policy, 0, policy.seconds * 1000, _counted(policy, wait_ms))


def _counted(policy: Policy, wait_ms: int) -> int:
    if wait_ms:
        telemetry.rate_limited.labels(policy.name).inc()
    return wait_ms


def _remember(kept: "OrderedDict[_K, _T]", key: _K, make: Callable[[], _T]) -> _T:
    found = kept.get(key)
    if found is None:
        found = kept[key] = make()
        if len(kept) > REMEMBERED:
            kept.popitem(last=False)
    else:
        kept.move_to_end(key)
    return found
