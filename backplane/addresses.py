"""Where a webhook may lead: never into our own network (OWASP, “Server-Side Request Forgery Prevention”). Pure.

A name is judged by what it resolves to, each time anew, and the address that was judged is the one that is connected to
(`backplane.outgoing`): a second resolution could give another one.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

MAX_URL: Final = 2048

_NAT64: Final = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")
_TEREDO: Final = IPv6Network("2001::/32")


class BadTarget(ValueError):
    """The URL can not be a webhook's; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart once; `path` carries the query too."""

    scheme: str
    host: str
    port: int
    path: str


def parse_target(url: str, *, https_only: bool) -> Target:
    """Take a webhook's URL apart.

    Raises:
        BadTarget: it is no URL of a web server, or says more than one.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or set(url) & set(' "<>\\^`{|}'):
        raise BadTarget(f"url must have at most {MAX_URL} characters, all of them such as URLs may have")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as failure:
        raise BadTarget(f"url: {failure}") from None
    if parts.scheme not in ({"https"} if https_only else {"http", "https"}):
        raise BadTarget("url must begin with https://")
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise BadTarget("url must name a host, and no user or password")
    if parts.fragment or url.endswith("#"):
        raise BadTarget("url must not have a fragment")
    port = port if port is not None else 443 if parts.scheme == "https" else 80
    if port not in {80, 443} and port < 1024:
        raise BadTarget("url must name port 80, 443, or one from 1024 on")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, port, path)


def refusal(address: str) -> str | None:
    """Why an address must not be connected to; None if it is out in the public network."""
    try:
        ip = ip_address(address)
    except ValueError:
        return "not an address"
    if isinstance(ip, IPv6Address):
        inner = _inner(ip)
        if inner is not None:
            return _judge(inner)
        if ip in _NAT64_LOCAL or ip.is_site_local:
            return "private"
    return _judge(ip)


def _inner(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one only wraps, and that a router would lead it to."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    if ip in _TEREDO and ip.teredo is not None:
        return ip.teredo[1]
    return None


def _judge(ip: IPv4Address | IPv6Address) -> str | None:
    kinds = {
        "unspecified": ip.is_unspecified,
        "loopback": ip.is_loopback,
        "link-local": ip.is_link_local,
        "multicast": ip.is_multicast,
        "private": ip.is_private,
        "reserved": ip.is_reserved,
        "not public": not ip.is_global,
    }
    return next((kind for kind, applies in kinds.items() if applies), None)
