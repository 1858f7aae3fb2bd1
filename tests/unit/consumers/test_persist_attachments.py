"""Messages with files on the model: bound once, to their sender's message; told of every verdict; withdrawn with their message (hole C12)."""

from typing import Any

import msgspec
import pytest

from backplane.store.attachments import StoredAttachment, carried, next_version
from backplane.store.conversations import StoredConversation, StoredMember
from schemas.events import Event
from schemas.ids import (
    SYSTEM,
    AttachmentId,
    ClientMsgId,
    ClientOpId,
    IntentId,
    UserId,
    direct_conversation_id,
    message_id_of,
)
from schemas.intents import DeleteMessage, Intent, SendMessage, SetAttachment
from tests.unit.consumers.test_persist import live_until_done
from tests.unit.consumers.world import World, check_promises, killed_at, reply_lost_at

pytestmark = pytest.mark.anyio

ANN, BEN = UserId("ann"), UserId("ben")
ROOM = direct_conversation_id(UserId("the"), UserId("room"))
FILE = AttachmentId("file")


def a_file(attachment_id: str = FILE, **fields: Any) -> StoredAttachment:
    """One that was uploaded and waits for its scan."""
    first = StoredAttachment(
        attachment_id=AttachmentId(attachment_id),
        owner_id=ANN,
        name="a.txt",
        content_type="text/plain",
        size=3,
        created_ms=1,
        version=1,
        status="pending",
        loose_ms=1,
    )
    return msgspec.structs.replace(first, **fields)


def send(key: str, *files: str, who: UserId = ANN) -> SendMessage:
    return SendMessage(
        intent_id=IntentId(f"send {key}"),
        conversation_id=ROOM,
        actor_id=who,
        client_msg_id=ClientMsgId(key),
        text="",
        at_ms=1000,
        attachments=tuple(AttachmentId(file) for file in files),
    )


def delete(key: str) -> DeleteMessage:
    return DeleteMessage(
        intent_id=IntentId(f"delete {key}"),
        conversation_id=ROOM,
        actor_id=ANN,
        client_op_id=ClientOpId(f"delete {key}"),
        at_ms=2000,
        message_id=message_id_of(ROOM, ANN, ClientMsgId(key)),
    )


def tell(world: World, attachment_id: str = FILE, times: int = 1) -> SetAttachment | None:
    """What the scan stage asks for once it has written its verdict, if a message holds the file by then."""
    file = world.attachments[AttachmentId(attachment_id)]
    if file.message_id is None:
        return None
    return SetAttachment(
        intent_id=IntentId(f"tell {attachment_id} {file.version} {times}"),
        conversation_id=ROOM,
        actor_id=SYSTEM,
        client_op_id=ClientOpId(f"attachment:{attachment_id}:{file.version}"),
        at_ms=3000,
        message_id=file.message_id,
        carried=carried(file),
    )


def judge(world: World, attachment_id: str = FILE, status: str = "clean") -> None:
    """What the scan stage writes: on the version that it has read."""
    file = world.attachments[AttachmentId(attachment_id)]
    world.attachments[file.attachment_id] = next_version(file, status=status)


def a_world(*intents: Intent, files: tuple[StoredAttachment, ...] = (a_file(),)) -> World:
    world = World()
    people = [
        StoredMember(conversation_id=ROOM, user_id=who, role="member", rev=1, spans=((1, None),)) for who in (ANN, BEN)
    ]
    conversation = StoredConversation(
        conversation_id=ROOM,
        kind="group",
        title=None,
        created_by=ANN,
        created_ms=1,
        intent_id="x",
        body_hash="",
        rev=1,
        last_seq=0,
    )
    world.add_conversation(conversation, people)
    world.attachments |= {file.attachment_id: file for file in files}
    world.append(*intents)
    return world


def shown(world: World, key: str = "m") -> list[str]:
    """The statuses that a message shows."""
    message = world.messages[message_id_of(ROOM, ANN, ClientMsgId(key))]
    return [one.attachment.status for one in message.attachments]


def refusals(events: list[Event]) -> list[str]:
    return [
        msgspec.json.decode(b"{" + one.body)["data"]["error"]["code"]
        for one in events
        if one.header.event.endswith("rejected")
    ]


