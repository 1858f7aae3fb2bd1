"""`headrace keys`: the keys that sign access tokens, in a file that gateways read as `HEADRACE_SIGNING_KEY_FILE`."""

import time
from pathlib import Path

import click

from backplane.keys import CACHE_SECONDS, BadKeys, KeyRing, generate, read_keys, rotate, too_early
from cli import output
from cli.failures import Failure
from cli.up.folder import write_private

_SETTLE_SECONDS = 3600 + CACHE_SECONDS
"""The longest life of an access token, and how long others keep the published set."""

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))


@click.group
def command() -> None:
    """Make, change and list the keys that sign access tokens.

    All gateways share one file. Change it so: `headrace keys rotate FILE`, then restart the gateways one by one. They know the new key
    from the time before, so old and new ones take each other's tokens.
    """


@command.command("generate")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this new file, mode 0600.")
def make(*, out: Path | None) -> None:
    """Print a new key that signs and the next one, as a JWK Set with their private halves.

    Example:  headrace keys generate --out keys.json
    """
    ring = generate(int(time.time()))
    if out is None:
        click.echo(ring.encode(), nl=False)
        return
    if out.exists():
        raise Failure(f"{out} exists; `headrace keys rotate {out}` changes it")
    write_private(out, ring.encode())
    output.say(f"wrote {out}: give it to gateways as HEADRACE_SIGNING_KEY_FILE")


@command.command("rotate")
@_file
@click.option("--force", is_flag=True, help="Also if not everybody can know the next key yet.")
def turn(*, file: Path, force: bool) -> None:
    """Let the next key sign: the current one only checks from now on, the previous one goes, and there is a new next one.

    Refused until the next key has been published for 65 minutes: the longest life of a token, and of a published set in somebody's cache.
    After that, restart the gateways one by one.

    Example:  headrace keys rotate keys.json
    """
    ring, now_s = _read(file), int(time.time())
    if not force and (seconds := too_early(ring, now_s, seconds=_SETTLE_SECONDS)):
        raise Failure(
            f"the next key is not known everywhere before {seconds} s from now; "
            "if the current one is stolen, use --force: people whose gateway is not restarted yet refresh once more"
        )
    try:
        write_private(file, rotate(ring, now_s).encode())
    except BadKeys as failure:
        raise Failure(f"{file}: {failure}") from None
    output.say("done: now restart the gateways, one by one")


@command.command("list")
@_file
@output.json_option
def show(*, file: Path, as_json: bool) -> None:
    """List the keys of a file, without their private halves.

    Example:  headrace keys list keys.json
    """
    now_s = int(time.time())
    rows = [
        {
            "kid": key.kid,
            "status": key.status,
            "age_ms": (now_s - key.created_at) * 1000 if key.created_at else None,
            "signs": key.status == "current" and key.d is not None,
        }
        for key in _read(file).keys
    ]
    output.show(rows, as_json=as_json)


@command.command("public")
@_file
def without_private(*, file: Path) -> None:
    """Print the set without private halves, for gateways that only check tokens.

    Example:  headrace keys public keys.json > public.json
    """
    click.echo(_read(file).public().encode(), nl=False)


def _read(file: Path) -> KeyRing:
    try:
        return read_keys(file.read_text(encoding="utf-8"))
    except (BadKeys, OSError, UnicodeError) as failure:
        raise Failure(f"{file}: {failure}") from None
