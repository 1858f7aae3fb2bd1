"""`python -m consumers [--stages persist,fanout,receipts,scan]`: settings from the environment, SIGTERM and SIGINT stop it in order."""

import argparse
import asyncio
import signal
import sys
from typing import get_args

import uvloop

from backplane.settings import Settings, SettingsError, load_settings
from backplane.store.mongo import LayoutMismatch
from backplane.telemetry import configure_logging
from consumers.process import run
from schemas.stages import Runnable


def main(arguments: list[str] | None = None) -> int:
    """Run consumers until told to stop; 0 after an orderly stop, 2 when they cannot be started as asked."""
    parser = argparse.ArgumentParser(prog="headrace consumers", description="Run stages.")
    parser.add_argument("--stages", default=",".join(get_args(Runnable)), help="comma-separated; default: all of them")
    chosen = parser.parse_args(arguments).stages.split(",")
    stages: list[Runnable] = [name for name in get_args(Runnable) if name in chosen]
    if unknown := sorted(set(chosen) - set(stages)):
        parser.error(f"no such stage: {', '.join(unknown)}; there are {', '.join(get_args(Runnable))}")
    try:
        settings = load_settings()
        configure_logging(settings)
        uvloop.run(_run(settings, stages))
    except (SettingsError, LayoutMismatch) as failure:
        sys.stderr.write(f"{failure}\n")
        return 2
    return 0


async def _run(settings: Settings, stages: list[Runnable]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stages, stop)


if __name__ == "__main__":
    sys.exit(main())
