"""What can go wrong, as a program should see it."""


class HeadraceError(Exception):
    """Everything that this package raises on its own account."""


class Rejected(HeadraceError):
    """The server refused a message for good: it is not stored, and the same id will never be. A program may send anew."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class Stopped(HeadraceError):
    """The connection ended and will not come back by itself: a close code from 4500, or no way to get a token."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason if code is None else f"{reason} (close code {code})")
        self.code = code
        self.reason = reason


class OutboxFull(HeadraceError):
    """Too many messages wait for the server already; the message was not taken."""


class ApiError(HeadraceError):
    """A REST call was refused (RFC 9457): `code` from the error table, `status` from HTTP. `temporary`: the same may succeed later."""

    def __init__(
        self, status: int, code: str, message: str, *, temporary: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{message} ({code})")
        self.status = status
        self.code = code
        self.message = message
        self.temporary = temporary
        self.retry_after_s = retry_after_s


class Unreachable(HeadraceError):
    """The server could not be asked, or did not answer whole. A call that changes something may or may not have happened."""


class FileChanged(HeadraceError):
    """A file is not what it was when it was announced: it became shorter under our hands, or the object store has another one."""
