"""One retry, of what may be repeated and failed at once; and what two failures mean together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from backplane.errors import Transient, Unknown
from backplane.objects.driver import Driver

pytestmark = pytest.mark.anyio

AWAY = EndpointConnectionError(endpoint_url="x")
LOST = ConnectionClosedError(endpoint_url="x")


class Client:
    def close(self) -> None:
        pass


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    driver = Driver(Client())
    yield driver
    await driver.close()


def ends(*results: Any) -> tuple[Callable[[Any], Any], list[int]]:
    """A call that ends so, one after the other; and the list of its calls."""
    calls: list[int] = []

    def call(_: Any) -> Any:
        calls.append(1)
        result = results[len(calls) - 1]
        if isinstance(result, Exception):
            raise result
        return result

    return call, calls


@pytest.mark.parametrize("failure", [AWAY, LOST])
async def test_what_failed_at_once_is_tried_once_more(driver: Driver, failure: Exception) -> None:
    for ask in (driver.read, driver.write):
        call, calls = ends(failure, "done")
        assert await ask("ask", call) == "done"
        assert len(calls) == 2


async def test_and_no_more_than_that(driver: Driver) -> None:
    call, calls = ends(AWAY, AWAY, "never")
    with pytest.raises(Transient):
        await driver.read("ask", call)
    assert len(calls) == 2


async def test_what_must_not_be_repeated_is_not(driver: Driver) -> None:
    call, calls = ends(LOST, "never")
    with pytest.raises(Unknown):
        await driver.write("ask", call, again=False)
    assert len(calls) == 1
    going_on, reads = ends(LOST, "never")
    with pytest.raises(Transient):
        await driver.once("ask", lambda: going_on(None), lost=lambda _: None)
    assert len(reads) == 1


async def test_a_refusal_is_not_tried_again(driver: Driver) -> None:
    call, calls = ends(KeyError("ours"), "never")
    with pytest.raises(KeyError):
        await driver.read("ask", call)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("first", "second", "means"),
    [(LOST, AWAY, Unknown), (AWAY, LOST, Unknown), (AWAY, AWAY, Transient)],
)
async def test_a_write_that_may_have_been_done_once_stays_unknown(
    driver: Driver, first: Exception, second: Exception, means: type[Exception]
) -> None:
    call, _ = ends(first, second)
    with pytest.raises(means) as caught:
        await driver.write("ask", call)
    assert type(caught.value) is means


async def test_a_read_is_never_unknown(driver: Driver) -> None:
    call, _ = ends(LOST, LOST)
    with pytest.raises(Transient) as caught:
        await driver.read("ask", call)
    assert type(caught.value) is Transient


async def test_who_has_waited_for_a_time_out_does_not_wait_for_a_second(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    call, calls = ends(LOST, "never")
    real = loop.time
    late: list[float] = []

    def slow(client: Any) -> Any:
        late.append(10.0)  # the clock goes on while it runs
        return call(client)

    monkeypatch.setattr(loop, "time", lambda: real() + sum(late))
    with pytest.raises(Unknown):
        await driver.write("ask", slow)
    assert len(calls) == 1
