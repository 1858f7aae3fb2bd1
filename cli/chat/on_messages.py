"""The /commands about one message, which is named by its number as it is shown."""

from cli.chat.talk import Talk


async def edit(talk: Talk, rest: str) -> None:
    """Give a message of ours another text."""
    number, text = numbered(rest, "TEXT")
    talk.mine.add(talk.client.edit(await talk.message(number), text), f"/edit {rest}", is_change=True)


async def delete(talk: Talk, rest: str) -> None:
    """Delete a message."""
    talk.mine.add(talk.client.delete(await talk.message(alone(rest))), f"/delete {rest}", is_change=True)


async def react(talk: Talk, rest: str) -> None:
    """React to a message."""
    number, emoji = numbered(rest, "EMOJI")
    talk.mine.add(talk.client.react(await talk.message(number), emoji), f"/react {rest}", is_change=True)


async def unreact(talk: Talk, rest: str) -> None:
    """Take a reaction back."""
    number, emoji = numbered(rest, "EMOJI")
    talk.mine.add(talk.client.react(await talk.message(number), emoji, remove=True), f"/unreact {rest}", is_change=True)


async def reply(talk: Talk, rest: str) -> None:
    """Answer a message in its thread."""
    number, text = numbered(rest, "TEXT")
    await talk.send(text, answers=await talk.message(number))


async def pin(talk: Talk, rest: str) -> None:
    """Pin a message for everybody."""
    await talk.api.pin((await talk.message(alone(rest))).message_id)


async def unpin(talk: Talk, rest: str) -> None:
    """Take the pin out."""
    await talk.api.pin((await talk.message(alone(rest))).message_id, pinned=False)


def numbered(rest: str, what: str) -> tuple[int, str]:
    """`12 hello`, or `#12 hello`.

    Raises:
        ValueError: it is something else.
    """
    number, _, text = rest.partition(" ")
    if not text.strip():
        raise ValueError(f"say which message, and the {what}: 12 {what}")
    return alone(number), text.strip()


def alone(rest: str) -> int:
    """`12`, or `#12`.

    Raises:
        ValueError: it is something else.
    """
    digits = rest.removeprefix("#")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 15 and int(digits)):
        raise ValueError("say which message by its number, as in #12")
    return int(digits)
