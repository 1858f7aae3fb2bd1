"""What is accepted as text from a person: NFC, no control characters, something visible in it.

Sources: Unicode Standard Annex #15 (normalisation), Unicode Technical Report #36 (bidirectional spoofing in names).
"""

import unicodedata

import regex

MAX_TEXT = 10_000
"""Code points of one message."""
MAX_FILE_NAME = 255
"""Code points of a file's name."""
MAX_NAME = 80
"""Code points of a display name or a title."""

_ALLOWED_CONTROLS = frozenset("\t\n")
_NAMED = regex.compile(r":[a-z0-9_+-]{1,32}:")
_GRAPHEME = regex.compile(r"\X")
_PICTURE = regex.compile(r"\p{Extended_Pictographic}|\p{Regional_Indicator}{2}|[0-9#*]\ufe0f?\u20e3")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_text(text: str, *, may_be_empty: bool = False) -> str:
    """Normalise a message's text to NFC, with CRLF as LF; with `may_be_empty` what shows nothing becomes nothing.

    Raises:
        ValueError: it is empty to the eye, too long, or holds a control character; the message says which.
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    if len(text) > MAX_TEXT:
        raise ValueError(f"text is longer than {MAX_TEXT} characters")
    if any(unicodedata.category(char) in {"Cc", "Cs"} and char not in _ALLOWED_CONTROLS for char in text):
        raise ValueError("text holds a control character; only tab and newline are allowed")
    if not _visible(text):
        if may_be_empty:
            return ""
        raise ValueError("text is empty")
    return text


def clean_name(text: str) -> str:
    """Normalise a name or title to one trimmed NFC line of at most `MAX_NAME` code points.

    Raises:
        ValueError: it is empty, too long, or holds a control or bidirectional character; the message says which.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > MAX_NAME:
        raise ValueError(f"name is longer than {MAX_NAME} characters")
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in _BIDI for char in text):
        raise ValueError("name holds a control or direction character")
    if not _visible(text):
        raise ValueError("name is empty")
    return text


def clean_file_name(text: str) -> str:
    """Normalise a file's name to NFC, trimmed.

    Raises:
        ValueError: it is empty, too long, a path, or holds a control or bidirectional character; the message says which.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > MAX_FILE_NAME:
        raise ValueError(f"name is longer than {MAX_FILE_NAME} characters")
    if any(char in "/\\" for char in text) or text in {".", ".."}:
        raise ValueError("name is a path; give the file's own name")
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in _BIDI for char in text):
        raise ValueError("name holds a control or direction character")
    if not _visible(text):
        raise ValueError("name is empty")
    return text


def clean_emoji(text: str) -> str:
    """Normalise a reaction: one emoji (one grapheme, UAX #29), or a `:name:` of lower-case letters, digits, `_`, `+` and `-`.

    Raises:
        ValueError: it is neither.
    """
    text = unicodedata.normalize("NFC", text)
    if _NAMED.fullmatch(text) or (_GRAPHEME.fullmatch(text) and _PICTURE.search(text)):
        return text
    raise ValueError("emoji is neither one emoji nor a :name:")


def _visible(text: str) -> bool:
    return any(unicodedata.category(char)[0] not in "ZC" for char in text)
