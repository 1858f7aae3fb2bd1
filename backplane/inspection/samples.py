"""Files that tell what a scanner does: one that it must find, two that it must not call clean, one that is only large. All harmless."""

import io
import zipfile
from collections.abc import AsyncGenerator
from typing import Final

EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""What every scanner must find (https://www.eicar.org); in two halves, so that none finds it here."""

NESTED: Final = 64
"""Deeper than any sensible `MaxRecursion` (clamd's own is 17)."""
CHUNK_BYTES: Final = 256 * 1024
_ENCRYPTED: Final = 1
"""The bit of a zip entry's flags that says so (APPNOTE 4.4.4)."""


async def one(content: bytes) -> AsyncGenerator[bytes]:
    """A stream of a single chunk."""
    yield content


async def zeros(size: int) -> AsyncGenerator[bytes]:
    """So many zero bytes."""
    chunk = bytes(CHUNK_BYTES)
    for start in range(0, size, CHUNK_BYTES):
        yield chunk[: size - start]


def nested_zip() -> bytes:
    """A zip in a zip, and so on, further down than a scanner looks."""
    content = b"harmless"
    for _ in range(NESTED):
        content = _zipped(content)
    return content


def encrypted_zip() -> bytes:
    """A zip that says that its entry is encrypted."""
    content = bytearray(_zipped(b"harmless" * 100))
    content[6] |= _ENCRYPTED
    content[content.index(b"PK\x01\x02") + 8] |= _ENCRYPTED
    return bytes(content)


def _zipped(content: bytes) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.zip", content)
    return file.getvalue()
