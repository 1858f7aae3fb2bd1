"""Which running copy of a client a connection belongs to. Pure."""

import hashlib

from schemas.client_frames import ClientInfo


def instance_of(client: ClientInfo) -> str | None:
    """A name for a running copy of a client, the same for each of its connections; None if it does not say which it is.

    Its own ids may hold anything; this is one word, and of one length.
    """
    if not (client.device_id and client.instance_id):
        return None
    return hashlib.sha256(f"{client.device_id}\0{client.instance_id}".encode()).hexdigest()[:32]
