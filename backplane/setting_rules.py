"""Rules over several settings, or over one and what it is for: what fields can not say of themselves. Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from backplane.settings import Settings

PREFIX: Final = "HEADRACE_"
MIN_SECRET: Final = 32


class BrokenRule(NamedTuple):
    """A rule over several settings, or over one and what it is for, that does not hold."""

    names: frozenset[str]
    """The settings that it looks at."""
    fault: str


def broken_rules(settings: "Settings") -> Iterator[BrokenRule]:
    """Each fault is said with its variable and an example."""
    if settings.lease_seconds <= settings.mongodb_timeout_seconds:
        fault = "HEADRACE_LEASE_SECONDS must be longer than HEADRACE_MONGODB_TIMEOUT_SECONDS (e.g. 10 and 5)"
        yield _broken(fault, "lease_seconds", "mongodb_timeout_seconds")
    if _scheme(settings.redis_url.get_secret_value()) not in {"redis", "rediss", "unix"}:
        fault = "HEADRACE_REDIS_URL must begin with redis://, rediss:// or unix:// (e.g. redis://127.0.0.1:6379/0)"
        yield _broken(fault, "redis_url")
    if _scheme(settings.mongodb_url.get_secret_value()) not in {"mongodb", "mongodb+srv"}:
        fault = "HEADRACE_MONGODB_URL must begin with mongodb:// (e.g. mongodb://127.0.0.1:27017/?replicaSet=rs0)"
        yield _broken(fault, "mongodb_url")
    if settings.scanner_url and _scheme(settings.scanner_url) not in {"unix", "tcp"}:
        fault = "HEADRACE_SCANNER_URL must begin with unix:// or tcp:// (e.g. unix:///run/clamav/clamd.ctl or tcp://10.0.0.9:3310)"
        yield _broken(fault, "scanner_url")
    if settings.webhooks_allow_private and not settings.development:
        fault = "HEADRACE_WEBHOOKS_ALLOW_PRIVATE is for development only (e.g. false)"
        yield _broken(fault, "webhooks_allow_private", "environment")
    token = settings.ops_token.get_secret_value() if settings.ops_token else None
    if token is not None and not settings.development and is_weak(token):
        fault = (
            f"HEADRACE_OPS_TOKEN is weak: at least {MIN_SECRET} random characters (e.g. from `openssl rand -hex 32`)"
        )
        yield _broken(fault, "ops_token", "environment")
    yield from _broken_s3_rules(settings)


def _broken_s3_rules(settings: "Settings") -> Iterator[BrokenRule]:
    urls = {
        "s3_url": settings.s3_url,
        "s3_public_url": settings.s3_public_url,
        "s3_cdn_url": settings.s3_cdn_url,
    }
    for name, url in urls.items():
        if url is not None and not _is_origin(url):
            fault = f"{PREFIX}{name.upper()} must be http:// or https://, a host and perhaps a port, no more (e.g. https://s3.example)"
            yield _broken(fault, name)
    if settings.s3_url is not None and not (settings.s3_access_key and settings.s3_secret_key):
        fault = "HEADRACE_S3_ACCESS_KEY and HEADRACE_S3_SECRET_KEY are needed with HEADRACE_S3_URL"
        yield _broken(fault, "s3_url", "s3_access_key", "s3_secret_key")
    if settings.s3_bucket == settings.s3_quarantine_bucket:
        fault = "HEADRACE_S3_BUCKET and HEADRACE_S3_QUARANTINE_BUCKET must be two buckets"
        yield _broken(fault, "s3_bucket", "s3_quarantine_bucket")


def _broken(fault: str, *names: str) -> BrokenRule:
    return BrokenRule(frozenset(names), fault)


def is_weak(secret: str) -> bool:
    """Whether a secret is too short, or made of too few different characters, to be random."""
    return len(secret) < MIN_SECRET or len(set(secret)) < MIN_SECRET // 4


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _is_origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and url.rstrip("/") == f"{parts.scheme}://{parts.netloc}"
            and "@" not in parts.netloc
            and parts.port != 0
        )
    except ValueError:
        return False
