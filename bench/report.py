"""Findings as a table, or as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict

import click
import msgspec

from bench.findings import LATE_MS, Finding, Latency


def as_json(findings: Sequence[Finding]) -> str:
    """A list, one object a finding."""
    rows = [asdict(each) | {"valid": each.valid, "clean": each.correctness.clean} for each in findings]
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def print_table(findings: Sequence[Finding]) -> None:
    """A column a scenario. Latencies are p50 / p99 / p99.9 from the intended moment."""
    rows: dict[str, list[str]] = {
        "": [each.scenario for each in findings],
        "messages/s, wanted": [f"{each.rate:g}" for each in findings],
        "deliveries/s": [f"{each.deliveries_per_s:.0f}" for each in findings],
        "accepted, ms": [_three(each.accepted) for each in findings],
        "stored, ms": [_three(each.stored) for each in findings],
        "delivered, ms": [_three(each.delivered) for each in findings],
        "own schedule, p99 late by ms": [f"{each.lag_p99_ms:.1f}" for each in findings],
    }
    for role in sorted({role for each in findings for role in each.cpu_us_per_message}):
        rows[f"CPU µs/message, {role}"] = [f"{each.cpu_us_per_message.get(role, math.nan):.0f}" for each in findings]
    for name, cells in rows.items():
        click.echo(f"{name:<30}" + "".join(f"{cell:>26}" for cell in cells))
    click.echo("Latency is p50 / p99 / p99.9 from the moment when the message was meant to be sent.")
    for each in findings:
        click.echo(f"{each.scenario} at {each.rate:g}/s: {verdict(each)}")


def verdict(finding: Finding) -> str:
    """`clean`, or what was wrong; `INVALID` if the generator was late itself."""
    wrong = [f"{count} {name}" for name, count in asdict(finding.correctness).items() if count and name != "doubled"]
    words = ", ".join(wrong) or "clean"
    if finding.correctness.doubled:
        words += f" ({finding.correctness.doubled} doubled on the wire)"
    return words if finding.valid else f"INVALID, generator later than {LATE_MS:g} ms; {words}"


def _three(latency: Latency) -> str:
    return f"{latency.p50_ms:.1f} / {latency.p99_ms:.1f} / {latency.p999_ms:.1f}"
