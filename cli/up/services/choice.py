"""All outside services together: which ones are used, and whether those that were given answer."""

import contextlib
from collections.abc import Generator, Mapping
from typing import NamedTuple

from backplane.errors import Permanent, Transient
from backplane.objects.s3 import Objects
from backplane.redis import Redis
from backplane.settings import Settings
from backplane.store.mongo import Store
from cli.failures import Unreachable
from cli.up.child import Spec
from cli.up.folder import DataFolder
from cli.up.services.clamd import clamd
from cli.up.services.mongodb import MONGODB_URL, mongodb
from cli.up.services.outside import Service, given, settle
from cli.up.services.redis import REDIS_URL, redis
from cli.up.services.seaweedfs import S3_KEYS, S3_URL, seaweedfs


class Services(NamedTuple):
    """What is used."""

    redis: Service
    mongodb: Service
    objects: Service
    scanner: Service

    @property
    def specs(self) -> tuple[Spec, ...]:
        """What is ours to run."""
        return tuple(service.spec for service in self if service.spec)

    def settle(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment that leads there, whatever it named before."""
        return settle(environ, {name: value for service in self for name, value in service.environ.items()})


def choose(environ: Mapping[str, str], folder: DataFolder) -> Services:
    """The services to use.

    Raises:
        Failure: there is no Redis or no MongoDB.
    """
    return Services(
        redis(environ, folder), mongodb(environ, folder), seaweedfs(environ, folder), clamd(environ, folder)
    )


def secret(environ: Mapping[str, str]) -> frozenset[str]:
    """What of the user's own S3 is not for the disk. The URL alone would be half a setting, and no command could start with it."""
    keys_are_given = any(name in environ for name in S3_KEYS)
    return frozenset({S3_URL, *S3_KEYS}) if given(environ, S3_URL) and keys_are_given else frozenset()


async def check_given(environ: Mapping[str, str], settings: Settings) -> None:
    """Say which of the services that the user's environment names does not answer. The scanner may be away: nobody needs it to chat.

    Raises:
        Unreachable: one does not.
    """
    if given(environ, REDIS_URL):
        redis = await Redis.open(settings)
        with _unreachable("Redis", REDIS_URL):
            await redis.ping()
        await redis.close()
    if given(environ, MONGODB_URL):
        store = await Store.open(settings)
        with _unreachable("MongoDB", MONGODB_URL):
            await store.ping()
        await store.close()
    if given(environ, S3_URL):
        objects = await Objects.open(settings)
        # Buckets that are not there yet are made next, and whoever may not make them is told so there.
        with _unreachable("S3", S3_URL), contextlib.suppress(Permanent):
            await objects.ping()
        await objects.close()


@contextlib.contextmanager
def _unreachable(name: str, variable: str) -> Generator[None]:
    try:
        yield
    except Transient as failure:
        raise Unreachable(f"{name}, as {variable} names it, does not answer: {failure}") from failure
