"""MongoDB as the doctor judges it."""

from typing import Final

from backplane.errors import Permanent, Transient
from backplane.inspection.checks import Check, error, judge_clock, ok, versions, warning
from backplane.settings import Settings, SettingsError
from backplane.store.facts import MongoFacts, gather
from backplane.store.mongo import Store

MIN_VERSION: Final = (7,)
ROLES: Final = "deploy/mongodb/roles.js"


async def inspect(settings: Settings, *, production: bool) -> list[Check]:
    """Ask and judge. What is away, or lets us not in, is a finding."""
    try:
        store = await Store.open(settings)
    except SettingsError as failure:
        return [error("mongodb", str(failure), "write HEADRACE_MONGODB_URL as docs/operations.md says")]
    try:
        return judge(await gather(store, settings.names), production=production)
    except (Transient, Permanent) as failure:
        return [unreachable(failure)]
    finally:
        await store.close()


def unreachable(failure: Exception) -> Check:
    """The finding for a server that cannot be asked at all."""
    said = str(failure)
    if "certificate verify failed" in said.lower():
        fix = "name the CA of MongoDB's certificate in HEADRACE_MONGODB_URL: tlsCAFile=<file>; the host must be as the certificate says"
    elif "OperationFailure" in said:
        fix = f"put the right user and password into HEADRACE_MONGODB_URL (roles: {ROLES})"
    else:
        fix = "start MongoDB, or set HEADRACE_MONGODB_URL to where it is; tls=true if and only if it speaks TLS"
    return error("mongodb", said, fix)


def judge(facts: MongoFacts, *, production: bool) -> list[Check]:
    """Every finding. `production`: one member alone is one."""
    return [
        ok("mongodb", f"answers in {facts.round_trip_ms:.1f} ms"),
        _version(facts),
        _topology(facts, production=production),
        _writes(facts.writes_refused),
        _layout(facts),
        judge_clock("mongodb clock", facts.clock_ahead_seconds),
    ]


def _version(facts: MongoFacts) -> Check:
    what = "mongodb version"
    if facts.stand_in is not None:
        seen = f"{facts.stand_in}, which speaks as MongoDB {facts.version}: a stand-in for development"
        return warning(what, seen, "run MongoDB 7.0 or later wherever messages matter")
    if versions(facts.version) < MIN_VERSION:
        return error(what, f"MongoDB {facts.version}", "run MongoDB 7.0 or later")
    return ok(what, f"MongoDB {facts.version}")


def _topology(facts: MongoFacts, *, production: bool) -> Check:
    what = "mongodb topology"
    if facts.sharded:
        return ok(what, "a sharded cluster")
    if facts.set_name is None:
        return error(
            what,
            "a server alone: a majority of it is no promise",
            "start it with --replSet and run rs.initiate(), best with three members",
        )
    seen = f"replica set {facts.set_name}, {facts.members} member{'' if facts.members == 1 else 's'}"
    if production and facts.members < 3:
        return warning(what, seen, "three members: with less, one that is away stops all writes, or is all there is")
    return ok(what, seen)


def _writes(refused: str | None) -> Check:
    what = "mongodb writes"
    if refused is not None:
        return error(what, refused, f"a majority of the members must be up, and this user may write ({ROLES})")
    return ok(what, "on a majority, journalled")


def _layout(facts: MongoFacts) -> Check:
    what = "mongodb layout"
    if facts.layout_refused is None:
        return ok(what, "fits the settings; every index is there")
    if facts.unmigrated:
        return error(what, facts.layout_refused.partition("; run")[0], "`headrace migrate`")
    return error(what, facts.layout_refused, "set what names the layout as it was at the deployment's birth")
