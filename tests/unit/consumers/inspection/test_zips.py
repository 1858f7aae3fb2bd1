"""What is wrong with single entries of a zip."""

import io
import struct
import zipfile
import zlib

import pytest

from consumers.inspection.archives import inspect_archive
from consumers.inspection.budget import Limits
from tests.unit.consumers.inspection.samples import deflated_zeros, directory, local_header, zip_by_hand, zipped

PACKED = zlib.compress(b"hello", 9, -15)
CRC = zlib.crc32(b"hello")


def inspect(content: bytes) -> str | None:
    problem = inspect_archive(io.BytesIO(content), Limits())
    return problem and problem.code


def one(
    name: bytes = b"a",
    *,
    flags: int = 0,
    method: int = 8,
    size: int = 5,
    crc: int = CRC,
    local_flags: int | None = None,
) -> bytes:
    return zip_by_hand(name, PACKED, size, crc, flags=flags, method=method, local_flags=local_flags)


def test_the_sample_is_honest() -> None:
    assert inspect(one()) is None
    with zipfile.ZipFile(io.BytesIO(one())) as archive:
        assert archive.read("a") == b"hello"


@pytest.mark.parametrize(
    "content", [one(flags=1), one(flags=1, local_flags=0), one(local_flags=1), one(flags=0x41), one(method=99)]
)
def test_an_encrypted_entry_is_reported(content: bytes) -> None:
    assert inspect(content) == "archive_encrypted"


def test_one_encrypted_entry_among_others_is_enough() -> None:
    content = bytearray(zipped({"a": b"a", "b": b"b", "c": b"c"}))
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    assert inspect(bytes(content)) == "archive_encrypted"


@pytest.mark.parametrize(
    "name",
    [b"../a", b"a/../../b", b"a/..", b"..", b"/etc/passwd", b"//host/share", b"..\\a", b"a\\..\\..\\b", b"\\a", b"C:\\a", b"c:a", b".. /a",
     b"a.txt\0../x", b"\xc0\xae\xc0\xae\\..\\x"],
)  # fmt: skip
def test_a_name_that_leads_out_is_reported(name: bytes) -> None:
    assert inspect(one(name)) == "archive_names"


@pytest.mark.parametrize("name", [b"a", b"a/b", b"./a", b"..a", b"a..", b"a/...b/c", b"ab:c", b"folder/"])
def test_other_names_are_not(name: bytes) -> None:
    assert inspect(one(name)) is None


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("a", "b", None), ("a/b", "../c", None), ("a", "../c", "archive_names"), ("a/b", "../../c", "archive_names"),
        ("a", "/etc", "archive_names"), ("a", "C:\\x", "archive_names"), ("a", "..\\c", "archive_names"), ("a", "x" * 5000, "archive_damaged"),
    ],
)  # fmt: skip
def test_a_link_may_not_lead_out(name: str, target: str, expected: str | None) -> None:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        link = zipfile.ZipInfo(name)
        link.create_system = 3
        link.external_attr = 0o120777 << 16
        archive.writestr(link, target)
    assert inspect(file.getvalue()) == expected


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_can_not_be_inflated_within_bounds_is_not_taken(method: int) -> None:
    assert inspect(zipped({"a": b"hello"}, method)) == "archive_unsupported"


@pytest.mark.parametrize("content", [one(size=4), one(size=6), one(crc=CRC ^ 1), one(size=0), one(size=2**32 - 2)])
def test_an_entry_that_is_not_what_its_directory_says_is_damaged(content: bytes) -> None:
    assert inspect(content) == "archive_damaged"


def two_headers(*, local: bytes, listed: tuple[bytes, int], method: int = 8, name: bytes = b"a") -> bytes:
    """A zip whose local header is `local`, and whose directory says name and packed size `listed`."""
    content = local + PACKED
    return content + directory([(listed[0], listed[1], 5, CRC, 0)], at=len(content), method=method)


