"""This machine's limits, and the versions of what runs here. Ask where the gateways run: another machine's are another's."""

import platform
import resource
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from backplane.inspection.checks import Check, ok, versions, warning

MIN_OPEN_FILES: Final = 10_000
"""A socket is a file: a gateway with 10 000 clients needs more, and runs out of them suddenly."""
MIN_SOMAXCONN: Final = 2048
"""The backlog that a gateway asks for; the kernel cuts it to `somaxconn` without a word."""
TESTED_PYTHON: Final = ((3, 11), (3, 14))
_SOMAXCONN: Final = Path("/proc/sys/net/core/somaxconn")
_LIBRARIES: Final = ("headrace", "redis", "pymongo")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What holds for a process started here. None: unknown, or for open files: no limit."""

    open_files: int | None
    somaxconn: int | None
    python: str
    libraries: tuple[tuple[str, str], ...] = ()


def look() -> MachineFacts:
    """The facts of this very process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        somaxconn = int(_SOMAXCONN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        somaxconn = None
    return MachineFacts(
        open_files=None if soft == resource.RLIM_INFINITY else soft,
        somaxconn=somaxconn,
        python=platform.python_version(),
        libraries=tuple((name, version(name)) for name in _LIBRARIES),
    )


def judge(facts: MachineFacts) -> list[Check]:
    """Every finding."""
    return [
        _open_files(facts.open_files),
        _somaxconn(facts.somaxconn),
        _python(facts.python),
        ok("versions", ", ".join(f"{name} {number}" for name, number in facts.libraries)),
    ]


def _open_files(limit: int | None) -> Check:
    what = "open files"
    if limit is not None and limit < MIN_OPEN_FILES:
        fix = "`ulimit -n 65536` before a gateway starts, or LimitNOFILE=65536 in its systemd unit"
        return warning(what, f"{limit} at most: so many clients, less a few", fix)
    return ok(what, "no limit" if limit is None else f"{limit} at most")


def _somaxconn(value: int | None) -> Check:
    what = "somaxconn"
    if value is None:
        return ok(what, "not told by this system")
    if value < MIN_SOMAXCONN:
        fix = "`sysctl -w net.core.somaxconn=4096`, and the same in /etc/sysctl.d"
        return warning(what, f"{value}: many clients that connect at once are turned away", fix)
    return ok(what, str(value))


def _python(said: str) -> Check:
    low, high = TESTED_PYTHON
    if not low <= versions(said)[:2] < high:
        return warning("python", f"{said}: not tested", "run Python 3.11, 3.12 or 3.13")
    return ok("python", said)
