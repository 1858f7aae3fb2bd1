"""A stream cut into parts: one part in memory at a time, and exactly as many bytes as were announced."""

import io
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Final

from backplane.objects.failures import WrongSize

WHOLE_BYTES: Final = 8 * 1024 * 1024
"""Up to here an object is stored in one call."""
PART_BYTES: Final = 5 * 1024 * 1024
"""The smallest part that S3 takes: what an upload holds in memory."""
MAX_PARTS: Final = 10_000


def part_bytes(size: int) -> int:
    """How large the parts of an object of this size are.

    Raises:
        WrongSize: it has too many.
    """
    if size <= WHOLE_BYTES:
        return WHOLE_BYTES
    if size > PART_BYTES * MAX_PARTS:
        raise WrongSize(f"{size} bytes are more than {MAX_PARTS} parts of {PART_BYTES}")
    return PART_BYTES


async def cut(chunks: AsyncIterable[bytes], size: int, part: int) -> AsyncGenerator[io.BytesIO]:
    """Parts of `part` bytes, the last one shorter; at least one. Each is good until the next one is asked for.

    Raises:
        WrongSize: the stream is longer than `size`, said before the part that is too long; or shorter, said at its end.
    """
    buffer, held, seen = io.BytesIO(), 0, 0
    async for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            raise WrongSize(f"more than the announced {size} bytes")
        rest = memoryview(chunk)
        while held + len(rest) > part:
            buffer.write(rest[: part - held])
            rest = rest[part - held :]
            buffer.seek(0)
            yield buffer
            buffer.seek(0)  # and not cut: the next part is written over this one, in the memory that is there
            held = 0
        buffer.write(rest)
        held += len(rest)
    if seen < size:
        raise WrongSize(f"{seen} of the announced {size} bytes")
    buffer.truncate()
    buffer.seek(0)
    yield buffer
