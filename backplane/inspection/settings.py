"""Secrets and URLs. What `load_settings` refuses is a finding already; here is what it lets pass."""

from typing import Final
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from backplane.inspection.checks import Check, error, ok, warning
from backplane.keys import BadKeys, read_keys
from backplane.setting_rules import is_weak
from backplane.settings import Settings

_YES: Final = {"true", "1", "yes"}
_NO: Final = {"false", "0", "no", "f", "n"}


def refused(faults: str) -> list[Check]:
    """A finding for each line of a `SettingsError`: no process of ours starts with these settings."""
    fix = "set it right (docs/settings.md); `headrace config check` says whether all is well"
    return [error("settings", fault, fix) for fault in faults.splitlines()]


def judge(settings: Settings, *, production: bool) -> list[Check]:
    """Look at settings that are whole. `production`: weak ones are findings."""
    return [
        *_signing_key(settings.signing_key, production=production),
        _ops_token(settings.ops_token),
        *_redis_url(settings.redis_url.get_secret_value(), production=production),
        *_mongodb_url(settings.mongodb_url.get_secret_value(), production=production),
        *_s3_url(settings.s3_url, production=production),
    ]


def _signing_key(key: SecretStr | None, *, production: bool) -> list[Check]:
    what = "signing key"
    if key is None and production:
        return [ok(what, "none: right for consumers and operators; a gateway does not start without")]
    if key is None:
        return [ok(what, "none; in development each gateway makes one of its own")]
    try:
        ring = read_keys(key.get_secret_value())
    except BadKeys as failure:
        return [
            error(
                what,
                str(failure),
                "make keys with `headrace keys generate --out <file>`; set HEADRACE_SIGNING_KEY_FILE",
            )
        ]
    if ring.current.private is None:
        return [ok(what, "public halves alone: this gateway checks tokens and issues none")]
    if all(one.status != "next" for one in ring.keys):
        fix = "replace it by `headrace keys generate --out <file>`; people refresh once more"
        return [
            warning(what, "one key alone: it can not be changed without ending all access tokens", fix)
            if production
            else ok(what, "Ed25519")
        ]
    return [ok(what, f"Ed25519, {len(ring.keys)} keys")]


def _ops_token(token: SecretStr | None) -> Check:
    what = "ops token"
    if token is None:
        return ok(what, "none: details and metrics are on the internal port alone")
    text = token.get_secret_value()
    if is_weak(text):
        return warning(
            what,
            f"weak: {len(text)} characters, {len(set(text))} different ones",
            "set HEADRACE_OPS_TOKEN_FILE to what `openssl rand -hex 32` says",
        )
    return ok(what, f"{len(text)} characters")


def _redis_url(url: str, *, production: bool) -> list[Check]:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    away = parts.scheme != "unix" and not _is_here(parts.hostname or "localhost")
    unchecked = (
        query.get("ssl_cert_reqs", ["required"])[-1].lower() != "required"
        or query.get("ssl_check_hostname", ["true"])[-1].lower() in _NO
    )
    return [
        _password(
            "redis password", bool(parts.password) or "password" in query, "HEADRACE_REDIS_URL", production=production
        ),
        _tls(
            "redis TLS",
            away=away,
            encrypted=parts.scheme == "rediss",
            unchecked=unchecked,
            fix="let HEADRACE_REDIS_URL begin with rediss://, with ?ssl_ca_certs=<file> for a CA of your own",
            production=production,
        ),
    ]


def _mongodb_url(url: str, *, production: bool) -> list[Check]:
    parts = urlsplit(url)
    # Names of options are the driver's to spell as it likes.
    query = {name.lower(): values[-1].lower() for name, values in parse_qs(parts.query).items()}
    credentials, _, hosts = parts.netloc.rpartition("@")
    known = ":" in credentials or query.get("authmechanism") in {"mongodb-x509", "mongodb-aws", "mongodb-oidc"}
    encrypted = query.get("tls", query.get("ssl", "true" if parts.scheme == "mongodb+srv" else "false")) in _YES
    unchecked = any(
        query.get(name) in _YES for name in ("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames")
    )
    return [
        _password("mongodb password", known, "HEADRACE_MONGODB_URL", production=production),
        _tls(
            "mongodb TLS",
            away=not all(_is_here(_without_port(host)) for host in hosts.split(",")),
            encrypted=encrypted,
            unchecked=unchecked,
            fix="add tls=true to HEADRACE_MONGODB_URL, and tlsCAFile=<file> for a CA of your own",
            production=production,
        ),
    ]


def _s3_url(url: str | None, *, production: bool) -> list[Check]:
    if url is None:
        return []
    parts = urlsplit(url)
    return [
        _tls(
            "s3 TLS",
            away=not _is_here(parts.hostname or ""),
            encrypted=parts.scheme == "https",
            unchecked=False,
            fix="let HEADRACE_S3_URL begin with https://, with HEADRACE_S3_CA_FILE for a CA of your own",
            production=production,
        )
    ]


def _password(what: str, there: bool, variable: str, *, production: bool) -> Check:
    if there:
        return ok(what, "there is one")
    if not production:
        return ok(what, "none, in development")
    return warning(
        what,
        "none: whoever reaches the port reads and changes everything",
        f"give each kind of process a user of its own (docs/operations.md) and put it into {variable}",
    )


def _tls(what: str, *, away: bool, encrypted: bool, unchecked: bool, fix: str, production: bool) -> Check:
    if encrypted and unchecked:
        seen = "encrypted, but the server's certificate is not checked: anybody can stand in between"
        return warning(what, seen, f"remove what switches the check off; {fix}")
    if encrypted:
        return ok(what, "encrypted")
    if not away:
        return ok(what, "not encrypted, on this machine")
    if not production:
        return ok(what, "not encrypted, in development")
    return warning(what, "not encrypted, to another machine: what goes there can be read on the way", fix)


def _without_port(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_here(host: str) -> bool:
    """A loopback address, or the path of a socket (`%2Ftmp%2F…`)."""
    return host in {"localhost", "::1"} or host.startswith(("127.", "/", "%2f", "%2F"))
