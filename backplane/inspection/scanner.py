"""The virus scanner as the doctor judges it: by what it says of files whose answer is known."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from backplane.errors import Transient
from backplane.inspection import samples
from backplane.inspection.checks import Check, error, ok, warning
from backplane.scanner import Clean, Infected, Scanner, SignatureVersion, Unscannable, Verdict
from backplane.settings import Settings, SettingsError

WHAT: Final = "scanner"
WARNING_DAYS: Final = 3
ERROR_DAYS: Final = 14
INSTALL: Final = (
    "Debian: `apt-get install clamav-daemon clamav-freshclam`, then HEADRACE_SCANNER_URL=unix:///run/clamav/clamd.ctl"
)
CONFIG: Final = "in clamd.conf, then restart clamd"
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerFacts:
    """What a scanner says of itself, and of four files."""

    version: SignatureVersion
    round_trip_ms: float = 0.0
    eicar: Verdict
    nested: Verdict
    encrypted: Verdict
    largest: Verdict
    """Of as many bytes as an attachment may have, all zero."""


async def inspect(settings: Settings) -> list[Check]:
    """Ask and judge. What is away is a finding."""
    try:
        scanner = await Scanner.open(settings)
    except SettingsError as failure:
        return [error(WHAT, str(failure), INSTALL)]
    if scanner is None:
        return [absent(attachments=settings.s3_url is not None)]
    try:
        facts = await _ask(scanner, settings.attachment_max_bytes)
    except Transient as failure:
        return [unreachable(failure)]
    return judge(facts, max_bytes=settings.attachment_max_bytes, now=datetime.now(UTC))


def absent(*, attachments: bool) -> Check:
    """The finding for a deployment without a scanner."""
    if not attachments:
        return ok(WHAT, "none, and no attachments to scan")
    return warning(WHAT, "none: uploads are refused", INSTALL)


def unreachable(failure: Exception) -> Check:
    """The finding for a scanner that cannot be asked; for a minute after its start that is no wonder."""
    fix = (
        f"start clamd (it takes a minute to read its signatures), or set HEADRACE_SCANNER_URL to where it is; {INSTALL}"
    )
    return error(WHAT, f"{failure}: uploads stay pending", fix)


async def _ask(scanner: Scanner, max_bytes: int) -> ScannerFacts:
    before = time.perf_counter()
    await scanner.ping()
    after = time.perf_counter()
    return ScannerFacts(
        version=await scanner.version(),
        round_trip_ms=(after - before) * 1000,
        eicar=await scanner.scan(samples.one(samples.EICAR)),
        nested=await scanner.scan(samples.one(samples.nested_zip())),
        encrypted=await scanner.scan(samples.one(samples.encrypted_zip())),
        largest=await scanner.scan(samples.zeros(max_bytes)),
    )


def judge(facts: ScannerFacts, *, max_bytes: int, now: datetime) -> list[Check]:
    """Every finding."""
    return [
        ok(WHAT, f"ClamAV {facts.version.engine} answers in {facts.round_trip_ms:.1f} ms"),
        _finds(facts.eicar),
        _signatures(facts.version, now),
        _alert("scanner limits", facts.nested, "AlertExceedsMax", "an archive that it did not look into to the end"),
        _alert("scanner encryption", facts.encrypted, "AlertEncrypted", "an archive that it can not look into"),
        _size(facts.largest, max_bytes),
    ]


def _finds(verdict: Verdict) -> Check:
    what = "scanner test file"
    if isinstance(verdict, Infected):
        return ok(what, f"found, as {verdict.signature}")
    return error(
        what,
        f"EICAR's test file is not found, but {_shown(verdict)}",
        "let freshclam get the signatures; clamd looks for them in its DatabaseDirectory",
    )


def _signatures(version: SignatureVersion, now: datetime) -> Check:
    what = "scanner signatures"
    if version.number is None:
        return ok(what, "a set of one's own, whose age it does not tell")
    if version.built_at is None:
        return ok(what, f"{version.number}, whose age is not told in words that we know")
    days = max((now - version.built_at).total_seconds() / _DAY_SECONDS, 0)
    seen = f"{version.number}, {days:.0f} day{'' if round(days) == 1 else 's'} old"
    fix = "freshclam must run beside clamd (clamav-freshclam) and reach database.clamav.net, or a mirror of yours"
    if days > ERROR_DAYS:
        return error(what, seen, fix)
    if days > WARNING_DAYS:
        return warning(what, seen, fix)
    return ok(what, seen)


def _alert(what: str, verdict: Verdict, option: str, meaning: str) -> Check:
    if isinstance(verdict, Clean):
        return error(what, f"calls clean {meaning}", f"`{option} yes` {CONFIG}")
    return ok(what, f"does not call clean {meaning}")


def _size(verdict: Verdict, max_bytes: int) -> Check:
    what = "scanner size"
    largest = f"{max_bytes / 1024 / 1024:.0f} MiB (HEADRACE_ATTACHMENT_MAX_BYTES)"
    match verdict:
        case Clean():
            return ok(what, f"takes {largest}")
        case Unscannable("too_large"):
            limits = "StreamMaxLength"
        case Unscannable("too_complex"):
            limits = "MaxFileSize and MaxScanSize"
        case Unscannable("too_slow"):
            fix = f"more `MaxScanTime` {CONFIG}, and more HEADRACE_SCAN_SECONDS than that; or a faster machine"
            return error(what, f"takes too long for {largest}: {_shown(verdict)}", fix)
        case _:
            fix = f"see clamd's log for why it does not call so many zero bytes clean; {INSTALL}"
            return error(what, f"{largest} of zeros are {_shown(verdict)}", fix)
    return error(what, f"does not take {largest}: {_shown(verdict)}", f"raise {limits} above that {CONFIG}")


def _shown(verdict: Verdict) -> str:
    match verdict:
        case Clean():
            return "clean"
        case Infected():
            return f"infected with {verdict.signature}"
        case Unscannable():
            return verdict.said or verdict.why
