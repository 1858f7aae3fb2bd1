"""The last lines of a start: what runs, from where, and what to do next."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from cli.up import ports
from cli.up.folder import DEFAULT
from cli.up.output import Output
from cli.up.processes import Floor, Options
from cli.up.services.outside import Service

Row = tuple[str, ...]


def started(options: Options, used: Iterable[Service], floors: Iterable[Floor]) -> list[Row]:
    """One row a process or service: name, address, origin."""
    ours = f"headrace {version('headrace')}"
    urls = {
        f"gateway-{number}": f"http://{ports.LOCALHOST}:{port}" for number, port in enumerate(options.gateway_ports, 1)
    }
    rows: list[Row] = [(service.name, service.shown_url, service.origin) for service in used]
    return rows + [(spec.name, urls.get(spec.name, ""), ours) for floor in floors for spec in floor]


def show(output: Output, options: Options, folder: Path, rows: Sequence[Row], people: Sequence[Row]) -> None:
    """Print the table, the demo's people, and the next command to try."""
    output.write(f"\nHeadrace {version('headrace')} is up. Its data are in {folder}\n")
    output.table(rows)
    if people:
        output.write()
        output.table(people)
    data = "" if options.data == DEFAULT else f" --data {options.data}"
    who = " --as alice" if people else " --help"
    output.write(f"\nOpen:  http://{ports.LOCALHOST}:{options.port}/   in a browser")
    output.write(f"Try:   {_myself()} chat{data}{who}   in another terminal\nStop:  Ctrl-C\n")


def _myself() -> str:
    """How the user called us, so that the line can be copied: `.venv/bin/headrace`, or `headrace` if that is on PATH."""
    called = sys.argv[0]
    if Path(called).name != "headrace" or shutil.which("headrace") == called:
        return "headrace"
    return os.path.relpath(called) if Path(called).is_absolute() else called
