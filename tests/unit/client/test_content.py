"""What is uploaded, and where a download lands."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from headrace_client import FileChanged
from headrace_client.content import Landing, Source, landing, look_at, media_type
from headrace_client.ranges import Place

CONTENT = bytes(range(256)) * 1000


def look(file: Path | bytes | BinaryIO, name: str | None = None, content_type: str | None = None) -> Source:
    return look_at(file, name, content_type, lambda: None)


def content_of(source: Source) -> bytes:
    read = b""
    with source.opened() as file:
        while len(read) < source.size:
            read += source.read(file, source.size - len(read))
    return read


def in_file(folder: Path) -> Path:
    (folder / "photo.png").write_bytes(CONTENT)
    return folder / "photo.png"


def as_bytes(_: Path) -> bytes:
    return CONTENT


def as_stream(_: Path) -> BinaryIO:
    stream = io.BytesIO(b"before" + CONTENT)
    stream.seek(6)
    return stream


@pytest.mark.parametrize(("make", "name"), [(in_file, "photo.png"), (as_bytes, "file"), (as_stream, "file")])
def test_a_file_is_known_by_its_digest_and_can_be_read_again(
    tmp_path: Path, make: Callable[[Path], Path | bytes | BinaryIO], name: str
) -> None:
    source = look(make(tmp_path))
    assert (source.name, source.size) == (name, len(CONTENT))
    assert source.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert content_of(source) == content_of(source) == CONTENT


def test_an_open_file_has_its_name_and_stays_open(tmp_path: Path) -> None:
    with in_file(tmp_path).open("rb") as file:
        source = look(file)
        assert (source.name, source.content_type) == ("photo.png", "image/png")
        assert content_of(source) == CONTENT
        assert not file.closed


def test_a_file_that_has_become_shorter_is_not_sent_on(tmp_path: Path) -> None:
    source = look(in_file(tmp_path))
    (tmp_path / "photo.png").write_bytes(CONTENT[:-1])
    with pytest.raises(FileChanged, match="1 bytes less"):
        content_of(source)


def test_an_empty_file_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"notes\.txt is empty"):
        look(b"", "notes.txt")


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("a.png", "image/png"),
        ("a.txt", "text/plain"),
        ("a.tar.gz", "application/gzip"),
        ("a.tar.xz", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_a_type_is_that_of_the_file_and_not_of_what_is_packed_in_it(name: str, media: str) -> None:
    assert media_type(name) == media
    assert look(b"x", name).content_type == media
    assert look(b"x", name, "text/x-own").content_type == "text/x-own"


def test_a_download_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    with landing(tmp_path / "a.txt") as there:
        there.begin(Place(0, 5, '"e"'))
        there.write(b"hello")
        assert [each.name for each in tmp_path.iterdir()] == ["a.txt.part"]
    assert (tmp_path / "a.txt").read_bytes() == b"hello"


def test_what_did_not_become_whole_leaves_nothing(tmp_path: Path) -> None:
    def half() -> None:
        with landing(tmp_path / "a.txt") as there:
            there.write(b"hel")
            raise FileChanged("enough")

    with pytest.raises(FileChanged):
        half()
    assert list(tmp_path.iterdir()) == []


def test_beginning_anew_leaves_what_was_there_before() -> None:
    file = io.BytesIO(b"mine: ")
    file.seek(6)
    there = Landing(file)
    there.begin(Place(0, 9, '"old"'))
    there.write(b"something")
    there.begin(Place(0, 3, '"new"'))
    there.write(b"new")
    assert file.getvalue() == b"mine: new"


def test_where_nothing_can_be_taken_back_only_the_rest_is_taken() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe()
    there = Landing(pipe)
    there.begin(Place(0, 6, '"e"'))
    there.write(b"abc")
    there.begin(there.place)
    there.write(b"def")
    assert pipe.getvalue() == b"abcdef"
    with pytest.raises(FileChanged):
        there.begin(Place(0, 6, '"e"'))
