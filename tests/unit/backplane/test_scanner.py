"""Nothing is clean but what clamd has said is clean."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backplane.errors import Transient
from backplane.scanner import (
    Clean,
    Infected,
    Scanner,
    SignatureVersion,
    Unscannable,
    parse_address,
    parse_version,
    read_verdict,
)
from backplane.settings import SettingsError, load_settings


def test_an_exact_ok_is_clean() -> None:
    assert read_verdict(b"stream: OK") == Clean()


@given(
    st.one_of(
        st.binary(),
        st.text().map(str.encode),
        st.tuples(st.binary(max_size=3), st.binary(max_size=3)).map(lambda two: two[0] + b"stream: OK" + two[1]),
        st.sampled_from([b"stream: %b OK", b"%b: OK", b"stream: %b"]).flatmap(
            lambda shape: st.binary(max_size=8).map(lambda some: shape % some)
        ),
    ).filter(lambda answer: answer != b"stream: OK")
)
def test_nothing_else_is_clean(answer: bytes) -> None:
    try:
        verdict = read_verdict(answer)
    except Transient:
        return
    assert isinstance(verdict, Infected | Unscannable)


@pytest.mark.parametrize(
    "answer",
    [b"", b"OK", b"stream: ok", b"stream: OK ", b" stream: OK", b"stream: OK\n", b"stream: OK\r", b"stream:OK", b"1: stream: OK",
     b"stream: x OK", b"/etc/passwd: OK", b"stream: FOUND", b"UNKNOWN COMMAND", b"-ERR unknown command 'zINSTREAM'",
     b"HTTP/1.1 400 Bad Request", b"\xff\xfe", b"stream: \xc3\x28 OK", b"stream: Can't parse data ERROR"],
)  # fmt: skip
def test_what_is_not_understood_can_not_be_vouched_for(answer: bytes) -> None:
    verdict = read_verdict(answer)
    assert isinstance(verdict, Unscannable)
    assert verdict.why == "not_understood"


@pytest.mark.parametrize(
    ("answer", "signature"),
    [
        (b"stream: Eicar FOUND", "Eicar"),
        (b"stream: Eicar-Test-Signature.UNOFFICIAL FOUND", "Eicar-Test-Signature.UNOFFICIAL"),
        (b"stream: Win.Test.EICAR_HDB-1(44d88612fea8a8f36de82e1278abb02f:68) FOUND", "Win.Test.EICAR_HDB-1"),
        (b"stream: Heuristics.Phishing.Email.SpoofedDomain FOUND", "Heuristics.Phishing.Email.SpoofedDomain"),
        (b"stream: a: b OK FOUND", "b OK"),
    ],
)
def test_a_finding_names_its_signature(answer: bytes, signature: str) -> None:
    assert read_verdict(answer) == Infected(signature)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("INSTREAM size limit exceeded. ERROR", "too_large"),
        ("stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND", "too_complex"),
        ("stream: Heuristics.Limits.Exceeded.MaxRecursion FOUND", "too_complex"),
        ("stream: Heuristics.Limits.Exceeded FOUND", "too_complex"),
        ("stream: Heuristics.Limits.Exceeded.MaxScanTime FOUND", "too_slow"),
        ("stream: Exceeded time limit ERROR", "too_slow"),
        ("stream: Heuristics.Encrypted.Zip FOUND", "encrypted"),
        ("stream: Heuristics.Encrypted.PDF FOUND", "encrypted"),
    ],
)
def test_a_finding_that_means_not_looked_at_is_none(answer: str, why: str) -> None:
    verdict = read_verdict(answer.encode())
    assert isinstance(verdict, Unscannable)
    assert (verdict.why, verdict.said) == (why, answer)


@pytest.mark.parametrize(
    "answer",
    [b"stream: Can't allocate memory ERROR", b"stream: Can't write to file ERROR", b"COMMAND READ TIMED OUT ERROR",
     b"Temporary file -> write ERROR", b"cli_gentempfd() failed. ERROR", b"stream: Can't create temporary file ERROR"],
)  # fmt: skip
def test_a_scanners_own_trouble_is_not_the_files(answer: bytes) -> None:
    with pytest.raises(Transient):
        read_verdict(answer)


def test_what_is_told_is_short_and_printable() -> None:
    verdict = read_verdict(b"\x1b[2J\n" + b"x" * 4000)
    assert isinstance(verdict, Unscannable)
    assert verdict.said.isprintable()
    assert len(verdict.said) <= 256


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        (
            b"ClamAV 1.4.6/27450/Thu Nov 26 09:30:00 2026",
            SignatureVersion("1.4.6", 27450, datetime(2026, 11, 26, 9, 30, tzinfo=UTC)),
        ),
        (
            b"ClamAV 0.103.8/26000/Sat Jan  3 01:02:03 2026\n",
            SignatureVersion("0.103.8", 26000, datetime(2026, 1, 3, 1, 2, 3, tzinfo=UTC)),
        ),
        (b"ClamAV 1.4.6", SignatureVersion("1.4.6", None, None)),
        (b"ClamAV 1.4.6/27450/yesterday", SignatureVersion("1.4.6", 27450, None)),
    ],
)
def test_a_version_is_read(answer: bytes, version: SignatureVersion) -> None:
    assert parse_version(answer) == version


@pytest.mark.parametrize("answer", [b"", b"PONG", b"ClamAV", b"UNKNOWN COMMAND", b"ClamAV 1.4.6/x/y"])
def test_what_has_no_version_is_no_clamd(answer: bytes) -> None:
    with pytest.raises(Transient):
        parse_version(answer)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("unix:///run/clamav/clamd.ctl", "/run/clamav/clamd.ctl"),
        ("unix:/run/a%20b", "/run/a b"),
        ("tcp://127.0.0.1:3310", ("127.0.0.1", 3310)),
        ("tcp://clamd.internal:3310/", ("clamd.internal", 3310)),
        ("tcp://[::1]:3310", ("::1", 3310)),
    ],
)
def test_an_address_is_read(url: str, address: object) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "clamd", "unix://", "unix:///", "unix://run/clamav/clamd.ctl", "tcp://127.0.0.1", "tcp://:3310", "tcp://h:0", "tcp://h:99999",
     "tcp://h:x", "tcp://h:1/path", "tcp://user:pass@h:1", "tcp://h:1?a=b", "http://h:1", "tcp://[::1:1"],
)  # fmt: skip
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="HEADRACE_SCANNER_URL"):
        parse_address(url)


@pytest.mark.anyio
async def test_without_a_url_there_is_no_scanner() -> None:
    assert await Scanner.open(load_settings({})) is None
    assert await Scanner.open(load_settings({"HEADRACE_SCANNER_URL": ""})) is None
    assert await Scanner.open(load_settings({"HEADRACE_SCANNER_URL": "tcp://127.0.0.1:3310"})) is not None


def test_a_wrong_url_is_told_at_once() -> None:
    with pytest.raises(SettingsError, match="HEADRACE_SCANNER_URL"):
        load_settings({"HEADRACE_SCANNER_URL": "/run/clamav/clamd.ctl"})
