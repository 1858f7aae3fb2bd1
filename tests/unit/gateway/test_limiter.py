"""How a gateway takes shares of a limit: few round trips, and little held back."""

import pytest

from backplane.errors import Transient
from backplane.limits import Grant, Wish
from gateway import limiter as module
from gateway.buckets import Bucket
from gateway.limiter import Limiter
from schemas.ids import ConversationId, UserId
from schemas.limits import read_policies
from schemas.names import Names

pytestmark = pytest.mark.anyio

ANN, ROOM = UserId("ann"), ConversationId("room")


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


class Buckets:
    """Redis, in this process: what all gateways share."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.asked, self.away = clock, 0, False
        self.buckets: dict[str, Bucket] = {}

    async def take(self, wishes: list[Wish]) -> list[Grant]:
        if self.away:
            raise Transient("away")
        self.asked += 1
        (wish,) = wishes
        bucket = self.buckets.setdefault(wish.key, Bucket(wish.policy.burst, wish.policy.seconds))
        for count in range(wish.wanted, wish.needed - 1, -1):
            if (wait := bucket.take(self.clock.now, count)) == 0:
                return [Grant(count, 0, 0, 0)]
        return [Grant(0, 0, 0, round(wait * 1000))]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def buckets(clock: Clock) -> Buckets:
    return Buckets(clock)


def gateway(buckets: Buckets, limits: str = "conversation=off") -> Limiter:
    return Limiter(read_policies(limits), Names(), buckets, None)  # type: ignore[arg-type]


async def test_who_talks_a_lot_costs_few_round_trips(buckets: Buckets, clock: Clock) -> None:
    limiter = gateway(buckets)
    for _ in range(600):
        assert await limiter.message(ANN, ROOM) == 0
        clock.now += 0.11
    assert buckets.asked < 50


@pytest.mark.parametrize("pause", [0.2, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("gateways", [1, 5])
async def test_who_stays_within_half_the_limit_is_never_refused_on_however_many_gateways(
    buckets: Buckets, clock: Clock, pause: float, gateways: int
) -> None:
    limiters = [gateway(buckets) for _ in range(gateways)]
    for number in range(500):
        assert await limiters[number % gateways].message(ANN, ROOM) == 0
        clock.now += pause


async def test_nobody_says_more_than_the_limit_allows(buckets: Buckets, clock: Clock) -> None:
    limiters, said = [gateway(buckets) for _ in range(3)], 0
    for number in range(6000):
        said += await limiters[number % 3].message(ANN, ROOM) == 0
        clock.now += 0.01
    assert 200 + 0.8 * 600 < said <= 200 + 600 + 1


async def test_a_refusal_is_remembered_until_it_is_over(buckets: Buckets, clock: Clock) -> None:
    limiter = gateway(buckets, "send=1/10,conversation=off")
    assert await limiter.message(ANN, ROOM) == 0
    assert await limiter.message(ANN, ROOM) == 10_000
    asked = buckets.asked
    clock.now += 4
    assert await limiter.message(ANN, ROOM) == 6_000
    assert buckets.asked == asked
    clock.now += 6.001
    assert await limiter.message(ANN, ROOM) == 0


async def test_while_redis_is_away_it_is_not_asked_again_and_again(buckets: Buckets, clock: Clock) -> None:
    limiter = gateway(buckets, "send=3/300,conversation=off")
    buckets.away = True
    waits = [await limiter.message(ANN, ROOM) for _ in range(4)]
    assert waits[:3] == [0, 0, 0]
    assert waits[3] == 100_000
    with pytest.raises(Transient, match="does not go without"):
        await limiter.account("login", "ann", "203.0.113.1")
    buckets.away = False
    assert await limiter.message(UserId("bob"), ROOM) == 0
    assert buckets.asked == 0  # a second has not passed
    clock.now += 1.1
    assert await limiter.message(UserId("bob"), ROOM) == 0
    assert buckets.asked == 1
