"""The buckets, which web origins may write to quarantine, and what goes from there by itself. Done by `headrace migrate`."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

from backplane.errors import Permanent
from backplane.objects.bucket import Bucket
from backplane.objects.driver import Driver
from backplane.objects.failures import code_of

Use = Literal["upload to", "read"]
RULE: Final = "headrace-quarantine"
DAYS: Final = 7
"""Longer than any scanner should be away: what waits for its verdict is there until then."""
NO_CORS: Final = "NoSuchCORSConfiguration"
NO_LIFECYCLE: Final = "NoSuchLifecycleConfiguration"
_DEFAULT_REGION: Final = "us-east-1"
"""The one region that is not named when a bucket is made."""


async def make(driver: Driver, bucket: Bucket, region: str) -> list[str]:
    """Make the bucket if there is none; returns what was done, in words."""
    if await bucket.exists():
        return []
    where = {} if region == _DEFAULT_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}

    def create(s3: Any) -> None:
        with _unless("BucketAlreadyOwnedByYou"):  # somebody else's migration was quicker
            s3.create_bucket(Bucket=bucket.name, **where)

    await driver.write(f"make bucket {bucket.name}", create)
    return [f"made the bucket {bucket.name}"]


async def allow_origins(driver: Driver, bucket: Bucket, origins: tuple[str, ...], use: Use) -> list[str]:
    """Let pages of these origins post forms to the bucket, or read from it by links, and no others."""
    wanted = [cors_rule(origins, use)] if origins else []
    what = f"CORS of bucket {bucket.name}"

    def rules(s3: Any) -> list[Any]:
        with _unless(NO_CORS):
            return s3.get_bucket_cors(Bucket=bucket.name)["CORSRules"]
        return []

    try:
        if await driver.read(what, rules) == wanted:
            return []
        if wanted:
            await driver.write(
                what, lambda s3: s3.put_bucket_cors(Bucket=bucket.name, CORSConfiguration={"CORSRules": wanted})
            )
            return [f"let {', '.join(origins)} {use} the bucket {bucket.name}"]
        await driver.write(what, lambda s3: s3.delete_bucket_cors(Bucket=bucket.name))
    except Permanent as failure:
        return [_not_taken("rules for web origins (CORS)", bucket, failure)]
    return [f"let no other web origin {use} the bucket {bucket.name}"]


async def forget_by_itself(driver: Driver, bucket: Bucket) -> list[str]:
    """Let the server delete what is older than a week, if it can: the last resort behind our own sweep."""
    what = f"lifecycle of bucket {bucket.name}"

    def rules(s3: Any) -> list[Any]:
        with _unless(NO_LIFECYCLE):
            return s3.get_bucket_lifecycle_configuration(Bucket=bucket.name)["Rules"]
        return []

    try:
        there = await driver.read(what, rules)
        if lifecycle_rule() in there:
            return []
        others = [rule for rule in there if rule.get("ID") != RULE]
        await driver.write(
            what,
            lambda s3: s3.put_bucket_lifecycle_configuration(
                Bucket=bucket.name, LifecycleConfiguration={"Rules": [*others, lifecycle_rule()]}
            ),
        )
    except Permanent as failure:
        return [_not_taken("rules that delete by age", bucket, failure)]
    return [f"let the bucket {bucket.name} forget what is older than {DAYS} days"]


def cors_rule(origins: tuple[str, ...], use: Use) -> dict[str, Any]:
    """From these origins a form may be posted and its answer read, or a link followed."""
    return {
        "AllowedHeaders": ["*"],
        "AllowedMethods": ["POST"] if use == "upload to" else ["GET", "HEAD"],
        "AllowedOrigins": list(origins),
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 600,
    }


def lifecycle_rule() -> dict[str, Any]:
    """Objects, and uploads in parts that never ended."""
    return {
        "ID": RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }


@contextmanager
def _unless(code: str) -> Generator[None]:
    """The refusal that only says that there is nothing yet."""
    try:
        yield
    except ClientError as failure:
        if code_of(failure) != code:
            raise


def _not_taken(what: str, bucket: Bucket, failure: Permanent) -> str:
    return f"the bucket {bucket.name} takes no {what} from us ({failure})"
