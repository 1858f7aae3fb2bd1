"""The whole way on real servers: intents → MongoDB → events → user logs."""

import pytest

from backplane.doorbells import Doorbells
from schemas.events import parse_answer
from schemas.ids import UserId
from tests.integration.consumers.deployment import Deployment, a_group, a_send, until

pytestmark = pytest.mark.anyio

ANN, BEN, STRANGER = UserId("ann"), UserId("ben"), UserId("stranger")


async def test_a_message_reaches_the_log_of_every_member(deployment: Deployment) -> None:
    heads = {user: (await deployment.logs.open(user)).position for user in (ANN, BEN, STRANGER)}
    room = await deployment.room(ANN, BEN)
    sends = [a_send(room, ANN, f"number {number}") for number in range(20)]
    async with deployment.consumers():
        await deployment.send(*sends)

        async def everybody_has_all() -> bool:
            return len(await deployment.log(ANN, heads[ANN])) == len(await deployment.log(BEN, heads[BEN])) == 21

        await until(everybody_has_all)
    for user in (ANN, BEN):
        first, *rest = await deployment.log(user, heads[user])
        assert (first["event"], first["data"]["rev"], first["data"]["last_seq"]) == ("conversation.created", 1, 0)
        assert [event["data"]["seq"] for event in rest] == list(range(1, 21))
        assert [event["data"]["client_msg_id"] for event in rest] == [intent.client_msg_id for intent in sends]
    assert await deployment.log(STRANGER, heads[STRANGER]) == []
    stored = (await deployment.store.conversations.find([room]))[room]
    assert (stored.last_seq, stored.rev) == (20, 21)
    assert await deployment.unfinished() == 0


async def test_repeats_and_refusals_go_to_their_sender_alone(deployment: Deployment) -> None:
    """A1, C13"""
    heads = {user: (await deployment.logs.open(user)).position for user in (ANN, BEN, STRANGER)}
    room = await deployment.room(ANN, BEN)
    first = a_send(room, ANN)
    again = a_send(room, ANN)
    resend = type(again)(again.intent_id, room, ANN, first.client_msg_id, first.text, again.at_ms)
    other = a_send(room, ANN, "something else")
    conflict = type(other)(other.intent_id, room, ANN, first.client_msg_id, other.text, other.at_ms)
    async with deployment.consumers():
        await deployment.send(first, resend, conflict, a_send(room, STRANGER))

        async def all_told() -> bool:
            return len(await deployment.log(ANN, heads[ANN])) == 4 and bool(
                await deployment.log(STRANGER, heads[STRANGER])
            )

        await until(all_told)
    events = await deployment.log(ANN, heads[ANN])
    assert [event["event"] for event in events[1:]] == ["message.created", "message.created", "message.rejected"]
    assert [event["data"].get("duplicate") for event in events[1:3]] == [None, True]
    assert events[3]["data"]["error"]["code"] == "idempotency_conflict"
    assert [event["event"] for event in await deployment.log(BEN, heads[BEN])] == [
        "conversation.created",
        "message.created",
    ]
    refusal = (await deployment.log(STRANGER, heads[STRANGER]))[0]
    assert (refusal["event"], refusal["data"]["error"]["code"]) == ("message.rejected", "not_member")
    assert len(await deployment.messages(room)) == 1


async def test_whoever_waits_at_a_gateway_is_answered(deployment: Deployment) -> None:
    """C2"""
    heard: list[tuple[str, bytes]] = []
    channel = deployment.names.gateway("one")
    doorbells = Doorbells(deployment.redis, lambda name, payload: heard.append((name, payload)), lambda: None)
    await doorbells.start()
    await doorbells.subscribe(channel)
    room = await deployment.room(ANN, BEN)
    waiting = a_send(room, ANN, answer=channel)
    too_many = a_group(*(UserId(f"u{number}") for number in range(1001)))
    refused = type(too_many)(
        too_many.intent_id, too_many.conversation_id, UserId("u0"), "group", too_many.member_ids, 1, answer=channel
    )
    async with deployment.consumers("persist"):
        await deployment.send(waiting, refused)

        async def both_answered() -> bool:
            return len(heard) == 2

        await until(both_answered)
    await doorbells.close()
    answers = {answer.intent_id: answer for answer in (parse_answer(payload) for _, payload in heard)}
    assert answers[waiting.intent_id].event == "message.created"
    assert b'"member_limit"' in bytes(answers[refused.intent_id].data)


async def test_one_chat_of_two_people_however_often_they_ask(deployment: Deployment) -> None:
    """B12"""
    from schemas.ids import direct_conversation_id  # noqa: PLC0415

    heads = {user: (await deployment.logs.open(user)).position for user in (ANN, BEN)}
    room = direct_conversation_id(ANN, BEN)
    asks = [a_group(ANN, BEN), a_group(BEN, ANN)]
    asks = [type(ask)(ask.intent_id, room, ask.actor_id, "direct", ask.member_ids, ask.at_ms) for ask in asks]
    async with deployment.consumers():
        await deployment.send(*asks)

        async def told() -> bool:
            return len(await deployment.log(BEN, heads[BEN])) == 2

        await until(told)
    assert [event["data"].get("duplicate") for event in await deployment.log(BEN, heads[BEN])] == [None, True]
    assert len(await deployment.log(ANN, heads[ANN])) == 1
    assert {member.user_id for member in (await deployment.store.conversations.members([room]))[room]} == {ANN, BEN}
