"""How an operator says where and when: `3/1795000000000-0` is an entry of partition 3; `15m`, a time or an id is a moment."""

import re
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple

import click

from schemas.ids import StreamId

_REFERENCE: Final = re.compile(r"([0-9]{1,3})/([0-9]{1,19}-[0-9]{1,19})")
_ID: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
_AGO: Final = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Reference(NamedTuple):
    """One entry of one of a partition's streams."""

    partition: int
    entry_id: StreamId

    def __str__(self) -> str:
        return f"{self.partition}/{self.entry_id}"


def reference(text: str) -> Reference:
    """Read `<partition>/<entry id>`, as the listing commands print it.

    Raises:
        BadParameter: it is none.
    """
    if not (found := _REFERENCE.fullmatch(text)):
        raise click.BadParameter(f"{text!r} is no entry; expected e.g. 3/1795000000000-0")
    return Reference(int(found[1]), StreamId.parse(found[2]))


def moment(text: str) -> StreamId:
    """Read `15m` (ago), a time (RFC 3339; UTC if it names no zone), or an entry's id; a time is the first id of its millisecond.

    Raises:
        BadParameter: it is none.
    """
    if ago := _AGO.fullmatch(text):
        return StreamId(int(time.time() * 1000) - int(ago[1]) * _SECONDS[ago[2]] * 1000, 0)
    try:
        if _ID.fullmatch(text):
            return StreamId.parse(text)
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no moment; expected 15m, 2026-11-22T13:00:00Z, or an entry's id"
        ) from None
    return StreamId(round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000), 0)
