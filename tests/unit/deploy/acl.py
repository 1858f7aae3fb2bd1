"""Reads `deploy/redis/users.acl`."""

from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).parents[3] / "deploy" / "redis" / "users.acl"


class User(NamedTuple):
    on: bool
    rules: list[str]
    alone: str
    """What stands in brackets: more, of some keys alone."""

    @property
    def commands(self) -> set[str]:
        """What it may, as `xadd`, `xinfo|stream`."""
        return {rule[1:] for rule in self.rules if rule.startswith("+")}


def users() -> dict[str, User]:
    found: dict[str, User] = {}
    for line in PATH.read_text(encoding="ascii").splitlines():
        whole, _, alone = line.partition(" (")
        word, name, state, *rules = whole.split()
        assert word == "user", line
        assert name not in found, f"{name} stands there twice: Redis refuses the file"
        found[name] = User(state == "on", rules, alone.removesuffix(")"))
    return found
