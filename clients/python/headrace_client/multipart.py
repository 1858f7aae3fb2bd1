"""A form with one file as `multipart/form-data` (RFC 7578), so that its length is known before a byte of the file is read. No I/O."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Framing:
    """What goes before and after a file of `size` bytes."""

    content_type: str
    head: bytes
    size: int
    tail: bytes

    @property
    def length(self) -> int:
        """The `Content-Length`."""
        return len(self.head) + self.size + len(self.tail)


def frame(fields: Mapping[str, str], size: int, *, boundary: str | None = None) -> Framing:
    """The fields in their order, then the file as `file`: S3 looks at nothing that comes after it."""
    boundary = boundary or secrets.token_hex(16)
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    return Framing(f"multipart/form-data; boundary={boundary}", head.encode(), size, f"\r\n--{boundary}--\r\n".encode())


def _quoted(name: str) -> str:
    """As browsers do it (WHATWG HTML, “Multipart form data”)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
