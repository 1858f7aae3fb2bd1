"""The buckets of attachments, for `headrace migrate` and `headrace up`: made once, then only looked at."""

from backplane.errors import Permanent
from backplane.objects.s3 import Objects
from backplane.settings import Settings
from cli.failures import Failure


async def make(settings: Settings) -> list[str]:
    """Make what is missing, if this deployment has an object store; returns what was done, in words.

    Raises:
        Failure: the object store refuses.
    """
    if settings.s3_url is None:
        return []
    objects = await Objects.open(settings)
    try:
        return await objects.ensure_buckets()
    except Permanent as failure:
        raise Failure(f"the buckets can not be made: {failure}; does this key of S3 have the right to?") from failure
    finally:
        await objects.close()


async def check(settings: Settings) -> None:
    """Look whether both are there, if this deployment has an object store.

    Raises:
        Failure: one is not, or the keys are wrong.
    """
    if settings.s3_url is None:
        return
    objects = await Objects.open(settings)
    try:
        await objects.ping()
    except Permanent as failure:
        raise Failure(str(failure)) from failure
    finally:
        await objects.close()
