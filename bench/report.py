"""Findings as a table, or as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import click
import msgspec

from bench.findings import LATE_MS, Finding, Latency
from bench.mixed_findings import MixedFinding


def as_json(findings: Sequence[Finding | MixedFinding]) -> str:
    """A list, one object a finding."""
    rows = [asdict(each) | {"valid": each.valid, "clean": each.correctness.clean} for each in findings]
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def print_tables(findings: Sequence[Finding | MixedFinding]) -> None:
    """A column a scenario, and the mixed ones in a table of their own. Latencies are p50 / p99 / p99.9 from the intended moment."""
    if plain := [each for each in findings if isinstance(each, Finding)]:
        _print_rows(_rows(plain))
        click.echo("Latency is p50 / p99 / p99.9 from the moment when the message was meant to be sent.")
        _print_verdicts(plain)
    if mixed := [each for each in findings if isinstance(each, MixedFinding)]:
        _print_rows(_mixed_rows(mixed))
        click.echo("Latency is p50 / p99 / p99.9 from the moment when the operation was meant to be begun.")
        _print_verdicts(mixed)


def _rows(findings: Sequence[Finding]) -> dict[str, list[str]]:
    rows = {
        "": [each.scenario for each in findings],
        "messages/s, wanted": [f"{each.rate:g}" for each in findings],
        "messages/s": [f"{each.messages_per_s:.1f}" for each in findings],
        "deliveries/s": [f"{each.deliveries_per_s:.0f}" for each in findings],
        **_send_rows(findings),
        **_generator_rows(findings),
    }
    return rows | _cost_rows("message", [each.cpu_us_per_message for each in findings])


def _mixed_rows(findings: Sequence[MixedFinding]) -> dict[str, list[str]]:
    rows = {
        "": [each.scenario for each in findings],
        "seed": [str(each.seed) for each in findings],
        "operations/s, wanted": [f"{each.rate:g}" for each in findings],
        "operations/s": [f"{each.operations_per_s:.1f}" for each in findings],
        "messages/s": [f"{each.messages_per_s:.1f}" for each in findings],
        "deliveries/s": [f"{each.deliveries_per_s:.0f}" for each in findings],
        **_send_rows(findings),
        "changed, at its maker, ms": [_three(each.changed) for each in findings],
        "changed, at the others, ms": [_three(each.changed_elsewhere) for each in findings],
        "typing, times heard": [str(each.typing_heard) for each in findings],
        **_generator_rows(findings),
    }
    return rows | _cost_rows("operation", [each.cpu_us_per_operation for each in findings])


def _send_rows(findings: Sequence[Finding] | Sequence[MixedFinding]) -> dict[str, list[str]]:
    return {
        "accepted, ms": [_three(each.accepted) for each in findings],
        "stored, ms": [_three(each.stored) for each in findings],
        "delivered, ms": [_three(each.delivered) for each in findings],
    }


def _generator_rows(findings: Sequence[Finding] | Sequence[MixedFinding]) -> dict[str, list[str]]:
    return {
        "connections lost": [str(each.lost_connections) for each in findings],
        "own schedule, p99 late by ms": [f"{each.lag_p99_ms:.1f}" for each in findings],
    }


def _cost_rows(unit: str, costs: Sequence[Mapping[str, float]]) -> dict[str, list[str]]:
    roles = sorted({role for each in costs for role in each})
    return {f"CPU µs/{unit}, {role}": [f"{each.get(role, math.nan):.0f}" for each in costs] for role in roles}


def _print_rows(rows: Mapping[str, Sequence[str]]) -> None:
    for name, cells in rows.items():
        click.echo(f"{name:<30}" + "".join(f"{cell:>26}" for cell in cells))


def _print_verdicts(findings: Sequence[Finding | MixedFinding]) -> None:
    for each in findings:
        click.echo(f"{each.scenario} at {each.rate:g}/s: {verdict(each)}")


def verdict(finding: Finding | MixedFinding) -> str:
    """`clean`, or what was wrong; `INVALID` if the generator was late itself."""
    wrong = [f"{count} {name.replace('_', ' ')}" for name, count in asdict(finding.correctness).items() if count]
    words = ", ".join(wrong) or "clean"
    if finding.lost_connections:
        words += f" ({finding.lost_connections} connections lost)"
    return words if finding.valid else f"INVALID, generator later than {LATE_MS:g} ms; {words}"


def _three(latency: Latency) -> str:
    return f"{latency.p50_ms:.1f} / {latency.p99_ms:.1f} / {latency.p999_ms:.1f}"
