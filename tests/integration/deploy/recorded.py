"""`python -m tests.integration.deploy.recorded <folder> <module> …`: runs a module; `<module>.asked` is what it asks of MongoDB."""

import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pymongo import monitoring


def asked(command: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """(command, collection) pairs; an update that may insert is an `upsert`."""
    collection = command.get(name)
    if not isinstance(collection, str):  # ping, hello, a sign-in that is not shown: nothing of ours
        return
    upserts = any(update.get("upsert") for update in command.get("updates", ()))
    yield ("upsert" if upserts else name), collection
    for looked_up in _lookups(command.get("pipeline", ())):
        yield name, looked_up


def _lookups(value: Any) -> Iterator[str]:
    match value:
        case list() | tuple():
            for one in value:
                yield from _lookups(one)
        case Mapping():
            for key, below in value.items():
                if key == "$lookup":
                    yield below["from"]
                yield from _lookups(below)
        case _:
            pass


class Recorder(monitoring.CommandListener):
    def __init__(self, path: Path) -> None:
        self._path, self._seen = path, set[tuple[str, str]]()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == "getMore":  # who may find may go on
            return
        for pair in set(asked(event.command, event.command_name)) - self._seen:
            self._seen.add(pair)
            with self._path.open("a", encoding="ascii") as file:
                file.write(f"{pair[0]} {pair[1]}\n")

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def read(folder: Path, module: str) -> set[tuple[str, str]]:
    """What a module has asked: (command, collection)."""
    lines = (folder / f"{module}.asked").read_text(encoding="ascii").splitlines()
    return {(command, collection) for command, _, collection in (line.partition(" ") for line in lines)}


if __name__ == "__main__":
    _, folder, *sys.argv = sys.argv
    monitoring.register(Recorder(Path(folder) / f"{sys.argv[0]}.asked"))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
