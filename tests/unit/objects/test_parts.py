"""A stream in parts: nothing is lost or added, no part is too large, and the announced size is kept to."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backplane.objects.failures import WrongSize
from backplane.objects.parts import MAX_PARTS, PART_BYTES, WHOLE_BYTES, cut, part_bytes


async def stream(chunks: list[bytes]) -> AsyncGenerator[bytes]:
    for chunk in chunks:
        yield chunk


def cut_up(chunks: list[bytes], size: int, part: int) -> list[bytes]:
    async def run() -> list[bytes]:
        return [one.read() async for one in cut(stream(chunks), size, part)]

    return asyncio.run(run())


@given(st.lists(st.binary(max_size=30), max_size=12), st.integers(1, 20))
def test_parts_hold_the_stream_and_all_but_the_last_are_full(chunks: list[bytes], part: int) -> None:
    whole = b"".join(chunks)
    parts = cut_up(chunks, len(whole), part)
    assert b"".join(parts) == whole
    assert {len(one) for one in parts[:-1]} <= {part}
    assert len(parts) == max(1, -(-len(whole) // part))


@given(st.lists(st.binary(max_size=30), max_size=12), st.integers(1, 20), st.integers(-40, 40).filter(bool))
def test_another_size_than_announced_is_refused(chunks: list[bytes], part: int, off: int) -> None:
    size = max(0, sum(map(len, chunks)) + off)
    if size == sum(map(len, chunks)):
        return
    with pytest.raises(WrongSize):
        cut_up(chunks, size, part)


def test_what_is_too_long_is_noticed_before_the_rest_is_read() -> None:
    read: list[int] = []

    async def endless() -> AsyncGenerator[bytes]:
        while True:
            read.append(1)
            yield b"x"

    async def run() -> None:
        async for _ in cut(endless(), 10, 100):
            pass

    with pytest.raises(WrongSize):
        asyncio.run(run())
    assert len(read) == 11


def test_small_objects_are_one_part_and_large_ones_have_a_bound() -> None:
    assert part_bytes(WHOLE_BYTES) == WHOLE_BYTES
    assert part_bytes(WHOLE_BYTES + 1) == PART_BYTES
    with pytest.raises(WrongSize):
        part_bytes(PART_BYTES * MAX_PARTS + 1)
