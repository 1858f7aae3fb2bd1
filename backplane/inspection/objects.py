"""The object store as the doctor judges it."""

from typing import Final

from backplane.errors import Permanent, Transient
from backplane.inspection.checks import Check, error, ok
from backplane.objects.s3 import Objects
from backplane.settings import Settings, SettingsError

WHAT: Final = "s3"


async def inspect(settings: Settings) -> list[Check]:
    """Ask and judge. What is away, or lets us not in, is a finding."""
    if settings.s3_url is None:
        return [ok(WHAT, "none: attachments are off")]
    try:
        objects = await Objects.open(settings)
    except SettingsError as failure:
        return [error(WHAT, str(failure), "set HEADRACE_S3_… as docs/operations.md says")]
    try:
        return [answering(await objects.ping())]
    except (Transient, Permanent) as failure:
        return [refused(failure)]
    finally:
        await objects.close()


def answering(seconds: float) -> Check:
    """The finding for two buckets that are there."""
    return ok(WHAT, f"both buckets answer, in {seconds * 1000:.1f} ms")


def refused(failure: Exception) -> Check:
    """The finding for a store that is away, lacks a bucket, or lets us not in."""
    said, _, migrate = str(failure).partition("; run ")
    if migrate:
        fix = migrate
    elif isinstance(failure, Transient):
        fix = "start the object store, or set HEADRACE_S3_URL to where it is; HEADRACE_S3_CA_FILE for a CA of your own"
    else:
        fix = (
            "put the right keys into HEADRACE_S3_ACCESS_KEY and HEADRACE_S3_SECRET_KEY, with the rights that docs/operations.md lists; "
            "S3 refuses requests of a clock that is more than 15 minutes off, too"
        )
    return error(WHAT, said, fix)
