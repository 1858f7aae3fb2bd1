"""`headrace migrate`: the one step that creates indexes and records the layout; serving processes only check."""

import asyncio

import click

from backplane.layout import check_layout
from cli import output, systems


@click.command
@click.option("--check", is_flag=True, help="Change nothing; fail if something is missing or the layout is another.")
@output.json_option
def command(*, check: bool, as_json: bool) -> None:
    """Create what is missing in MongoDB: indexes, and at a deployment's birth its layout. May be run at any time, again and again.

    Example:  headrace migrate --check || headrace migrate
    """
    done = asyncio.run(_check() if check else _migrate())
    if as_json:
        output.show([{"did": sentence} for sentence in done], as_json=True)
        return
    for sentence in done:
        click.echo(sentence)
    output.say("the database is as it should be" if check or not done else "the database is migrated")


async def _check() -> list[str]:
    settings = systems.settings_for_looking()
    async with systems.the_store(settings) as store, systems.the_redis(settings):  # the latter compares Redis' copy
        await store.check(settings.names)
    return []


async def _migrate() -> list[str]:
    settings = systems.settings_for_looking()
    async with systems.the_store(settings) as store:
        done = await store.migrate(settings.names)
        async with systems.the_redis(settings) as redis:
            await check_layout(redis, store, settings.names)
    return done
