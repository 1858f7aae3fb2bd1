"""What the doctor says of a scanner, by what that says of files whose answer is known."""

import io
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backplane.errors import Transient
from backplane.inspection import samples
from backplane.inspection.checks import Check
from backplane.inspection.scanner import ScannerFacts, absent, judge, unreachable
from backplane.scanner import Clean, Infected, SignatureVersion, Unscannable, Verdict

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
GOOD = ScannerFacts(
    version=SignatureVersion("1.4.6", 27450, NOW - timedelta(hours=5)),
    eicar=Infected("Eicar-Test-Signature"),
    nested=Unscannable("too_complex"),
    encrypted=Unscannable("encrypted"),
    largest=Clean(),
)


def judged(**facts: object) -> dict[str, Check]:
    checks = judge(replace(GOOD, **facts), max_bytes=26_214_400, now=NOW)  # type: ignore[arg-type]
    for check in checks:
        assert (check.fix is None) is (check.level == "ok"), check
    return {check.what: check for check in checks}


def found(**facts: object) -> dict[str, str]:
    return {check.what: check.level for check in judged(**facts).values() if check.level != "ok"}


def test_a_good_scanner_has_no_findings() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    ("days", "level"), [(0, "ok"), (2.9, "ok"), (3.1, "warning"), (13.9, "warning"), (14.1, "error")]
)
def test_signatures_grow_old(days: float, level: str) -> None:
    version = SignatureVersion("1.4.6", 27450, NOW - timedelta(days=days))
    check = judged(version=version)["scanner signatures"]
    assert check.level == level
    assert "27450" in check.seen
    assert level == "ok" or "freshclam" in str(check.fix)


@pytest.mark.parametrize("version", [SignatureVersion("1.4.6", None, None), SignatureVersion("1.4.6", 27450, None)])
def test_an_age_that_is_not_told_is_no_fault(version: SignatureVersion) -> None:
    assert judged(version=version)["scanner signatures"].level == "ok"


def test_signatures_of_tomorrow_are_those_of_a_clock_without_a_zone() -> None:
    version = SignatureVersion("1.4.6", 27450, NOW + timedelta(hours=9))
    assert judged(version=version)["scanner signatures"].seen == "27450, 0 days old"


@pytest.mark.parametrize("verdict", [Clean(), Unscannable("not_understood", "what?")])
def test_a_scanner_that_does_not_find_what_all_must_find_is_none(verdict: Verdict) -> None:
    assert found(eicar=verdict) == {"scanner test file": "error"}


def test_a_scanner_that_calls_clean_what_it_did_not_look_at_is_an_error() -> None:
    assert found(nested=Clean(), encrypted=Clean()) == {"scanner limits": "error", "scanner encryption": "error"}
    assert "AlertExceedsMax yes" in str(judged(nested=Clean())["scanner limits"].fix)
    assert "AlertEncrypted yes" in str(judged(encrypted=Clean())["scanner encryption"].fix)


@pytest.mark.parametrize(
    ("verdict", "fix"),
    [
        (Unscannable("too_large", "INSTREAM size limit exceeded. ERROR"), "StreamMaxLength"),
        (Unscannable("too_complex", "Heuristics.Limits.Exceeded.MaxFileSize FOUND"), "MaxFileSize and MaxScanSize"),
        (Unscannable("too_slow"), "MaxScanTime"),
        (Infected("Zeros"), "log"),
        (Unscannable("not_understood", "what?"), "log"),
    ],
)
def test_a_scanner_must_take_the_largest_attachment(verdict: Verdict, fix: str) -> None:
    check = judged(largest=verdict)["scanner size"]
    assert check.level == "error"
    assert "25 MiB" in check.seen
    assert fix in str(check.fix)


def test_a_scanner_is_missed_where_there_are_attachments() -> None:
    assert absent(attachments=False).level == "ok"
    missed = absent(attachments=True)
    assert missed.level == "warning"
    assert "apt-get install clamav-daemon clamav-freshclam" in str(missed.fix)


def test_one_that_is_away_is_an_error() -> None:
    assert unreachable(Transient("clamd takes no connection")).level == "error"


async def read(size: int) -> list[bytes]:
    return [chunk async for chunk in samples.zeros(size)]


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, samples.CHUNK_BYTES, samples.CHUNK_BYTES + 1])
async def test_the_large_sample_is_as_large_as_was_asked_for(size: int) -> None:
    assert b"".join(await read(size)) == bytes(size)


def test_the_archives_are_what_they_say() -> None:
    with (
        pytest.raises(RuntimeError, match="encrypted"),
        zipfile.ZipFile(io.BytesIO(samples.encrypted_zip())) as archive,
    ):
        archive.read("inner.zip")
    content = samples.nested_zip()
    for _ in range(samples.NESTED):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read("inner.zip")
    assert content == b"harmless"
