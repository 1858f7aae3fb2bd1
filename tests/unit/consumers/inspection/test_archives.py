"""Archives are looked into within limits, and what can not be looked into is not taken."""

import io
import random
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.inspection.archives import archive_format, inspect_archive
from consumers.inspection.budget import Limits
from tests.unit.consumers.inspection import samples
from tests.unit.consumers.inspection.samples import ZEROS, gzip_bomb, gzipped, nested, old_tarred, tarred, zipped

LIMITS = Limits(
    entries=100, total_bytes=20_000_000, ratio=100, ratio_from_bytes=5_000_000, depth=3, directory_bytes=100_000
)
HUGE = Limits(entries=10**9, total_bytes=10**12, ratio=10**9, ratio_from_bytes=10**12, depth=100)


def inspect(content: bytes, limits: Limits = LIMITS) -> str | None:
    problem = inspect_archive(io.BytesIO(content), limits)
    return problem and problem.code


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


NOISE = random.Random(1).randbytes(300_000)


@pytest.mark.parametrize("pack", [lambda one: zipped({"a": one}), lambda one: tarred({"a": one}), gzipped])
def test_a_zip_behind_something_else_is_not_overlooked_in_an_archive(pack: Callable[[bytes], bytes]) -> None:
    hidden = zipped({"a.txt": b"hello"})
    assert inspect(pack(hidden)) is None
    assert inspect(pack(b"x" + hidden)) == "archive_damaged"
    assert inspect(pack(b"x" + hidden + b"and more")) == "archive_damaged"


def test_a_tar_from_before_posix_is_looked_into() -> None:
    assert inspect(old_tarred({"a": b"hello"})) is None
    assert inspect(old_tarred({"a.zip": zipped({"b": gzip_bomb(20)})})) == "archive_ratio"


@pytest.mark.parametrize(
    "content",
    [
        zipped({"a.txt": b"hello", "folder/": b"", "folder/b.txt": b"x" * 100_000, "noise": NOISE}),
        zipped({"a.txt": b"hello", "noise": NOISE}, zipfile.ZIP_STORED),
        zipped({}),
        zipped({"ü.txt": b"", "日本.txt": b"1"}),
        gzipped(b"hello"),
        gzipped(NOISE) + gzipped(b"") + gzipped(b"more") + bytes(700),
        gzipped(b""),
        tarred({"a.txt": b"hello", "b": NOISE}),
        gzipped(tarred({"a.txt": b"hello", "b": NOISE})),
        zipped({"inner.zip": zipped({"a": b"b"}), "inner.tar.gz": gzipped(tarred({"a": b"b"}))}),
        tarred({"inner.zip": zipped({"innermost.zip": zipped({"a": b"b"})})}),
        b"no archive at all",
        b"",
        b"\x89PNG\r\n\x1a\n" + NOISE,
    ],
    ids=range(14),
)
def test_what_is_as_it_should_be_has_no_problem(content: bytes) -> None:
    assert inspect(content) is None


def test_every_format_is_known_by_its_first_bytes() -> None:
    assert archive_format(zipped({"a": b"b"})) == "zip"
    assert archive_format(zipped({})) == "zip"
    assert archive_format(gzipped(b"")) == "gzip"
    assert archive_format(tarred({"a": b"b"})) == "tar"
    assert archive_format(b"a" * 600) is None


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0:", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20
).filter(lambda name: name.strip(" ."))
CONTENTS = st.recursive(
    st.binary(max_size=3000).filter(lambda content: archive_format(content) is None),
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, max_size=4).map(zipped),
        st.dictionaries(NAMES, inner, max_size=4).map(lambda entries: zipped(entries, zipfile.ZIP_STORED)),
        st.dictionaries(NAMES, inner, min_size=1, max_size=4).map(tarred),
        inner.map(gzipped),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, CONTENTS, max_size=4).map(zipped))
def test_whatever_honest_programs_pack_has_no_problem(content: bytes) -> None:
    assert inspect(content, HUGE) is None


DAMAGED = [
    zipped({"a.txt": b"hello" * 50, "b": b"x"}),
    zipped({"in.zip": zipped({"a": b"hello" * 50}), "in.tar": tarred({"a": b"x" * 700}, 1)}),
    gzipped(tarred({"a" * 150: b"hello", "c": b"x" * 600})),
    tarred({"a" * 150: b"hello", "b": zipped({"a": b"b"})}),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(DAMAGED), st.data())
def test_damage_is_a_verdict_and_never_a_failure(content: bytes, data: st.DataObject) -> None:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        changed[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    inspect(bytes(changed))


@pytest.mark.parametrize("content", DAMAGED[:3], ids=["zip", "zip in zip", "tar.gz"])
def test_an_archive_that_is_cut_anywhere_is_damaged(content: bytes) -> None:
    for end in range(30, len(content) - 1):
        assert inspect(content[:end]) == "archive_damaged", end


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"PK\x03\x04", b"\x1f\x8b", bytes(257) + b"ustar\0"]), st.binary(max_size=2000))
def test_noise_behind_a_magic_number_is_damaged(magic: bytes, noise: bytes) -> None:
    assert inspect(magic + noise) == "archive_damaged"


# Bombs. The limits are small and the bombs are not: what would come out, by far, is never waited for.


def test_one_entry_that_grows_a_thousand_times_is_stopped() -> None:
    assert inspect(samples.bomb(100)) == "archive_ratio"


