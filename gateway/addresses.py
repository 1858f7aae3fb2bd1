"""Whose address a request comes from, what of it rate limits count, and which names are ours. Pure."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from starlette.requests import HTTPConnection

UNKNOWN = "unknown"


def address_of(connection: HTTPConnection) -> str:
    """The address of the client: that of the peer, unless a trusted proxy has told another (`HEADRACE_TRUSTED_PROXIES`)."""
    return UNKNOWN if connection.client is None else connection.client.host


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64, within which anybody may take as many addresses as they like."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


def is_known(host: str | None, allowed: Sequence[str]) -> bool:
    """Whether a `Host` header names one of these; `*.example.org` is every name below example.org. An empty list knows any."""
    if not allowed:
        return True
    name = (host or "").lower()
    name = name[: name.index("]") + 1] if name.startswith("[") and "]" in name else name.partition(":")[0]
    return any(
        name == one.lower() or (one.startswith("*.") and name.endswith(one[1:].lower()) and len(name) >= len(one))
        for one in allowed
    )
