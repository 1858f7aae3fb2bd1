"""What the doctor says of a Redis, by what that says of itself."""

from dataclasses import replace

import pytest

from backplane.errors import Permanent, Transient
from backplane.inspection.checks import Check
from backplane.inspection.redis import RedisFacts, judge, unreachable

INFO = {
    "redis_version": "7.4.2",
    "redis_mode": "standalone",
    "role": "master",
    "connected_slaves": "1",
    "maxmemory": str(1 << 30),
    "used_memory": str(1 << 29),
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
}
GOOD = RedisFacts(info=INFO, appendfsync="everysec", clock_ahead_seconds=0.2, round_trip_ms=0.4)


def judged(*, lossless: bool = False, info: dict[str, str] | None = None, **facts: object) -> dict[str, Check]:
    changed = replace(GOOD, info=INFO | (info or {}), **facts)  # type: ignore[arg-type]
    checks = judge(changed, lossless=lossless)
    for check in checks:
        assert (check.fix is None) is (check.level == "ok"), check
    return {check.what: check for check in checks}


def found(**changes: object) -> dict[str, str]:
    """What is not well, and how bad it is."""
    return {check.what: check.level for check in judged(**changes).values() if check.level != "ok"}  # type: ignore[arg-type]


def test_a_good_server_has_no_findings() -> None:
    assert found() == {}
    assert judged()["redis role"].seen == "primary, 1 replica"
    assert judged()["redis maxmemory"].seen == "1024 MiB, 50% used"


@pytest.mark.parametrize(
    ("info", "level"),
    [
        ({"redis_version": "6.2.14"}, "error"),
        ({"redis_version": "7.0.0"}, "ok"),
        ({"redis_version": "8.4.0"}, "ok"),
        ({"redis_version": "10.0.0"}, "ok"),
        ({"redis_version": "unknown"}, "error"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "ok"),
    ],
)
def test_redis_7_and_every_valkey_will_do(info: dict[str, str], level: str) -> None:
    assert judged(info=info)["redis version"].level == level


@pytest.mark.parametrize(
    ("info", "what", "level"),
    [
        ({"role": "slave", "master_host": "redis-1"}, "redis role", "error"),
        ({"redis_mode": "cluster"}, "redis role", "error"),
        ({"maxmemory_policy": "allkeys-lru"}, "redis maxmemory-policy", "error"),
        ({"maxmemory": "0"}, "redis maxmemory", "warning"),
        ({"aof_enabled": "0"}, "redis appendonly", "error"),
        ({"aof_last_write_status": "err"}, "redis appendonly", "error"),
    ],
)
def test_what_info_tells(info: dict[str, str], what: str, level: str) -> None:
    assert found(info=info) == {what: level}


def test_no_replicas_are_noted() -> None:
    assert judged(info={"connected_slaves": "0"})["redis role"].seen == "primary, no replicas"


@pytest.mark.parametrize(
    ("value", "lossless", "level"),
    [
        ("always", True, "ok"),
        ("always", False, "ok"),
        ("everysec", False, "ok"),
        ("everysec", True, "error"),
        ("no", False, "warning"),
        ("no", True, "error"),
        (None, False, "warning"),
        (None, True, "warning"),
    ],
)
def test_appendfsync_is_as_the_settings_say(value: str | None, *, lossless: bool, level: str) -> None:
    check = judged(appendfsync=value, lossless=lossless)["redis appendfsync"]
    assert check.level == level
    if value is None:
        assert "could not be read" in check.seen
        assert ("LOSSLESS" in str(check.fix)) is lossless


def test_what_is_refused_is_a_finding_each() -> None:
    assert found(functions_refused="NOPERM no permission for fcall") == {"redis functions": "error"}
    assert found(layout_refused="says 8 partitions") == {"redis layout": "error"}
    checks = judged(info_refused="NOPERM no permission for info")
    assert checks["redis INFO"].level == "error"
    assert "redis version" not in checks, "nothing is said of what was not seen"


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0.9, "ok"), (-0.9, "ok"), (1.5, "warning"), (-1.5, "warning"), (31, "error"), (-31, "error")],
)
def test_a_clock_that_is_off(seconds: float, level: str) -> None:
    assert judged(clock_ahead_seconds=seconds)["redis clock"].level == level


def test_a_server_that_cannot_be_asked_is_one_error_with_the_fix_that_fits() -> None:
    fixes = {
        str(unreachable(failure).fix)
        for failure in (
            Transient("Redis is away: Connect call failed"),
            Transient("Redis is away: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"),
            Permanent("Redis refuses the credentials: WRONGPASS"),
        )
    }
    assert len(fixes) == 3
    assert any("ssl_ca_certs" in fix for fix in fixes)
    assert unreachable(Transient("away")).level == "error"
