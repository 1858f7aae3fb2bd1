"""`headrace migrate`: the one step that creates indexes and buckets and records the layout; serving processes only check."""

import asyncio

import click

from cli import output


@click.command
@click.option("--check", is_flag=True, help="Change nothing; fail if something is missing or the layout is another.")
@output.json_option
def command(*, check: bool, as_json: bool) -> None:
    """Create what is missing: indexes, at a deployment's birth its layout, and with HEADRACE_S3_URL the buckets.

    May be run at any time, again and again.

    Example:  headrace migrate --check || headrace migrate
    """
    from cli.asking import migrate as asking

    done = asyncio.run(asking.check() if check else asking.migrate())
    if as_json:
        output.show([{"did": sentence} for sentence in done], as_json=True)
        return
    for sentence in done:
        click.echo(sentence)
    output.say("everything is as it should be" if check or not done else "the deployment is migrated")
