"""What a client must bring before it is anybody: a web origin that may, our sub-protocol, `connect` as its first frame. Pure.

The upgrade is accepted before anything is refused, so that a browser sees our close code and not 1006.
"""

from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from gateway.addresses import is_known
from schemas.client_frames import BadFrame, Connect, decode_frame
from schemas.errors import CLOSES, UNSUPPORTED_DATA, CloseRow
from schemas.ids import Position

SUBPROTOCOL = "headrace.v1"


class Refused(Exception):
    """A connection that ends before it began: the row of the close table, and what exactly was wrong."""

    def __init__(self, row: CloseRow, reason: str | None = None, retry_after_ms: int | None = None) -> None:
        super().__init__(row.name)
        self.row, self.reason, self.retry_after_ms = row, reason, retry_after_ms


def chosen_protocol(offered: Sequence[str]) -> str | None:
    """The sub-protocol to accept the upgrade with.

    A client that offers only foreign ones gets its first one back: a browser that gets none fails the connection by
    itself (WebSockets Standard, “establish a connection”, step 11.4) and would never see the close code 4503.
    """
    return SUBPROTOCOL if SUBPROTOCOL in offered else next(iter(offered), None)


def check_upgrade(
    *,
    offered: Sequence[str],
    origins: Sequence[str],
    host: str | None,
    allowed_origins: Collection[str],
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Judge the headers of an upgrade.

    Raises:
        Refused: the name is not this server's, the web origin may not use it, or the client speaks another protocol.
    """
    if not is_known(host, allowed_hosts):
        raise Refused(CLOSES["bad_request"], "this server is not known by that name")
    if origins and not (len(origins) == 1 and _may(origins[0], host, allowed_origins)):
        raise Refused(CLOSES["forbidden_origin"])
    if offered and SUBPROTOCOL not in offered:
        raise Refused(CLOSES["unsupported_protocol"])


def _may(origin: str, host: str | None, allowed_origins: Collection[str]) -> bool:
    """Same origin, or listed. The scheme is not compared with ours: TLS usually ends before us."""
    origin = origin.lower()
    if origin in {allowed.lower() for allowed in allowed_origins}:
        return True
    try:
        return host is not None and urlsplit(origin).netloc == host.lower() != ""
    except ValueError:
        return False


def first_frame(raw: str | bytes) -> tuple[Connect, Position | None]:
    """Read the frame that opens a session, and the position that it resumes from.

    Raises:
        Refused: it is anything else.
    """
    if isinstance(raw, bytes):
        raise Refused(UNSUPPORTED_DATA)
    row = CLOSES["bad_request"]
    try:
        frame = decode_frame(raw)
    except BadFrame as failure:
        raise Refused(row, str(failure)) from None
    if not isinstance(frame, Connect):
        raise Refused(row, "the first frame must be `connect`")
    try:
        return frame, None if frame.resume is None else Position.parse(frame.resume)
    except ValueError as failure:
        raise Refused(row, f"resume: {failure}") from None
