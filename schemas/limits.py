"""The table of rate limits: who may do what how often. `HEADRACE_RATE_LIMITS` changes rows; `connected.limits` tells clients.

Each is a GCRA: `burst` at once, all of it again after `seconds` (its source is ATM's I.371; the form is that of Brandur Leach's throttled).
"""

import functools
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Subject = Literal["user", "conversation", "address", "account and address", "account", "connection"]
PolicyName = Literal[
    "login",
    "login_address",
    "login_account",
    "register",
    "password",
    "anonymous",
    "rest",
    "search",
    "connect",
    "connect_address",
    "send",
    "conversation",
    "change",
    "upload",
    "typing",
    "frames",
]


class Policy(NamedTuple):
    """One row. What one gateway counts alone is by `connection`; everything else is counted in Redis, for all gateways."""

    name: PolicyName
    by: Subject
    burst: int
    seconds: int
    what: str
    closed: bool = False
    """Whether nobody may while Redis is away; else each gateway counts for itself then."""

    @property
    def interval_us(self) -> int:
        """Microseconds after which one more may."""
        return max(1, self.seconds * 1_000_000 // self.burst)


_ROWS: Final = (
    Policy("login", "account and address", 10, 300, "Passwords tried for one account from one address", closed=True),
    Policy("login_address", "address", 100, 300, "Passwords tried from one address", closed=True),
    Policy(
        "login_account",
        "account",
        100,
        3600,
        "Passwords tried for one account from addresses it was not used from",
        closed=True,
    ),
    Policy("register", "address", 20, 3600, "New accounts from one address", closed=True),
    Policy("password", "user", 10, 3600, "Changes of the own password, tried", closed=True),
    Policy("anonymous", "address", 600, 60, "REST calls without an access token"),
    Policy("rest", "user", 1200, 60, "REST calls; some count for more than one"),
    Policy("search", "user", 60, 60, "Searches for people"),
    Policy("connect", "user", 60, 60, "Connections of one person"),
    Policy("connect_address", "address", 1200, 60, "Connections from one address"),
    Policy("send", "user", 200, 20, "Messages of one person"),
    Policy("conversation", "conversation", 2000, 20, "Messages into one conversation, by everybody"),
    Policy("change", "user", 200, 20, "Changes of one person: edits, deletions, reactions, pins, members, titles"),
    Policy("upload", "user", 60, 60, "New attachments of one person"),
    Policy("typing", "connection", 100, 20, "Frames that say that somebody types"),
    Policy(
        "frames",
        "connection",
        300,
        10,
        "Frames of one connection, of whatever type; over it, the connection ends and counts as 20",
    ),
)

POLICIES: Final[Mapping[PolicyName, Policy]] = {row.name: row for row in _ROWS}
OFF: Final = "off"


@functools.lru_cache(maxsize=8)
def read_policies(text: str) -> Mapping[PolicyName, Policy]:
    """The table with the changes of a setting: `send=500/10, login=off`, or `off` for no limits at all.

    A row that is off is not in the answer.

    Raises:
        ValueError: it is not of that form; the message says where.
    """
    changed = dict(POLICIES)
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part == OFF:
            return {}
        name, _, rate = (piece.strip() for piece in part.partition("="))
        if name not in POLICIES:
            raise ValueError(f"{name!r} is no rate limit; there are {', '.join(POLICIES)}")
        policy = POLICIES[name]
        if rate == OFF:
            changed.pop(policy.name, None)
            continue
        burst, _, seconds = rate.partition("/")
        if not (
            burst.isdecimal() and seconds.isdecimal() and 0 < int(burst) <= 1_000_000 and 0 < int(seconds) <= 86_400
        ):
            raise ValueError(f"{part!r} is not of the form {name}={policy.burst}/{policy.seconds} (how many / seconds)")
        changed[policy.name] = policy._replace(burst=int(burst), seconds=int(seconds))
    return changed
