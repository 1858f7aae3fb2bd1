"""One outside service: where it is, where it came from, and how to run it; and what the data folder remembers of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cli import embedded
from cli.failures import Failure
from cli.up.child import Spec
from cli.up.folder import DataFolder
from cli.up.ports import choose

INSTALL: Final = "install the embedded services: pip install 'headrace[embedded]'"


@dataclass(frozen=True, slots=True)
class Service:
    """An outside system. `url` is empty if there is none; `environ` are the settings that lead there, `spec` runs it if that is ours to do."""

    name: str
    url: str
    origin: str
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    spec: Spec | None = None

    @property
    def shown_url(self) -> str:
        """The URL without credentials."""
        credentials, at, _ = urlsplit(self.url).netloc.rpartition("@")
        return self.url.replace(credentials + at, "", 1)


def given(environ: Mapping[str, str], variable: str) -> str | None:
    """A setting's value, from the variable or from the file that it names; None if it is not set.

    Raises:
        Failure: there is no such file.
    """
    if path := environ.get(f"{variable}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as failure:
            raise Failure(f"{variable}_FILE: {path} can not be read ({failure.strerror})") from failure
    return environ.get(variable)


def settle(environ: Mapping[str, str], settled: Mapping[str, str]) -> dict[str, str]:
    """An environment with settings that are settled, which no file that it names overrules."""
    files = {f"{variable}_FILE": "" for variable in settled if f"{variable}_FILE" in environ}
    return {**environ, **files, **settled}


def chosen(folder: DataFolder, name: str) -> Path | None:
    """The program that made this folder's data, while it is there: another one may not be able to read them."""
    path = folder.choice(name)
    return Path(path) if path and Path(path).exists() else None


def port(folder: DataFolder, name: str) -> int:
    """The same port as last time, if it is free: what an operator wrote down stays true."""
    before = folder.choice(f"{name}-port")
    found = choose(int(before) if before else None, taken=taken(folder, name))
    folder.choose(f"{name}-port", str(found))
    return found


def taken(folder: DataFolder, name: str) -> set[int]:
    """The ports of the other services: free now, and in use when all have started."""
    ports = (value for other, value in folder.choices(ending="-port").items() if other != f"{name}-port")
    return {int(one) for value in ports for one in value.split(",")}


def origin(program: Path) -> str:
    """A program and its version, for people."""
    return f"{'secantusdb' if program.name == 'secantusd-py' else program.name} {embedded.version_of(program)}".strip()
