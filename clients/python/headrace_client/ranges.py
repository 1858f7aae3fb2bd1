"""Where a download that was cut goes on (RFC 9110, 14). No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,16})-([0-9]{1,16})/([0-9]{1,16})")


@dataclass(frozen=True, slots=True)
class Place:
    """How far we are, in which version of the object. Without an `etag` nobody knows which, so there is no going on."""

    offset: int = 0
    total: int | None = None
    etag: str | None = None

    def headers(self) -> dict[str, str]:
        """What asks for the rest."""
        return {"Range": f"bytes={self.offset}-"} if self.offset and self.etag else {}

    def after(self, count: int) -> "Place":
        """So many bytes further."""
        return Place(self.offset + count, self.total, self.etag)


def follow(place: Place, status: int, headers: Mapping[str, str]) -> Place | None:
    """Where the body of a 200 or 206 answer belongs; None: nowhere, it is of another object or of another part. Header names in lower case."""
    etag = headers.get("etag")
    if status != 206:  # whole, whatever was asked for
        length = headers.get("content-length", "")
        return Place(0, int(length) if length.isdecimal() else None, etag)
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if match is None or etag != place.etag:
        return None
    start, end, total = (int(number) for number in match.groups())
    return place if (start, end, total) == (place.offset, total - 1, place.total) else None
