"""Redis: given by a URL, a `redis-server` or `valkey-server` on PATH, or the embedded Valkey."""

import asyncio
from collections.abc import Mapping
from typing import Final

from backplane.settings import PREFIX
from cli import embedded
from cli.failures import Failure
from cli.up.child import Probe, Spec
from cli.up.folder import DataFolder
from cli.up.ports import LOCALHOST
from cli.up.services.outside import INSTALL, Service, chosen, given, origin, port

REDIS_URL: Final = PREFIX + "REDIS_URL"


def redis(environ: Mapping[str, str], folder: DataFolder) -> Service:
    """The Redis to use.

    Raises:
        Failure: there is none.
    """
    if url := given(environ, REDIS_URL):
        return Service("redis", url, f"given by {REDIS_URL}", {REDIS_URL: url})
    program = chosen(folder, "redis") or embedded.redis_program()
    if program is None:
        raise Failure(f"no Redis or Valkey of version {embedded.MIN_MAJOR} or later; {INSTALL}")
    folder.choose("redis", str(program))
    at = port(folder, "redis")
    url = f"redis://{LOCALHOST}:{at}/0"
    data = folder.sub("redis")
    spec = Spec("redis", tuple(embedded.redis_command(program, data, at)), data, redis_answers(at))
    return Service("redis", url, origin(program), {REDIS_URL: url}, spec)


def redis_answers(at: int) -> Probe:
    """Whether Redis answers PING; while it loads its data it does not."""

    async def ready() -> bool:
        reader, writer = await asyncio.open_connection(LOCALHOST, at)
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")
        finally:
            writer.close()

    return ready
