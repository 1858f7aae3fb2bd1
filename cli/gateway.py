"""`headrace gateway`: becomes the gateway's process, so that signals and exit code are its own."""

import os
import sys

import click

from backplane.settings import PREFIX


@click.command
@click.option("--host", help="The address to listen on; overrides HEADRACE_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on; overrides HEADRACE_PORT.")
def command(host: str | None, port: int | None) -> None:
    """Run a gateway: REST and WebSocket. Everything else is read from HEADRACE_… variables (docs/settings.md)."""
    if host is not None:
        os.environ[f"{PREFIX}HOST"] = host
    if port is not None:
        os.environ[f"{PREFIX}PORT"] = str(port)
    # -P: a folder named `gateway` in the current directory must not be taken for ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "gateway"])  # noqa: S606 our own program, no shell
