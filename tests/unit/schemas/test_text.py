import pytest

from schemas.text import MAX_NAME, MAX_TEXT, clean_name, clean_text


def test_text_is_normalised_so_that_the_same_words_are_the_same_bytes():
    assert clean_text("e\u0301") == "\u00e9"
    assert clean_text("a\r\nb") == "a\nb"


@pytest.mark.parametrize(
    "text", ["héllo", "a\tb\nc", "👩‍👩‍👧‍👦", "שלום", " leading", "\u202eabc", "$where", "x" * MAX_TEXT]
)
def test_what_people_write_is_kept(text: str):
    assert clean_text(text) == text


@pytest.mark.parametrize(
    "text", ["", "   ", "\n\t", "\u200b\u200d", "\x00", "a\x00b", "a\x1bb", "a\rb", "x" * (MAX_TEXT + 1)]
)
def test_what_is_empty_to_the_eye_too_long_or_holds_controls_is_refused(text: str):
    with pytest.raises(ValueError, match=r"^text "):
        clean_text(text)


def test_a_name_is_one_trimmed_line():
    assert clean_name("  Ada Lovelace ") == "Ada Lovelace"


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\u202eb", "a\u2066b", "a\u2028b", "\x00", "x" * (MAX_NAME + 1)])
def test_a_name_that_could_deceive_is_refused(text: str):
    with pytest.raises(ValueError, match=r"^name "):
        clean_name(text)
