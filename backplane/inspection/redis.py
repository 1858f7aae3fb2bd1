"""Redis as the doctor sees it: over one connection that adopts nothing, so that also a server we cannot work with is seen."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backplane.errors import Permanent, Transient
from backplane.inspection.checks import Check, error, judge_clock, ok, versions, warning
from backplane.layout import compare_copy
from backplane.redis import GENERAL_SECONDS, Connection, Redis, fcall
from backplane.settings import Settings, SettingsError
from backplane.store.mongo import LayoutMismatch

MIN_VERSION: Final = (7, 0)
"""Functions and sharded pub/sub came with Redis 7.0; every Valkey has them."""
ACL: Final = "deploy/redis/users.acl"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """What a server says of itself. A `…_refused` is why it would not, None if it did."""

    info: Mapping[str, str]
    """The lines of INFO; empty if that was refused."""
    info_refused: str | None = None
    appendfsync: str | None = None
    """None if CONFIG GET was refused, as an ACL should."""
    functions_refused: str | None = None
    layout_refused: str | None = None
    clock_ahead_seconds: float = 0.0
    round_trip_ms: float = 0.0


async def inspect(settings: Settings) -> list[Check]:
    """Ask and judge. What is away, or lets us not in, is a finding."""
    try:
        redis = await Redis.open(settings)
    except SettingsError as failure:
        return [error("redis", str(failure), "write HEADRACE_REDIS_URL as docs/operations.md says")]
    connection = redis.plain_connection()
    try:
        return judge(await _ask(redis, connection), lossless=settings.redis_lossless_restart)
    except (Transient, Permanent) as failure:
        return [unreachable(failure)]
    finally:
        await connection.close()
        await redis.close()


def unreachable(failure: Exception) -> Check:
    """The finding for a server that cannot be asked at all."""
    said = str(failure)
    if isinstance(failure, Permanent):
        fix = f"put the right user and password into HEADRACE_REDIS_URL (users: {ACL})"
    elif "CERTIFICATE_VERIFY_FAILED" in said:
        fix = "name the CA of Redis' certificate in HEADRACE_REDIS_URL: rediss://…?ssl_ca_certs=<file>; the host must be as the certificate says"
    else:
        fix = "start Redis, or set HEADRACE_REDIS_URL to where it is; rediss:// if it speaks TLS, redis:// if not"
    return error("redis", said, fix)


async def _ask(redis: Redis, connection: Connection) -> RedisFacts:
    await connection.open()
    before = time.time()
    [(seconds, microseconds)] = await connection.exchange([("TIME",)], GENERAL_SECONDS)
    after = time.time()
    info, config, copy = await connection.exchange(
        [("INFO",), ("CONFIG", "GET", "appendfsync"), ("GET", redis.names.layout())], GENERAL_SECONDS
    )
    return RedisFacts(
        info={} if isinstance(info, Exception) else _lines(info),
        info_refused=str(info) if isinstance(info, Exception) else None,
        appendfsync=None if isinstance(config, Exception) or len(config) < 2 else config[1].decode(),
        functions_refused=await _functions(redis, connection),
        layout_refused=_layout(redis, copy),
        clock_ahead_seconds=int(seconds) + int(microseconds) / 1e6 - (before + after) / 2,
        round_trip_ms=(after - before) * 1000,
    )


async def _functions(redis: Redis, connection: Connection) -> str | None:
    """Call a function that only reads; our libraries are loaded if they are not there."""
    try:
        [reply] = await connection.exchange([fcall("lag", [redis.names.intents(0)], ["persist"])], GENERAL_SECONDS)
    except Transient as failure:
        return str(failure)
    return str(reply) if isinstance(reply, Exception) else None


def _layout(redis: Redis, copy: Any) -> str | None:
    if isinstance(copy, Exception):
        return str(copy)
    try:
        compare_copy(redis.names, copy)
    except LayoutMismatch as failure:
        return str(failure)
    return None


def _lines(info: bytes) -> dict[str, str]:
    lines = info.decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def judge(facts: RedisFacts, *, lossless: bool) -> list[Check]:
    """Every finding. `lossless`: the settings say that a restart of Redis forgets nothing."""
    if facts.info_refused is not None:
        described = [
            error(
                "redis INFO",
                f"could not be read: {facts.info_refused}",
                f"allow +info to this user: every process needs it ({ACL})",
            )
        ]
    else:
        info = facts.info
        described = [_version(info), _role(info), _eviction(info), _limit(info), _appendonly(info)]
    return [
        ok("redis", f"answers in {facts.round_trip_ms:.1f} ms"),
        *described,
        _appendfsync(facts.appendfsync, lossless=lossless),
        _callable(facts.functions_refused),
        _our_layout(facts.layout_refused),
        judge_clock("redis clock", facts.clock_ahead_seconds),
    ]


def _version(info: Mapping[str, str]) -> Check:
    what = "redis version"
    if valkey := info.get("valkey_version"):
        return ok(what, f"Valkey {valkey}")
    said = info.get("redis_version", "unknown")
    if versions(said) < MIN_VERSION:
        return error(what, f"Redis {said}", "run Redis 7.0 or later, or Valkey")
    return ok(what, f"Redis {said}")


def _role(info: Mapping[str, str]) -> Check:
    what = "redis role"
    if info.get("redis_mode") == "cluster":
        return error(
            what, "a node of a cluster", "use a standalone Redis: a cluster's redirections are not followed yet"
        )
    if info.get("role") != "master":
        return error(
            what,
            f"a replica of {info.get('master_host', 'another')}: it takes no writes",
            "set HEADRACE_REDIS_URL to the primary",
        )
    replicas = int(info.get("connected_slaves", "0"))
    return ok(what, f"primary, {replicas or 'no'} replica{'' if replicas == 1 else 's'}")


def _eviction(info: Mapping[str, str]) -> Check:
    what, policy = "redis maxmemory-policy", info.get("maxmemory_policy", "unknown")
    if policy != "noeviction":
        fix = "`maxmemory-policy noeviction` in redis.conf: evicted keys are streams, with the messages in them"
        return error(what, policy, fix)
    return ok(what, policy)


def _limit(info: Mapping[str, str]) -> Check:
    what = "redis maxmemory"
    limit, used = int(info.get("maxmemory", "0")), int(info.get("used_memory", "0"))
    if not limit:
        return warning(
            what,
            "no limit: gateways cannot see it coming, and the kernel kills Redis",
            "`maxmemory` in redis.conf, e.g. to 60 % of the machine's memory",
        )
    return ok(what, f"{limit >> 20} MiB, {used / limit:.0%} used")


def _appendonly(info: Mapping[str, str]) -> Check:
    what = "redis appendonly"
    if info.get("aof_enabled") != "1":
        return error(what, "no: a restart loses what was accepted and not stored yet", "`appendonly yes` in redis.conf")
    if info.get("aof_last_write_status", "ok") != "ok":
        return error(what, "the last write to the file failed", "make room on Redis' disk, and look into its log")
    return ok(what, "yes")


def _appendfsync(value: str | None, *, lossless: bool) -> Check:
    what = "redis appendfsync"
    match value:
        case None:
            claim = " (HEADRACE_REDIS_LOSSLESS_RESTART needs `always`)" if lossless else ""
            return warning(
                what,
                "could not be read: CONFIG is refused, as it should be",
                f"look yourself: `CONFIG GET appendfsync` as an administrator{claim}",
            )
        case "always":
            return ok(what, "always" if lossless else "always; HEADRACE_REDIS_LOSSLESS_RESTART would spare resyncs")
        case _ if lossless:
            return error(
                what,
                f"{value}, but HEADRACE_REDIS_LOSSLESS_RESTART says that a restart forgets nothing",
                "`appendfsync always` in redis.conf, or HEADRACE_REDIS_LOSSLESS_RESTART=false",
            )
        case "everysec":
            return ok(what, value)
        case _:
            return warning(what, f"{value}: a crash of the machine loses up to a minute", "`appendfsync everysec`")


def _callable(refused: str | None) -> Check:
    what = "redis functions"
    if refused is not None:
        return error(what, refused, f"allow +fcall and +function|load to this user ({ACL}); Redis 7.0 or later")
    return ok(what, "loaded, and can be called")


def _our_layout(refused: str | None) -> Check:
    what = "redis layout"
    if refused is not None:
        return error(what, refused, "set HEADRACE_PARTITIONS, HEADRACE_SHARDS and HEADRACE_NAMESPACE as at the birth")
    return ok(what, "fits the settings")
