"""A webhook never gets what its owner would not have received."""

from typing import Any

from backplane.store.conversations import StoredMember
from backplane.store.webhooks import StoredWebhook, owned
from consumers.recipients import Audience
from consumers.webhooks.matching import SKEW_MS, delivery, interested, recipients
from schemas.events import EventHeader
from schemas.ids import ConversationId, StreamId, UserId
from schemas.names import Names

NAMES = Names(partitions=4, shards=4)
ROOM, OTHER = ConversationId("room"), ConversationId("other")
AT = StreamId(1_795_000_000_000, 3)


def header(rev: int = 5, **more: Any) -> EventHeader:
    return EventHeader("message.created", f"e{rev}", ROOM, rev, 0, **more)


def hook(owner: str, **more: Any) -> StoredWebhook:
    given = {"webhook_id": f"of-{owner}", "url": "https://x.example/", "secret": "s", "created_ms": 0, "active_ms": 0}
    return StoredWebhook(owner_id=UserId(owner), **(given | {"enabled": True} | more))


def audience(*spans: tuple[str, int, int | None]) -> Audience:
    return Audience.of(
        [
            StoredMember(conversation_id=ROOM, user_id=UserId(name), role="member", rev=1, spans=((joined, left),))
            for name, joined, left in spans
        ],
        NAMES,
    )


def who(event: EventHeader, people: Audience | None, *hooks: StoredWebhook, at: StreamId = AT) -> set[str]:
    users = recipients(event, people, NAMES)
    return {found.owner_id for found in interested(event, at, users, owned(hooks))}


HOOKS = hook("ann"), hook("ben"), hook("eve")


def test_who_is_no_member_at_the_rev_gets_nothing() -> None:
    """B9"""
    people = audience(("ann", 1, 5), ("ben", 1, None), ("eve", 6, None))
    assert who(header(4), people, *HOOKS) == {"ann", "ben"}
    assert who(header(5), people, *HOOKS) == {"ben"}
    assert who(header(6), people, *HOOKS) == {"ben", "eve"}
    assert who(header(5), None, *HOOKS) == set()


def test_an_event_for_one_goes_to_that_one_s_webhooks_alone() -> None:
    people = audience(("ann", 1, None), ("ben", 1, None))
    assert who(header(to=(UserId("eve"),)), people, *HOOKS) == {"eve"}
    assert who(header(to=(UserId("nobody"),)), people, *HOOKS) == set()


def test_the_one_it_is_about_hears_of_it() -> None:
    assert who(header(5, about=UserId("ann")), audience(("ann", 1, 5)), *HOOKS) == {"ann"}


def test_filters_of_conversation_and_event() -> None:
    people = audience(("ann", 1, None))
    assert who(header(), people, hook("ann", conversation_id=ROOM)) == {"ann"}
    assert who(header(), people, hook("ann", conversation_id=OTHER)) == set()
    assert who(header(), people, hook("ann", events=("message.created",))) == {"ann"}
    assert who(header(), people, hook("ann", events=("message.voided",))) == set()


def test_events_from_before_it_was_enabled_are_not_for_it() -> None:
    people = audience(("ann", 1, None))
    assert who(header(), people, hook("ann", active_ms=AT.ms + SKEW_MS)) == {"ann"}
    assert who(header(), people, hook("ann", active_ms=AT.ms + SKEW_MS + 1)) == set()


def test_a_delivery_s_key_is_its_webhook_s_and_event_s_and_its_place_sorts_as_the_stream_does() -> None:
    places = [StreamId(9, 2), StreamId(9, 10), StreamId(10, 0), StreamId(1_795_000_000_000, 1)]
    made = [delivery(hook("ann"), header(), b'"event":1}', at, partition=2, now_ms=7) for at in places]
    assert {one.delivery_id for one in made} == {"of-ann:e5"}
    assert [one.at for one in made] == sorted(one.at for one in made)
    assert made[0].body == '{"webhook_id":"of-ann","event":1}'
