import asyncio
import statistics
import time
from collections.abc import Iterator

import pytest

from gateway.passwords import MAX_BYTES, Passwords, PasswordsBusy

pytestmark = pytest.mark.anyio


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords()
    yield passwords
    passwords.close()


async def test_the_right_password_opens_and_another_does_not(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.matches(stored, "correct horse")
    assert not await passwords.matches(stored, "Correct horse")
    assert not passwords.outdated(stored)


async def test_one_password_written_by_two_keyboards_is_one(passwords: Passwords) -> None:
    assert await passwords.matches(await passwords.hash("caf\u00e9 ﬁne!"), "cafe\u0301 fine!")


@pytest.mark.parametrize("password", ["", "seven77", "x" * (MAX_BYTES + 1), "é" * (MAX_BYTES // 2 + 1)], ids=len)
async def test_a_password_out_of_bounds_is_not_hashed(passwords: Passwords, password: str) -> None:
    with pytest.raises(ValueError, match="8 to 1024 bytes"):
        await passwords.hash(password)


@pytest.mark.parametrize("password", ["eight888", "éééé", "x" * MAX_BYTES], ids=len)
async def test_a_password_at_the_bounds_is_hashed(passwords: Passwords, password: str) -> None:
    assert await passwords.matches(await passwords.hash(password), password)


async def test_nobody_has_no_password_but_costs_as_much(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")

    async def cost(hash_: str | None) -> float:
        began = time.perf_counter()
        assert not await passwords.matches(hash_, "wrong horse")
        return time.perf_counter() - began

    known, unknown = [], []
    for _ in range(9):  # in turns, so that a noisy neighbour meets both
        known.append(await cost(stored))
        unknown.append(await cost(None))
    assert 0.4 < statistics.median(known) / statistics.median(unknown) < 2.5


async def test_a_damaged_hash_opens_nothing(passwords: Passwords) -> None:
    assert not await passwords.matches("$argon2id$damaged", "correct horse")


async def test_what_waits_is_bounded_and_the_rest_is_refused() -> None:
    passwords = Passwords(threads=1, waiting=3)
    try:
        outcomes = await asyncio.gather(
            *(passwords.matches(None, "wrong horse") for _ in range(10)), return_exceptions=True
        )
        assert sum(isinstance(one, PasswordsBusy) for one in outcomes) == 7
        assert not await passwords.matches(None, "wrong horse")
    finally:
        passwords.close()