async def test_a_message_shows_its_files_and_binds_them() -> None:
    world = a_world(send("m", FILE, "other"), files=(a_file(), a_file("other", status="clean")))
    await live_until_done(world, 10)
    assert shown(world) == ["pending", "clean"]
    bound = world.attachments[FILE]
    assert (bound.message_id, bound.conversation_id) == (message_id_of(ROOM, ANN, ClientMsgId("m")), ROOM)
    assert bound.loose_ms is None


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (a_file("another's id"), "unknown_attachment"),
        (a_file(owner_id=BEN), "unknown_attachment"),
        (a_file(gone_ms=5), "unknown_attachment"),
        (a_file(status="uploading"), "attachment_not_ready"),
        (a_file(status="infected"), "attachment_gone"),
        (a_file(status="unscannable"), "attachment_gone"),
        (a_file(status="error"), "attachment_gone"),
        (a_file(message_id="somewhere else"), "attachment_used"),
    ],
)
async def test_a_file_that_may_not_be_sent_refuses_the_message(file: StoredAttachment, code: str) -> None:
    world = a_world(send("m", FILE), files=(file,))
    await live_until_done(world, 10)
    assert refusals(world.events) == [code]
    assert not world.messages
    assert world.attachments == {file.attachment_id: file}


@pytest.mark.parametrize("batch", [1, 10])
async def test_a_file_is_sent_once(batch: int) -> None:
    world = a_world(send("m", FILE), send("again", FILE), send("m", FILE))
    await live_until_done(world, batch)
    assert refusals(world.events) == ["attachment_used"]
    assert len(world.messages) == 1
    check_promises(world, [])


@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize("fault", [killed_at, reply_lost_at])
async def test_after_a_crash_at_any_write_a_message_and_its_file_belong_together(batch: int, fault: Any) -> None:
    for number in range(1, 30):
        world = a_world(send("m", FILE), send("n", "second"), delete("m"), files=(a_file(), a_file("second")))
        world.fault = fault(number)
        await live_until_done(world, batch)
        check_promises(world, [])
        assert refusals(world.events) == []
        assert world.attachments[FILE].gone_ms is not None
        assert shown(world, "n") == ["pending"]
        assert world.attachments[AttachmentId("second")].message_id == message_id_of(ROOM, ANN, ClientMsgId("n"))


@pytest.mark.parametrize("batch", [1, 10])
async def test_c12_a_verdict_that_comes_at_any_moment_is_shown_in_the_end(batch: int) -> None:
    for number in [-1, *range(1, 12)]:
        world = a_world(send("m", FILE), send("n"))
        news: list[SetAttachment | None] = []

        def scan(at: int, number: int = number, world: World = world, news: list[SetAttachment | None] = news) -> None:
            if at == number:
                judge(world)
                news.append(tell(world))

        if number < 0:
            judge(world)
        world.fault = scan  # type: ignore[assignment]
        await live_until_done(world, batch)
        if not news and number >= 0:
            judge(world)
            news.append(tell(world))
        told = [one for one in news if one is not None]
        world.append(*told, *told)
        await live_until_done(world, batch)
        assert shown(world) == ["clean"], number
        updates = {one.header.event_id for one in world.events if one.header.event == "attachment.updated"}
        assert len(updates) == len(told), number
        check_promises(world, [])


async def test_the_newer_verdict_counts_whichever_comes_last() -> None:
    world = a_world(send("m", FILE))
    await live_until_done(world, 10)
    judge(world)
    first = tell(world)
    judge(world, status="infected")
    second = tell(world)
    assert first is not None
    assert second is not None
    world.append(second, first)
    await live_until_done(world, 10)
    assert shown(world) == ["infected"]


async def test_a_verdict_for_a_deleted_message_is_nobody_s_news() -> None:
    world = a_world(send("m", FILE), delete("m"))
    await live_until_done(world, 10)
    judge(world)
    news = tell(world)
    assert news is not None
    world.append(news)
    await live_until_done(world, 10)
    assert shown(world) == []
    assert not [one for one in world.events if one.header.event == "attachment.updated"]


async def test_nobody_but_the_system_says_what_a_file_is() -> None:
    world = a_world(send("m", FILE))
    await live_until_done(world, 10)
    judge(world)
    news = tell(world)
    assert news is not None
    world.append(msgspec.structs.replace(news, actor_id=ANN))
    await live_until_done(world, 10)
    assert shown(world) == ["pending"]
    assert refusals(world.events) == ["forbidden"]
