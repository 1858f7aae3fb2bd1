import re

from schemas.ids import ConversationId, UserId
from schemas.names import Names

names = Names("hr", 16, 16)


def tag(key: str) -> str:
    found = re.search(r"\{(.+?)\}", key)
    assert found is not None, key
    return found[1]


def test_all_keys_of_a_partition_share_one_slot():
    keys = [
        names.intents(3),
        names.events(3),
        names.dead(3),
        names.lease(3, "persist"),
        names.token(3, "persist"),
        names.attempts(3, "persist"),
        names.cursor(3, "persist"),
        names.skipped(3),
        names.run(names.partition_tag(3)),
        names.era(names.partition_tag(3)),
    ]
    assert {tag(key) for key in keys} == {"p3"}
    assert len(set(keys)) == len(keys)


def test_all_keys_of_a_user_share_the_slot_of_the_shard():
    user = UserId("u")
    shard = names.shard_of(user)
    keys = [names.log(user), names.epoch(user), names.done(shard, 3), names.era(names.shard_tag(shard))]
    assert {tag(key) for key in keys} == {f"u{shard}"}


def test_namespaces_do_not_meet():
    other = Names("other", 16, 16)
    assert other.intents(0).startswith("other:")
    assert other.partition_of(ConversationId("c")) == names.partition_of(ConversationId("c"))
