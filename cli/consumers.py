"""`headrace consumers`: becomes the consumers' process, so that signals and exit code are its own."""

import os
import sys
from typing import get_args

import click

from schemas.stages import Runnable

_STAGES = get_args(Runnable)


@click.command
@click.option(
    "--stages",
    default=",".join(_STAGES),
    show_default=True,
    help="Which stages to run, separated by commas.",
)
def command(stages: str) -> None:
    """Run consumer stages; any number of processes share the partitions evenly. Settings as in docs/settings.md."""
    wanted = [name.strip() for name in stages.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in _STAGES]:
        raise click.BadParameter(f"{', '.join(unknown)}; there are: {', '.join(_STAGES)}", param_hint="--stages")
    # -P: a folder named `consumers` in the current directory must not be taken for ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "consumers", "--stages", ",".join(wanted)])  # noqa: S606
