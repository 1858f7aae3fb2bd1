"""What is said of an object, and the form of an upload."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

INLINE_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What a browser may show by itself: types that can hold no script. Never SVG, HTML or PDF."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as it was when the store was asked.

    Attributes:
        etag: which content it is, without quotes; not always its MD5.
        content_type: as it was uploaded; None in lists, which do not say it.
        source_etag: of what was promoted, the ETag that it had in quarantine.
    """

    key: str
    size: int
    etag: str
    modified_ms: int
    content_type: str | None = None
    source_etag: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A form by which a client uploads one object itself: `fields` in this order, then the file as `file`, posted to `url`."""

    url: str
    fields: Mapping[str, str] = field(repr=False)  # who has them may upload
    expires_ms: int
