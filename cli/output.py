"""How commands print: rows as a table for people or as JSON lines for programs, on stdout; talk on stderr.

A row's keys are the columns. Values are raw, with their unit in the key (`age_ms`, `bytes`); only the table makes them readable.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
import orjson

Row = Mapping[str, object]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
partition_option = click.option("-p", "--partition", type=click.IntRange(min=0), help="Only this partition.")


def show(rows: Sequence[Row], *, as_json: bool, empty: str = "nothing there") -> None:
    """Print rows; an empty table says so on stderr, and stdout stays empty."""
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(row))
    elif rows:
        _table(rows)
    else:
        say(empty)


def show_one(row: Row, *, as_json: bool) -> None:
    """Print one thing, a line a field."""
    if as_json:
        click.echo(orjson.dumps(row))
        return
    width = max(map(len, row))
    for name, value in row.items():
        click.echo(f"{name:<{width}}  {_cell(name, value)}")


def say(text: str) -> None:
    """Talk: for the person who watches, not for the pipe."""
    click.echo(text, err=True)


def watched() -> bool:
    """Whether a person watches stderr: then progress is worth showing."""
    return sys.stderr.isatty()


def _table(rows: Sequence[Row]) -> None:
    names = list(rows[0])
    cells = [[_cell(name, row.get(name)) for name in names] for row in rows]
    heads = [name.removesuffix("_ms").replace("_", " ").upper() for name in names]
    widths = [max(len(head), *(len(line[at]) for line in cells)) for at, head in enumerate(heads)]
    numbers = [all(isinstance(row.get(name), int | float | None) for row in rows) for name in names]
    for line in [heads, *cells]:
        aligned = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        )
        click.echo("  ".join(aligned).rstrip())


def _cell(name: str, value: Any) -> str:
    match value:
        case None:
            return "-"
        case int() | float() if name.endswith("age_ms"):
            return age(value)
        case int() if name == "bytes":
            return size(value)
        case list() | dict():
            return orjson.dumps(value).decode()
        case _:
            return printable(value)


def printable(value: object) -> str:
    """A value in one line; what came from a client must not steer the operator's terminal."""
    text = "-" if value is None else str(value)
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60))


def age(ms: float) -> str:
    """A duration as the two units that matter: `350ms`, `12s`, `3m12s`, `2h5m`, `4d1h`."""
    if ms < 1000:
        return f"{ms:.0f}ms"
    seconds = int(ms // 1000)
    smaller = {"d": ("h", 3_600), "h": ("m", 60), "m": ("s", 1)}
    for unit, length in _UNITS:
        if seconds >= length:
            below, part = smaller[unit]
            rest = seconds % length // part
            return f"{seconds // length}{unit}" + (f"{rest}{below}" if rest else "")
    return f"{seconds}s"


def size(count: int) -> str:
    """Bytes as `812B`, `4.2KiB`, `3.1MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f}{unit}" if unit == "B" else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}GiB"
