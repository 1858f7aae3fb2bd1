"""Which TCP ports of this machine are free."""

import random
import socket
from collections.abc import Container
from typing import Final

LOCALHOST: Final = "127.0.0.1"

CHOICE: Final = range(20_000, 32_000)
"""Below the ephemeral range (32768 …): there, a client that retries a dead server's port can connect to itself, and then
keeps the server from coming back."""


def is_free(port: int, host: str = LOCALHOST) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do: connections of the past in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose(wanted: int | None = None, taken: Container[int] = ()) -> int:
    """A free port: `wanted` if it is, else a random one of `CHOICE`.

    Raises:
        OSError: none was found.
    """
    if wanted is not None and wanted not in taken and is_free(wanted):
        return wanted
    for port in random.sample(CHOICE, 200):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port in {CHOICE.start}-{CHOICE.stop}")
