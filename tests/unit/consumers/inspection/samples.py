"""Archives for tests, also such as no honest program writes."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping

ZEROS = bytes(1_000_000)


def zipped(entries: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def gzipped(content: bytes) -> bytes:
    """The same at any time, as tests' names must be."""
    return gzip.compress(content, mtime=0)


def tarred(entries: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w", format=form) as archive:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def old_tarred(entries: Mapping[str, bytes]) -> bytes:
    """As before POSIX, without a mark; of one entry."""
    tar = bytearray(tarred(entries, tarfile.GNU_FORMAT))
    tar[257:265] = bytes(8)
    tar[148:156] = b"%06o\0 " % (sum(tar[:148]) + 8 * 0x20 + sum(tar[156:512]))
    return bytes(tar)


def tar_of(*members: tarfile.TarInfo) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return file.getvalue()


def deflated_zeros(megabytes: int, wbits: int = -15) -> bytes:
    """So many megabytes of zeros: one to a thousand."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join(packer.compress(ZEROS) for _ in range(megabytes)) + packer.flush()


def zip_by_hand(
    name: bytes, packed: bytes, size: int, crc: int, *, flags: int = 0, method: int = 8, local_flags: int | None = None
) -> bytes:
    """A zip of one entry that says what we want."""
    local = (
        local_header(name, packed, size, crc, flags=flags if local_flags is None else local_flags, method=method)
        + packed
    )
    return local + directory([(name, len(packed), size, crc, 0)], at=len(local), flags=flags, method=method)


def local_header(name: bytes, packed: bytes | int, size: int, crc: int, *, flags: int = 0, method: int = 8) -> bytes:
    length = packed if isinstance(packed, int) else len(packed)
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, flags, method, 0, 33, crc, length, size, len(name), 0) + name


def directory(
    entries: list[tuple[bytes, int, int, int, int]],
    *,
    at: int,
    flags: int = 0,
    method: int = 8,
    count: int | None = None,
) -> bytes:
    """The central directory of entries (name, packed, size, CRC, offset), and its end."""
    body = b"".join(
        struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, flags, method, 0, 33, crc, packed, size, len(name), 0, 0, 0, 0, 0, offset
        )
        + name
        for name, packed, size, crc, offset in entries
    )
    number = (len(entries) if count is None else count) & 0xFFFF
    return body + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, len(body), at, 0)


def bomb(megabytes: int, *, said: int | None = None) -> bytes:
    """A zip with one entry of zeros, that may say that it is smaller."""
    crc = 0
    for _ in range(megabytes):
        crc = zlib.crc32(ZEROS, crc)
    return zip_by_hand(b"zeros", deflated_zeros(megabytes), megabytes * len(ZEROS) if said is None else said, crc)


def nested(content: bytes, levels: int, copies: int = 1) -> bytes:
    """Zips in zips, as in 42.zip: each of so many levels holds `copies` of the one below."""
    for _ in range(levels):
        content = zipped({f"lib{number}.zip": content for number in range(copies)})
    return content


def one_kernel_many_entries(entries: int, megabytes: int) -> bytes:
    """Every entry of the directory means the same local header."""
    packed, crc = deflated_zeros(megabytes), zlib.crc32(ZEROS * megabytes)
    local = local_header(b"a", packed, megabytes * len(ZEROS), crc) + packed
    return local + directory([(b"a", len(packed), megabytes * len(ZEROS), crc, 0)] * entries, at=len(local))


def quoted_overlap(entries: int, megabytes: int) -> bytes:
    """D. Fifield's: each entry quotes the header of the next one as a stored block, and goes on as that one does. All CRCs are right."""
    names = [b"%03d" % number for number in range(entries)]
    body = deflated_zeros(megabytes)
    plain = ZEROS * megabytes
    chain = b""
    listed: list[tuple[bytes, int, int, int, int]] = []
    for name in reversed(names):
        crc = zlib.crc32(plain)
        header = local_header(name, body, len(plain), crc)
        listed.append((name, len(body), len(plain), crc, len(header) + len(body)))
        chain = header + body
        body = struct.pack("<BHH", 0, len(header), 0xFFFF ^ len(header)) + chain
        plain = header + plain
    placed = [(name, packed, size, crc, len(chain) - reach) for name, packed, size, crc, reach in reversed(listed)]
    return chain + directory(placed, at=len(chain))


def gzip_bomb(megabytes: int, levels: int = 1) -> bytes:
    content = deflated_zeros(megabytes, 31)
    for _ in range(levels - 1):
        content = gzipped(content)
    return content
