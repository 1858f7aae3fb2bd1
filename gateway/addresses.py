"""Whose address a request comes from, and what of it rate limits count."""

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
