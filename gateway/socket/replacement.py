"""One connection for each running copy of a client: an older one is a half-open leftover. Pure.

A newcomer announces itself on its user's doorbell, where every gateway hears the same order. A connection gives way to what is
announced after its own announcement, and to nothing else: so of any number that come at once, on whichever gateways, the one that was
announced last stays (hole D1).
"""

import hashlib

from schemas.client_frames import ClientInfo

_HERE = b"here"


def instance_of(client: ClientInfo) -> str | None:
    """A name for a running copy of a client, the same for each of its connections; None if it does not say which it is.

    Its own ids may hold anything; this is one word, and of one length.
    """
    if not (client.device_id and client.instance_id):
        return None
    return hashlib.sha256(f"{client.device_id}\0{client.instance_id}".encode()).hexdigest()[:32]


def announcement(instance: str, connection_id: str) -> bytes:
    """What a newcomer says: no position, so that nobody takes it for an entry."""
    return b"%s %s %s" % (_HERE, instance.encode(), connection_id.encode())


def parse_announcement(payload: bytes) -> tuple[str, str] | None:
    """The instance and the connection of an announcement; None: it is none."""
    match payload.split(b" "):
        case [word, instance, connection_id] if word == _HERE:
            return instance.decode(), connection_id.decode()
        case _:
            return None


class Claim:
    """One connection's claim to be the one of its instance."""

    def __init__(self, instance: str | None, connection_id: str) -> None:
        self._instance, self._connection_id = instance, connection_id
        self._announced = False

    def heard(self, instance: str, connection_id: str) -> bool:
        """An announcement was heard; returns whether this connection must give way."""
        if instance != self._instance:
            return False
        if connection_id == self._connection_id:
            self._announced = True
            return False
        return self._announced

    def unsaid(self) -> None:
        """The announcement certainly never comes: whatever is announced from now on is later."""
        self._announced = True
