"""`headrace consumers`: becomes the consumers' process, so that signals and exit code are its own."""

import os
import sys

import click

from schemas.stages import STAGES


@click.command
@click.option(
    "--stages",
    default=",".join(STAGES),
    show_default=True,
    help="Which stages to run, separated by commas.",
)
def command(stages: str) -> None:
    """Run consumer stages; any number of processes share the partitions evenly. Settings as in docs/settings.md."""
    wanted = [name.strip() for name in stages.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in STAGES]:
        raise click.BadParameter(f"{', '.join(unknown)}; there are: {', '.join(STAGES)}", param_hint="--stages")
    # -P: a folder named `consumers` in the current directory must not be taken for ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "consumers", "--stages", ",".join(wanted)])  # noqa: S606
