"""The `headrace` command. A subcommand is imported when it is called, so that `--help` answers at once."""

import os
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import click

from cli import running
from cli.failures import FAILED, INTERRUPTED, UNREACHABLE, USAGE


class Noun(NamedTuple):
    """A subcommand: the module that has it as `command`, its line in the help, and whether it looks into services."""

    module: str
    line: str
    looks: bool = False


NOUNS: Final = {
    "up": Noun("cli.up.command", "Run everything on this machine, with embedded services where none are given."),
    "chat": Noun("cli.chat", "Chat in the terminal."),
    "smoke": Noun("cli.smoke", "Send one message from end to end and say how long it took.", looks=True),
    "gateway": Noun("cli.gateway", "Run a gateway: REST and WebSocket."),
    "consumers": Noun("cli.consumers", "Run consumer stages."),
    "doctor": Noun("cli.doctor", "Say what is wrong with settings, Redis, MongoDB or this machine.", looks=True),
    "migrate": Noun("cli.migrate", "Create or check MongoDB's indexes and the layout.", looks=True),
    "streams": Noun("cli.streams", "Look into the partition streams.", looks=True),
    "groups": Noun("cli.groups", "Show lag, pending entries and owners of the stages.", looks=True),
    "dead": Noun("cli.dead", "Look through dead letters, retry or drop them.", looks=True),
    "replay": Noun(
        "cli.replay", "Send past entries through the stages again; a dry run unless told otherwise.", looks=True
    ),
    "users": Noun("cli.users", "Look at people, shut them out, export what is theirs, erase them.", looks=True),
    "webhooks": Noun("cli.webhooks", "Look through webhooks, switch them off or on.", looks=True),
    "attachments": Noun("cli.attachments", "Look at attachments, scan them again, sweep what was left.", looks=True),
    "keys": Noun("cli.keys", "Make, change and list the keys that sign access tokens."),
    "config": Noun("cli.config", "Show or check the settings, secrets masked.", looks=True),
    "version": Noun("cli.version", "Print the version."),
}


@dataclass(slots=True)
class Options:
    """What stands before the subcommand."""

    debug: bool = False


class Nouns(click.Group):
    """The subcommands of `NOUNS`, each imported on its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table: what is wanted first stands first."""
        del ctx
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        del ctx
        noun = NOUNS.get(cmd_name)
        return import_module(noun.module).command if noun else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, noun.line) for name, noun in NOUNS.items()])


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".headrace"),
    envvar="HEADRACE_DATA",
    show_envvar=True,
    show_default=True,
    help="Data folder of `headrace up`; while that runs, its services are used if no HEADRACE_… URL names others.",
)
@click.version_option(version_of("headrace"), prog_name="headrace", message="%(prog)s %(version)s")
@click.pass_context
def headrace(context: click.Context, *, debug: bool, data: Path) -> None:
    """Real-time messaging that keeps its promises.

    Try it:  headrace up --demo   and in another terminal   headrace chat --as alice
    """
    context.ensure_object(Options).debug = debug
    context.default_map = {"up": {"data": data}, "chat": {"data": data}}
    noun = NOUNS.get(context.invoked_subcommand or "")
    if noun and noun.looks:
        running.adopt(data)


def main() -> NoReturn:
    """Run the command line; every failure becomes one line on stderr and an exit code (cli/failures.py)."""
    options = Options()
    try:
        result = headrace.main(prog_name="headrace", obj=options, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away (`headrace … | head`): nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except click.ClickException as failure:
        _show(options, failure)
        failure.show()
        sys.exit(failure.exit_code)
    except Exception as failure:  # noqa: BLE001 the outermost boundary: whatever it is, a person reads it
        _show(options, failure)
        line, code = _explain(failure)
        click.echo(f"Error: {line}", err=True)
        sys.exit(code)
    sys.exit(result if isinstance(result, int) else 0)


def _show(options: Options, failure: BaseException) -> None:
    if options.debug:
        traceback.print_exception(failure)


def _explain(failure: Exception) -> tuple[str, int]:
    """One line for a person, and the exit code. By name, so that nothing is imported for a failure that did not happen."""
    text = str(failure) or type(failure).__name__
    match type(failure).__name__:
        case "SettingsError":
            return f"the settings are wrong:\n{text}", USAGE
        case "LayoutMismatch":
            return text, FAILED
        case "Transient" | "Unknown" | "ConnectionRefusedError":
            return f"{text}. Is it running? `headrace up` starts everything.", UNREACHABLE
        case name:
            return f"unexpected {name}: {text} (`headrace --debug …` shows where)", FAILED


if __name__ == "__main__":
    main()
