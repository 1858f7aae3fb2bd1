"""Who may do what in a conversation: one table, for persist, the tests and the docs (docs/protocol.md, “Roles”).

In a direct conversation both are members and the second table counts: there is nobody to bring in, put out or promote.
"""

from typing import Final, Literal

Role = Literal["owner", "admin", "member"]

Permission = Literal[
    "message.send",
    "message.send.all",
    "message.edit",
    "message.delete",
    "message.delete.others",
    "reaction.add",
    "reaction.remove",
    "message.pin",
    "conversation.update",
    "conversation.retention",
    "member.add",
    "member.remove",
    "member.remove.admin",
    "member.leave",
    "member.role",
    "member.mine",
]
"""An operation, as its intent is called; `.all`: with a mention of everybody; `.others`: of what somebody else wrote."""

_EVERYBODY: Final[frozenset[Role]] = frozenset({"owner", "admin", "member"})
_ADMINS: Final[frozenset[Role]] = frozenset({"owner", "admin"})
_OWNER: Final[frozenset[Role]] = frozenset({"owner"})
_NOBODY: Final[frozenset[Role]] = frozenset()

GROUP: Final[dict[Permission, frozenset[Role]]] = {
    "message.send": _EVERYBODY,
    "message.send.all": _ADMINS,
    "message.edit": _EVERYBODY,
    "message.delete": _EVERYBODY,
    "message.delete.others": _ADMINS,
    "reaction.add": _EVERYBODY,
    "reaction.remove": _EVERYBODY,
    "message.pin": _ADMINS,
    "conversation.update": _ADMINS,
    "conversation.retention": _ADMINS,
    "member.add": _ADMINS,
    "member.remove": _ADMINS,
    "member.remove.admin": _OWNER,
    "member.leave": _EVERYBODY,
    "member.role": _OWNER,
    "member.mine": _EVERYBODY,
}

DIRECT: Final[dict[Permission, frozenset[Role]]] = {
    **GROUP,
    "message.send.all": _NOBODY,
    "message.delete.others": _NOBODY,
    "message.pin": _EVERYBODY,
    "conversation.update": _NOBODY,
    "conversation.retention": _EVERYBODY,
    "member.add": _NOBODY,
    "member.remove": _NOBODY,
    "member.remove.admin": _NOBODY,
    "member.leave": _NOBODY,
    "member.role": _NOBODY,
}


def may(kind: str, role: Role, permission: Permission) -> bool:
    """Whether somebody of this role may do this in a conversation of this kind (`direct` or `group`)."""
    return role in (DIRECT if kind == "direct" else GROUP)[permission]