@pytest.mark.parametrize(
    "content",
    [
        two_headers(local=local_header(b"b", PACKED, 5, CRC), listed=(b"a", len(PACKED))),
        two_headers(local=local_header(b"a", PACKED, 5, CRC, method=0), listed=(b"a", len(PACKED))),
        two_headers(local=local_header(b"a", len(PACKED) - 1, 5, CRC), listed=(b"a", len(PACKED))),
        two_headers(local=local_header(b"a", len(PACKED) - 1, 5, CRC), listed=(b"a", len(PACKED) - 1)),
        two_headers(local=local_header(b"a", len(PACKED) + 1, 5, CRC), listed=(b"a", len(PACKED) + 1)),
        two_headers(local=b"junk" + local_header(b"a", PACKED, 5, CRC), listed=(b"a", len(PACKED))),
    ],
    ids=["name", "method", "size", "too short", "into the directory", "elsewhere"],
)  # fmt: skip
def test_an_entry_that_calls_itself_something_else_is_damaged(content: bytes) -> None:
    assert inspect(content if content.startswith(b"PK") else b"PK\3\4" + content) == "archive_damaged"


def test_something_behind_the_end_of_an_entry_is_damage() -> None:
    """What another program might show, and the scanner not see."""
    assert inspect(zip_by_hand(b"a", PACKED + b"hidden", 5, CRC)) == "archive_damaged"
    long = deflated_zeros(1) + bytes(50_000)
    assert inspect(zip_by_hand(b"a", long, 1_000_000, zlib.crc32(bytes(1_000_000)))) == "archive_damaged"


@pytest.mark.parametrize("offset", [5, 2**31, 2**32 - 2])
def test_an_entry_that_lies_nowhere_is_damaged(offset: int) -> None:
    local = local_header(b"a", PACKED, 5, CRC) + PACKED
    assert inspect(local + directory([(b"a", len(PACKED), 5, CRC, offset)], at=len(local))) == "archive_damaged"


def test_streamed_zip64_and_commented_zips_are_honest() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.got = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.got += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    with zipfile.ZipFile(pipe := Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"hello" * 100)
        archive.comment = b"PK\1\2 is said here"
        with archive.open("b", "w", force_zip64=True) as entry:
            entry.write(b"hello")
    assert inspect(pipe.got) is None
    with (
        zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("b", "w", force_zip64=True) as entry,
    ):
        entry.write(b"hello")
    assert inspect(file.getvalue()) is None


@pytest.mark.parametrize("sentinel", [True, False])
def test_the_end_may_be_zip64s(sentinel: bool) -> None:
    """With what it says in both ends, as Info-ZIP writes it, or in the larger one alone."""
    content = one()
    at = content.index(b"PK\x01\x02")
    body, end = content[at:-22], content[-22:]
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(body), at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at + len(body), 1)
    if sentinel:
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert inspect(content[:at] + body + large + locator + end) is None
    assert inspect(content[:at] + body + bytes(76) + end) == "archive_damaged"


def test_a_folder_that_says_that_it_is_deflated_is_honest() -> None:
    assert inspect(zip_by_hand(b"folder/", b"", 0, 0)) is None


def test_the_end_may_lie() -> None:
    """About how many entries there are, where the directory is, and how long: of an empty one, there would be nothing to look into."""
    content = one()
    for at, value in [(8, 0), (8, 0x0002_0001), (12, 0), (12, 2**32 - 1), (12, 10), (16, 2**32 - 1), (16, 7)]:
        changed = bytearray(content)
        end = content.rindex(b"PK\x05\x06")
        struct.pack_into("<L", changed, end + at, value)
        assert inspect(bytes(changed)) == "archive_damaged", (at, value)


@pytest.mark.parametrize("place", ["before", "between", "behind the last", "behind the end"])
def test_nothing_may_lie_beside_the_entries(place: str) -> None:
    """Programs that go from header to header, and not by the directory, would find it."""
    hidden = local_header(b"hidden", PACKED, 5, CRC) + PACKED
    entry = local_header(b"a", PACKED, 5, CRC) + PACKED
    blocks = {
        "before": [hidden, entry, entry],
        "between": [entry, hidden, entry],
        "behind the last": [entry, entry, hidden],
        "behind the end": [entry, entry],
        "nowhere": [entry, entry],
    }
    for where in (place, "nowhere"):
        content, listed = b"", []
        for block in blocks[where]:
            if block is entry:
                listed.append((b"a", len(PACKED), 5, CRC, len(content)))
            content += block
        content += directory(listed, at=len(content)) + (hidden if where == "behind the end" else b"")
        assert inspect(content) == (None if where == "nowhere" else "archive_damaged")
