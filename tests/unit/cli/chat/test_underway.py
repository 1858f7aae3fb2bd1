"""What of ours is not done yet."""

import pytest

from cli.chat.underway import Underway
from headrace_client import Message, Rejected, Sending

pytestmark = pytest.mark.anyio


class Told:
    """What was printed, and up to which revision everything was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.rev = 0
        self.mine = Underway(self.lines.append, lambda message: message.rev <= self.rev)


def message(rev: int, **fields: bool) -> Message:
    return Message(
        message_id="m", conversation_id="c", seq=1, rev=rev, sender_id="A", client_msg_id="K", content=None, **fields
    )


async def test_a_message_is_done_when_it_is_printed() -> None:
    told, sending = Told(), Sending("K", "c")
    told.mine.add(sending, "hello")
    sending.settle(message(1))
    await told.mine.settled(told.mine.all()[0])
    assert len(told.mine) == 1
    told.mine.printed(message(1))
    assert len(told.mine) == 0


async def test_a_change_is_done_when_it_was_told() -> None:
    told, sending = Told(), Sending("O", "c")
    told.mine.add(sending, "/edit 1 hi", is_change=True)
    sending.settle(message(2))
    await told.mine.settled(told.mine.all()[0])
    told.mine.printed(message(1))
    assert len(told.mine) == 1
    told.rev = 2
    told.mine.forget_done()
    assert len(told.mine) == 0


async def test_a_change_that_changes_nothing_waits_for_nothing() -> None:
    told, sending = Told(), Sending("O", "c")
    told.mine.add(sending, "/react 1 👍", is_change=True)
    sending.settle(message(2, duplicate=True))
    await told.mine.settled(told.mine.all()[0])
    assert len(told.mine) == 0


@pytest.mark.parametrize(("is_change", "verb"), [(False, "sent"), (True, "done")])
async def test_a_refusal_is_told_once_with_its_sentence(is_change: bool, verb: str) -> None:
    told, sending = Told(), Sending("K", "c")
    told.mine.add(sending, "hi\x1b[2J", is_change=is_change)
    sending.settle(Rejected("forbidden", "Not\x07 allowed."))
    await told.mine.settled(told.mine.all()[0])
    told.mine.refused("K", "Not allowed.")  # its event
    told.mine.refused("of another device", "Not allowed.")
    assert told.lines == [f"!! not {verb}: hi\N{REPLACEMENT CHARACTER}[2J — Not\N{REPLACEMENT CHARACTER} allowed."]
    assert (len(told.mine), told.mine.failed) == (0, 1)
