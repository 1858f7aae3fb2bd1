"""What is wrong with single members of a tar."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.inspection.archives import inspect_archive
from consumers.inspection.budget import Limits
from tests.unit.consumers.inspection.samples import tar_of, tarred, zipped

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def inspect(content: bytes, limits: Limits | None = None) -> str | None:
    problem = inspect_archive(io.BytesIO(content), limits or Limits())
    return problem and problem.code


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0, **pax: str) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.size, one.pax_headers = kind, target, size, pax
    return one


def checked(block: bytearray) -> bytes:
    """A header with a right checksum."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_walked_through(form: int) -> None:
    entries = {"a": b"x" * 700, "b" * 90 + "/" + "c" * 60: b"", "d": b"y" * 512, "in.zip": zipped({"a": b"b"})}
    assert inspect(tarred(entries, form)) is None
    entries["in.zip"] = zipped({"../a": b"b"})
    assert inspect(tarred(entries, form)) == "archive_names", "the last one was looked into"


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.lists(
        st.tuples(st.text("abcü/", min_size=1, max_size=200).map(lambda name: "x" + name), st.binary(max_size=1500)),
        max_size=5,
    ),
)
def test_every_member_is_found(form: int, members: list[tuple[str, bytes]]) -> None:
    """A name that leads out is put last: it is found only by who has counted right up to it."""
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w", format=form) as archive:
        for name, content in [*members, ("../out", b"")]:
            one = member(name, size=len(content))
            try:
                archive.addfile(one, io.BytesIO(content))
            except ValueError:  # too long a name for ustar
                continue
    assert inspect(file.getvalue()) == "archive_names"


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "x" * 150 + "/../../../a", "C:\\a"])
@pytest.mark.parametrize("form", FORMATS[1:])
def test_a_name_that_leads_out_is_reported(name: str, form: int) -> None:
    assert inspect(tarred({name: b"x"}, form)) == "archive_names"


@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [
        (tarfile.SYMTYPE, "b", None), (tarfile.SYMTYPE, "../b", None), (tarfile.SYMTYPE, "../../b", "archive_names"),
        (tarfile.SYMTYPE, "/etc", "archive_names"), (tarfile.SYMTYPE, "../" * 60 + "etc", "archive_names"),
        (tarfile.LNKTYPE, "folder/b", None), (tarfile.LNKTYPE, "../b", "archive_names"), (tarfile.LNKTYPE, "/etc/passwd", "archive_names"),
        (tarfile.CHRTYPE, "", "archive_names"), (tarfile.BLKTYPE, "", "archive_names"), (tarfile.FIFOTYPE, "", "archive_names"),
        (tarfile.DIRTYPE, "", None), (tarfile.CONTTYPE, "", None), (tarfile.GNUTYPE_SPARSE, "", "archive_unsupported"),
    ],
)  # fmt: skip
def test_links_devices_and_sparse_files(kind: bytes, target: str, expected: str | None) -> None:
    assert inspect(tar_of(member("folder/a", kind, target), member("b"))) == expected


def test_something_behind_the_end_is_damage() -> None:
    content = tarred({"a": b"b"})
    assert inspect(content + bytes(5000)) is None
    assert inspect(content + tarred({"hidden": b"x"})) == "archive_damaged"


def test_the_end_may_be_missing_but_nothing_else() -> None:
    content = tarred({"a": b"b" * 600})
    assert inspect(content[:1536]) is None
    assert inspect(content[:1535]) == "archive_damaged"


def test_a_header_with_a_wrong_checksum_is_damaged() -> None:
    content = bytearray(tarred({"a": b"b", "c": b"d"}))
    content[1024] ^= 1
    assert inspect(bytes(content)) == "archive_damaged"


def test_a_size_counts_where_it_is_said_last() -> None:
    """pax may say it beforehand; whoever went by the header alone would look for the next member in the wrong place."""
    content = bytearray(tar_of(member("a", size=600, comment="x"), member("../out")))
    header = bytearray(content[1024:1536])
    assert header[:2] == b"a\0"
    header[124:136] = b"00000000000\0"
    content[1024:1536] = checked(header)
    assert inspect(bytes(content)) == "archive_damaged"
    length = bytearray(content[:512])
    length[124:136] = b"%011o\0" % 12
    content[:512], content[512:1024] = checked(length), b"12 size=600\n".ljust(512, b"\0")
    assert inspect(bytes(content)) == "archive_names", "the second member was found"


def test_base_256_sizes_are_read() -> None:
    header = bytearray(tar_of(member("a", size=5))[:512])
    header[124:136] = b"\x80" + (600).to_bytes(11, "big")
    rest = bytes(1024) + tar_of(member("../out"))
    assert inspect(checked(header) + rest) == "archive_names"
    header[124:136] = b"\x80" + (2**80).to_bytes(11, "big")
    assert inspect(checked(header) + rest) == "archive_damaged"
    header[124:136] = b"\xff" * 12
    assert inspect(checked(header) + rest) == "archive_damaged"


@pytest.mark.parametrize("pax", [{"GNU.sparse.major": "1"}, {"comment": "x" * 100_000}], ids=["sparse", "too long"])
def test_what_is_said_beforehand_has_bounds(pax: dict[str, str]) -> None:
    one = member("a", size=3)
    one.pax_headers = pax
    assert inspect(tar_of(one)) == "archive_unsupported"


@pytest.mark.parametrize(
    "record", [b"size=5\n", b"0 a=b\n", b"99 a=b\n", b"6 ab=c", b"-6 a=b\n", b"6 a b\n", b"12 size=6x0\n", b"1" * 500]
)
def test_a_record_that_is_none_is_damage(record: bytes) -> None:
    header = bytearray(tar_of(member("a"))[:512])
    header[156:157] = b"x"
    header[124:136] = b"%011o\0" % len(record)
    assert inspect(checked(header) + record.ljust(512, b"\0") + tar_of(member("a"))) == "archive_damaged"


def test_a_name_for_all_is_not_taken() -> None:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w", pax_headers={"path": "../out"}) as archive:
        archive.addfile(member("a"))
    assert inspect(file.getvalue()) == "archive_unsupported"


def test_headers_without_end_are_stopped() -> None:
    """An extension for each member, and no member."""
    header = bytearray(tar_of(member("a"))[:512])
    header[156:157] = b"L"
    assert inspect(checked(header) * 101, Limits(entries=100)) == "archive_entries"
