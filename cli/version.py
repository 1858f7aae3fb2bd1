"""`headrace version`: what is installed here."""

import platform
from importlib.metadata import version

import click


@click.command
def command() -> None:
    """Print the versions of Headrace and of Python."""
    click.echo(f"headrace {version('headrace')} (Python {platform.python_version()})")
