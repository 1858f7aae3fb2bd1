"""`headrace doctor`: what is wrong with a deployment, seen from this machine, and how to mend it."""

import asyncio

import click

from cli import output
from cli.failures import FAILED


@click.command
@output.json_option
def command(*, as_json: bool) -> None:
    """Look at the settings, Redis, MongoDB, S3, clamd and this machine, and say what is wrong and how to mend it.

    It changes nothing, and goes on when something is away; the scanner is given files whose answer is known. Warnings do not fail; an error ends with 1. Run it with the settings of the
    process that you ask about, where that runs. Example:  headrace doctor && headrace gateway
    """
    from cli.asking import doctor as asking

    checks = asyncio.run(asking.checks())
    wrong = [check for check in checks if check.fix is not None]
    rows = [{"what": check.what, "is": check.level, "seen": check.seen} for check in checks]
    if as_json:
        fixes = [check.fix for check in checks]
        output.show([row | {"fix": fix} for row, fix in zip(rows, fixes, strict=True)], as_json=True)
    else:
        output.show(rows, as_json=False)
        for check in wrong:
            click.echo(f"{check.level}: {check.what}: {output.printable(check.fix)}")
    errors = sum(check.level == "error" for check in checks)
    output.say(
        f"{errors} error{'' if errors == 1 else 's'}, {len(wrong) - errors} warning{'' if len(wrong) - errors == 1 else 's'}"
    )
    if errors:
        raise click.exceptions.Exit(FAILED)