def test_it_is_stopped_also_in_good_company() -> None:
    """The archive as a whole hardly grows."""
    packed = samples.deflated_zeros(15)
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("noise", NOISE * 4)
        archive.writestr("zeros", ZEROS * 15)
    assert len(file.getvalue()) > len(packed) * 10
    assert inspect(file.getvalue()) == "archive_ratio"


def test_what_an_entry_says_of_its_size_counts_for_nothing() -> None:
    assert inspect(samples.bomb(100, said=5)) == "archive_ratio"
    assert inspect(samples.bomb(4, said=5)) == "archive_damaged", "though it is within the limits"
    assert inspect(samples.bomb(4, said=5_000_000)) == "archive_damaged"


def test_many_entries_that_grow_a_little_are_stopped_at_their_sum() -> None:
    text = (NOISE[:30_000].hex() * 20).encode()
    assert inspect(zipped({str(number): text for number in range(30)}), HUGE) is None
    assert inspect(zipped({str(number): text for number in range(30)})) == "archive_size"


@pytest.mark.parametrize("make", [samples.one_kernel_many_entries, samples.quoted_overlap])
def test_entries_that_overlap_are_refused_before_one_is_inflated(make: Callable[[int, int], bytes]) -> None:
    content = make(90, 4)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert len(archive.infolist()) == 90, "a real zip to those who do not look"
        assert sum(entry.file_size for entry in archive.infolist()) > 300_000_000
    never = Limits(entries=100, total_bytes=1, ratio=1, ratio_from_bytes=0, depth=1)
    assert inspect(content, never) == "archive_damaged"


def test_a_quoted_overlap_of_one_entry_is_an_honest_zip() -> None:
    """The sample is refused for its overlap, and for no mistake in its making."""
    assert inspect(samples.quoted_overlap(1, 1)) is None
    content = samples.quoted_overlap(2, 1)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        first = archive.infolist()[0]
    plain = zlib.decompress(content[33 : 33 + first.compress_size], -15)
    assert plain[:4] == b"PK\x03\x04"
    assert (zlib.crc32(plain), len(plain)) == (first.CRC, first.file_size)


def test_zips_in_zips_in_zips_are_stopped() -> None:
    """As 42.zip: 16 in 16 in 16 …; here five levels of ten, and 4 MB in each of the innermost."""
    content = nested(samples.bomb(4), 5, copies=10)
    assert len(content) < 100_000
    assert inspect(content) == "archive_depth"
    deep = Limits(entries=10**6, total_bytes=50_000_000, ratio=10**6, depth=10)
    assert inspect(content, deep) == "archive_size"
    assert inspect(content, Limits(entries=100, total_bytes=10**12, ratio=10**6, depth=10)) == "archive_entries"


@pytest.mark.parametrize(
    ("content", "depth"),
    [
        (nested(b"x", 1), 1),
        (nested(b"x", 3), 3),
        (gzipped(tarred({"a": b"b"})), 2),
        (tarred({"a": gzipped(zipped({"a": b"b"}))}), 3),
        (gzipped(gzipped(gzipped(gzipped(b"x")))), 4),
    ],
    ids=["zip", "zips", "tar.gz", "all", "gzips"],
)
def test_the_depth_is_counted_over_all_formats(content: bytes, depth: int) -> None:
    assert inspect(content, Limits(depth=depth)) is None
    assert inspect(content, Limits(depth=depth - 1)) == "archive_depth"


def test_gzip_bombs_are_stopped() -> None:
    assert inspect(gzip_bomb(100)) == "archive_ratio"
    assert inspect(gzip_bomb(100, levels=2)) == "archive_ratio"
    assert inspect(gzipped(tarred({"zeros": ZEROS * 30}))) == "archive_ratio"
    assert inspect(zipped({"a.gz": gzip_bomb(100)})) == "archive_ratio"
    assert inspect(gzip_bomb(30), Limits(total_bytes=20_000_000, ratio=10**6)) == "archive_size"


def test_empty_members_without_end_are_stopped() -> None:
    assert inspect(gzipped(b"") * 99, LIMITS) is None
    assert inspect(gzipped(b"") * 101, LIMITS) == "archive_entries"


def test_entries_are_counted_over_all_archives() -> None:
    inner = zipped({str(number): b"" for number in range(40)})
    assert inspect(zipped({"a": inner, "b": inner})) is None
    assert inspect(zipped({"a": inner, "b": inner, "c": inner})) == "archive_entries"
    assert inspect(tarred({str(number): b"" for number in range(101)})) == "archive_entries"


@pytest.mark.parametrize(("entries", "name"), [(170_000, b""), (150, b"a" * 60_000)], ids=["too many", "too large"])
def test_a_directory_without_end_is_refused_before_it_is_read(entries: int, name: bytes) -> None:
    """Eight megabytes of entries, though the end of the directory says that there is one."""
    content = samples.local_header(b"", b"", 0, 0) + samples.directory([(name, 0, 0, 0, 0)] * entries, at=30, count=1)
    limits = Limits(entries=10_000)
    used = peak_bytes(lambda: inspect(content, limits))
    assert inspect(content, limits) == "archive_entries"
    assert used < 5 * limits.directory_bytes


@pytest.mark.parametrize(
    "content",
    [samples.bomb(60), gzip_bomb(60), zipped({"a.gz": gzip_bomb(60)}), gzipped(tarred({"zeros": ZEROS * 30}))],
    ids=["zip", "gzip", "gzip in zip", "tar.gz"],
)
def test_memory_is_bounded_though_nothing_stops_it(content: bytes) -> None:
    assert inspect(content, HUGE) is None
    assert peak_bytes(lambda: inspect(content, HUGE)) < 2_000_000
