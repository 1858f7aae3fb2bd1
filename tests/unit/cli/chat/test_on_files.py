"""What is typed about files, and where they are put."""

from pathlib import Path

import pytest

from cli.chat.on_files import NAME_BYTES, pathed, reserved, safe_name


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("photo.png", ("photo.png", "")),
        ("photo.png  look at this ", ("photo.png", "look at this")),
        ('"my photo.png" it\'s "mine"', ("my photo.png", 'it\'s "mine"')),
        (r"my\ photo.png #1", ("my photo.png", "#1")),
        ("'a #b.png'", ("a #b.png", "")),
    ],
)
def test_a_path_is_read_as_a_shell_does_and_the_rest_is_text(typed: str, found: tuple[str, str]) -> None:
    path, text = pathed(typed)
    assert (str(path), text) == found


def test_home_is_known_and_no_path_is_asked_for() -> None:
    assert pathed("~/a.png")[0] == Path.home() / "a.png"
    for typed in ("", '""'):
        with pytest.raises(ValueError, match="say which file"):
            pathed(typed)
    with pytest.raises(ValueError, match="quotation"):
        pathed('"photo.png')


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.png", "photo.png"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        (".bashrc", "bashrc"),
        ("...", "file"),
        ("", "file"),
        ("a\x1b[2J\nb.png", "a_[2J_b.png"),
        ("é" * 300 + ".png", "é" * ((NAME_BYTES - 4) // 2) + ".png"),
        ("a." + "x" * 300, "a." + "x" * (NAME_BYTES - 2)),
    ],
)
def test_somebody_else_s_name_is_no_way_out_of_the_folder(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    (tmp_path / "a (2).png.part").write_text("on its way")
    with reserved(tmp_path, "a.png") as path:
        path.write_text("new")
    assert path.name == "a (3).png"
    assert (tmp_path / "a.png").read_text() == "mine"
    with reserved(tmp_path, "b") as path:
        assert path.name == "b"


def test_what_failed_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with reserved(tmp_path, "a.png"):
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert list(tmp_path.iterdir()) == []
