"""The environment of a running `headrace up`, so that `headrace streams` in another terminal finds its services."""

import fcntl
import os
from pathlib import Path

import orjson

URLS = ("HEADRACE_REDIS_URL", "HEADRACE_MONGODB_URL")


def adopt(data: Path) -> bool:
    """Take over the settings of the `up` that runs on a data folder, unless this environment names services itself.

    True if there was one and its settings are in `os.environ` now.
    """
    if any(name in os.environ or f"{name}_FILE" in os.environ for name in URLS) or not _is_held(data / "lock"):
        return False
    try:
        environ: dict[str, str] = orjson.loads((data / "services.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False  # it is still starting
    for name, value in environ.items():
        os.environ.setdefault(name, value)
    return True


def _is_held(lock: Path) -> bool:
    """Whether an `up` is alive there: what a killed one left in the folder must not mislead."""
    try:
        with lock.open(encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
