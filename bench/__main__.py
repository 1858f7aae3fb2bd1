"""`python -m bench`: measure a system that it starts itself, or one that runs already."""

import contextlib
import math
import sys
import time

import click
import uvloop

from bench import report, stack
from bench.findings import Finding, check, latency, rate_within
from bench.load import Plan, Records, Run
from bench.mixed import MixedRun
from bench.mixed_findings import MixedFinding, find_mixed
from bench.mixture import Mixture
from bench.people import Person, make_people
from headrace_client import HeadraceError

# name → (members of a conversation, conversations, messages a second)
SCENARIOS = {"direct": (2, 50, 200.0), "group-10": (10, 10, 100.0), "group-200": (200, 1, 10.0)}
MIXED, MIXED_RATE = "mixed", 100.0


@click.command
@click.argument("scenarios", nargs=-1, type=click.Choice([*SCENARIOS, MIXED]))
@click.option("--url", "urls", multiple=True, help="A running gateway; may be given several times.")
@click.option("--gateways", default=1, show_default=True, help="Of the system that is started.")
@click.option("--consumers", default=1, show_default=True, help="Of the system that is started.")
@click.option(
    "--rate",
    "rates",
    multiple=True,
    type=float,
    help="Messages a second (of `mixed`: operations); several are run one after another.",
)
@click.option("--seconds", default=10.0, show_default=True, help="How long each is measured, after 2 s of warm-up.")
@click.option("--seed", default=1, show_default=True, help="Of `mixed`: who does what, when, where.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    *,
    scenarios: tuple[str, ...],
    urls: tuple[str, ...],
    gateways: int,
    consumers: int,
    rates: tuple[float, ...],
    seconds: float,
    seed: int,
    as_json: bool,
) -> None:
    """Measure latency, cost and correctness under load. Exits 1 if a promise was broken; figures of a busy machine are called invalid."""
    plans = [
        plan for name in scenarios or (*SCENARIOS, MIXED) for plan in _plans(name, rates, seconds=seconds, seed=seed)
    ]
    try:
        findings = uvloop.run(_measure(plans, list(urls), gateways, consumers))
    except (HeadraceError, RuntimeError, OSError) as failure:
        raise click.ClickException(str(failure)) from failure
    if as_json:
        click.echo(report.as_json(findings))
    else:
        report.print_tables(findings)
    sys.exit(0 if all(each.correctness.clean for each in findings) else 1)


def _plans(name: str, rates: tuple[float, ...], *, seconds: float, seed: int) -> list[Plan | Mixture]:
    if name == MIXED:
        return [Mixture(rate=rate, seconds=seconds, seed=seed) for rate in rates or (MIXED_RATE,)]
    group, groups, usual = SCENARIOS[name]
    return [Plan(scenario=name, group=group, groups=groups, rate=rate, seconds=seconds) for rate in rates or (usual,)]


async def _measure(
    plans: list[Plan | Mixture], urls: list[str], gateways: int, consumers: int
) -> list[Finding | MixedFinding]:
    async with contextlib.AsyncExitStack() as until_done:
        supervisor = None
        if not urls:
            _say("starting the system")
            urls, supervisor = await until_done.enter_async_context(stack.running(gateways, consumers))
        count = max(plan.people for plan in plans)
        began = time.monotonic()
        people = await make_people(urls, count)
        _say(f"made {count} accounts in {time.monotonic() - began:.0f} s")
        return [
            await (
                _one(plan, people, urls, supervisor)
                if isinstance(plan, Plan)
                else _one_mixed(plan, people, urls, supervisor)
            )
            for plan in plans
        ]


async def _one(plan: Plan, people: list[Person], urls: list[str], supervisor: int | None) -> Finding:
    _say(f"{plan.scenario}: {plan.rate:g} messages/s for {plan.warmup_s + plan.seconds:g} s")
    run = Run(plan, people, urls)
    before = stack.cpu(supervisor)
    records = await run()
    after = stack.cpu(supervisor)
    return find(records, _cost(before, after, plan.total))


async def _one_mixed(plan: Mixture, people: list[Person], urls: list[str], supervisor: int | None) -> MixedFinding:
    _say(f"{plan.scenario}, seed {plan.seed}: {plan.rate:g} operations/s for {plan.warmup_s + plan.seconds:g} s")
    run = MixedRun(plan, people, urls)
    await run.prepare()
    before = stack.cpu(supervisor)
    await run.perform()
    after = stack.cpu(supervisor)
    return find_mixed(run.records, await run.finish(), _cost(before, after, plan.total))


def _cost(before: stack.Cpu, after: stack.Cpu, operations: int) -> dict[str, float]:
    """CPU µs an operation of each kind of process."""
    return {role: (used - before.get(role, 0.0)) * 1e6 / operations for role, used in after.items()}


def find(records: Records, cost: dict[str, float]) -> Finding:
    """Put one run's records together; the warm-up counts for correctness and cost alone."""
    plan = records.plan
    unanswered = sum(map(math.isnan, records.accepted)) - records.refused
    measured = slice(plan.warmup, plan.total)
    return Finding(
        scenario=plan.scenario,
        rate=plan.rate,
        seconds=plan.seconds,
        members=plan.group,
        messages=plan.total,
        deliveries=sum(map(len, records.arrivals.values())),
        messages_per_s=rate_within(plan, records.stored),
        deliveries_per_s=len(records.delivered) / plan.seconds,
        accepted=latency(records.accepted[measured]),
        stored=latency(records.stored[measured]),
        delivered=latency(records.delivered),
        lost_connections=records.lost_connections,
        lag_p99_ms=latency([max(0.0, lag) for lag in records.lag[measured]]).p99_ms,
        correctness=check(records.arrivals, records.counts, refused=records.refused, unanswered=max(0, unanswered)),
        cpu_us_per_message=cost,
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
