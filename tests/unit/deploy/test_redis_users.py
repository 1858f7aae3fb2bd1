"""The users of Redis may do exactly what their processes do."""

import re

import pytest

from backplane.redis import libraries
from tests.unit.deploy.acl import users

# Functions run as whoever calls them, so a user needs what is inside of those that its process calls, too.
FUNCTIONS = {
    "headrace-gateway": {"adopt", "grant", "heads", "lag", "open", "presence", "take"},
    "headrace-consumers": {
        "acquire", "adopt", "append", "attempt", "bury", "cut", "fetch", "grant", "heartbeat", "prolong", "release", "renew", "settle",
    },
    "headrace-ops": {"adopt", "lag"},
}  # fmt: skip
CONNECTION = {"ping", "fcall", "function|load", "info"}
DIRECT = {
    # layout, streams.Intents, logs.read, grants, publisher, doorbells, revocations, scans.add and seen
    "headrace-gateway": {
        "get", "set", "xadd", "xrange", "mget", "spublish", "ssubscribe", "sunsubscribe", "hmget", "hgetall", "hset", "expire",
        "xlen",
    },
    # layout, streams.Partition, leases, logs.drop and set aside, doorbells.ring, retention's intents, scans
    "headrace-consumers": {
        "get", "set", "xread", "xrange", "xadd", "hdel", "zrem", "del", "spublish", "sadd", "smembers", "srem",
        "xreadgroup", "xack", "xgroup|create", "xlen",
    },
    # layout, history, leases.owners, logs.drop, revocations, doctor
    "headrace-ops": {
        "get", "set", "xlen", "xrange", "xrevrange", "xadd", "xdel", "memory|usage", "xinfo|groups", "del", "spublish", "time",
        "hset", "hdel", "expire",
    },
}  # fmt: skip
ALONE = {"headrace-consumers": "~hr:scans -@all +xautoclaim +xclaim +xdel"}
"""What would be too much elsewhere: in a partition's stream nothing is deleted but by trimming."""
HAVE_SUBCOMMANDS = {"XINFO", "XGROUP"}


def inside(function: str) -> set[str]:
    """The commands that a function calls."""
    found: set[str] = set()
    for command, below in re.findall(r"(?:call\(|\{)'([A-Z]+)'(?:, '([A-Z]+)')?", libraries()[function]):
        found.add(f"{command}|{below}".lower() if command in HAVE_SUBCOMMANDS else command.lower())
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_user_may_what_its_process_does_and_nothing_else(name: str) -> None:
    wanted = CONNECTION | DIRECT[name] | set[str]().union(*map(inside, FUNCTIONS[name]))
    assert users()[name].commands == wanted
    assert users()[name].alone == ALONE.get(name, "")


def test_every_function_is_somebodys() -> None:
    """A new library must be given to the users whose processes call it."""
    assert set().union(*FUNCTIONS.values()) == set(libraries())
    assert all(inside(name) for name in libraries()), "the pattern finds nothing in a library"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_user_reaches_its_namespace_alone_and_has_no_password_that_anybody_knows(name: str) -> None:
    user = users()[name]
    assert user.on
    assert [rule for rule in user.rules if rule[0] in "~%&"] == ["~hr:*", "&hr:*"]
    assert user.rules.index("-@all") < min(at for at, rule in enumerate(user.rules) if rule.startswith("+"))
    [secret] = [rule for rule in user.rules if rule[0] in "#>"]
    assert secret.startswith("#REPLACE-"), "a hash that is none: Redis refuses to start until it is replaced"
    assert "nopass" not in user.rules


def test_nobody_else_gets_in() -> None:
    assert set(users()) == {"default", *FUNCTIONS}
    assert not users()["default"].on
