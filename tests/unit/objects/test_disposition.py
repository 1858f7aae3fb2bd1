"""File names in headers: whatever a name is, the header is one line of plain ASCII and the name is a file's."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backplane.objects.disposition import MAX_BYTES, disposition, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Grüße.txt", "Grüße.txt"),
        ("Gru\u0308ße.txt", "Grüße.txt"),
        ("a\r\nX: y", "aX_ y"),
        ("a\x00.exe", "a.exe"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("\ud800lone.txt", "lone.txt"),
        ("/etc/passwd", "_etc_passwd"),
        ("..\\..\\boot.ini", "_.._boot.ini"),
        ("....", "file"),
        ("", "file"),
        (" \u200b \t", "file"),
        (".bashrc", "bashrc"),
        ("👩\u200d💻.png", "👩\u200d💻.png"),
        ("x" * 300 + ".jpeg", "x" * (MAX_BYTES - 5) + ".jpeg"),
        ("é" * 300, "é" * (MAX_BYTES // 2)),
    ],
)
def test_a_name_becomes_a_file_s(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(st.characters(), max_size=400))
@example("\ud83d")
@example('";\r\n\\')
def test_the_header_is_one_line_of_ascii_and_says_the_safe_name(name: str) -> None:
    for inline, kind in ((True, "inline"), (False, "attachment")):
        value = disposition(name, inline=inline)
        said = re.fullmatch(kind + r"; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]+)", value)
        assert said is not None
        assert unquote(said[1], errors="strict") == safe_name(name)


@given(st.text(st.characters(), max_size=400))
def test_a_safe_name_is_no_path_and_hides_nothing(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe.encode()) <= MAX_BYTES
    assert not set(safe) & set('/\\:*?"<>|\r\n\0\u202e\u200b')
    assert safe[0] not in ". "
    assert not set(safe) <= set(".")
