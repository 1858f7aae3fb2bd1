"""What was promised of an upload, and what came."""

import hashlib
import hmac
from dataclasses import dataclass

from consumers.inspection.problems import Refused


@dataclass(frozen=True, slots=True)
class Promise:
    """What a client says of an upload before it comes: `size` in bytes, `sha256` in 32 bytes, or None: it need not say."""

    size: int
    sha256: bytes | None = None


class Tally:
    """Counts an upload while it streams."""

    def __init__(self, promise: Promise) -> None:
        self._promise, self._hash = promise, hashlib.sha256()
        self.size = 0

    def add(self, chunk: bytes) -> None:
        """Count a chunk.

        Raises:
            Refused: it is more than was promised.
        """
        self.size += len(chunk)
        if self.size > self._promise.size:
            raise Refused("wrong_size", f"The file is larger than the {self._promise.size} bytes that were announced.")
        self._hash.update(chunk)

    def end(self) -> bytes:
        """Judge the whole, and give its SHA-256.

        Raises:
            Refused: it is less than was promised, or something else.
        """
        if self.size != self._promise.size:
            raise Refused("wrong_size", f"The file has {self.size} bytes; {self._promise.size} were announced.")
        came, promised = self._hash.digest(), self._promise.sha256
        if promised is not None and not hmac.compare_digest(came, promised):
            raise Refused("wrong_checksum", "The file is not the one that was announced: its SHA-256 differs.")
        return came
