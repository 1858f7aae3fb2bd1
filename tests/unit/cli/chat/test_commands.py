"""What is typed, up to where it is sent."""

import pytest

from cli.chat import commands, names, on_messages


def test_help_lists_every_command_with_what_it_takes() -> None:
    told = commands.help_lines()
    assert "/edit N TEXT" in "\n".join(told)
    assert {line.split()[0] for line in told} == commands.COMMANDS.keys() - {"/exit"}
    assert {line.index(commands.COMMANDS[line.split()[0]].about) for line in told} == {
        max(len(f"{word} {command.takes}".rstrip()) for word, command in commands.COMMANDS.items()) + 2
    }


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("/list", ("/list", "")),
        ("/edit 12  two  words", ("/edit", "12  two  words")),
        ("/title  Ours ", ("/title", "Ours")),
    ],
)
def test_a_command_is_a_word_and_the_rest(typed: str, found: tuple[str, str]) -> None:
    assert commands.split(typed) == found


@pytest.mark.parametrize("typed", ["12 hello there", "#12 hello there", "12   hello there"])
def test_a_message_is_named_by_its_number(typed: str) -> None:
    assert on_messages.numbered(typed, "TEXT") == (12, "hello there")


@pytest.mark.parametrize(
    "typed", ["", "12", "12 ", "hello there", "#x hi", "0 hi", "-1 hi", "² hi", "9999999999999999 hi"]
)
def test_without_a_number_or_a_text_it_is_said_what_is_missing(typed: str) -> None:
    with pytest.raises(ValueError, match="say which message"):
        on_messages.numbered(typed, "TEXT")


def test_people_are_named_with_an_at_sign() -> None:
    assert names.user_names("@alice  @bob-2") == ["alice", "bob-2"]
    for typed in ("", "alice", "@alice bob", "@"):
        with pytest.raises(ValueError, match="say who"):
            names.user_names(typed)


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("@bob, are you there?", ["bob"]),
        ("hello @bob and @alice-2. And @bob!", ["bob", "alice-2"]),
        ("write to bob@example.com", []),
        ("@ @", []),
        ("@all", ["all"]),
    ],
)
def test_who_is_called_in_a_text(text: str, called: list[str]) -> None:
    assert names.mentioned(text) == called


def test_a_text_full_of_names_calls_the_first_of_them() -> None:
    assert names.mentioned(" ".join(f"@user{n}" for n in range(100))) == [f"user{n}" for n in range(names.CALLED)]
