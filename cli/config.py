"""`headrace config`: the settings as a process started here would read them."""

import os
from typing import Any

import click
from pydantic import SecretStr

from backplane.keys import configured
from backplane.settings import PREFIX, Settings, SettingsError, load_settings


@click.group
def command() -> None:
    """Show or check the settings (docs/settings.md)."""


@command.command
@click.option("--changed", is_flag=True, help="Only what differs from the default.")
def show(*, changed: bool) -> None:
    """Print every setting, its value and where that came from. Secrets are masked.

    Example:  HEADRACE_ENVIRONMENT=development headrace config show --changed
    """
    settings = load_settings()
    width = max(len(name) for name in Settings.model_fields) + len(PREFIX)
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        origin = _origin(variable)
        if not changed or origin != "default":
            click.echo(f"{variable:<{width}}  {_printable(getattr(settings, name)):<40}  {origin}")


@command.command
@click.option("--gateway", is_flag=True, help="Fail also for want of what gateways alone need: a signing key.")
def check(*, gateway: bool) -> None:
    """Say whether the settings are whole; every fault is listed with its variable and an example.

    A signing key that is missing or wrong is said, too, but fails only with --gateway: consumers do not need it.

    Example:  headrace config check --gateway && headrace gateway
    """
    settings = load_settings()
    try:
        configured(settings)
    except SettingsError as failure:
        if gateway:
            raise
        click.echo("The settings are whole for consumers and operators.")
        click.echo(f"Gateways will not start: {failure}", err=True)
    else:
        click.echo("The settings are whole.")


def _origin(variable: str) -> str:
    if os.environ.get(f"{variable}_FILE"):
        return f"file {os.environ[f'{variable}_FILE']}"
    return "environment" if variable in os.environ else "default"


def _printable(value: Any) -> str:
    match value:
        case None:
            return "(none)"
        case SecretStr():
            return "********"
        case tuple():
            return ",".join(map(str, value)) or "(none)"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return str(value)
