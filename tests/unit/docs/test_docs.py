"""The docs say everything that there is, and nothing that there is not."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import click
import pytest
from prometheus_client import metrics as prometheus

from backplane import telemetry
from backplane.settings import PREFIX, Settings
from cli.main import NOUNS, headrace
from schemas.client_frames import ClientFrame
from schemas.errors import CLOSES, ERRORS
from schemas.events import EventName
from schemas.roles import GROUP
from schemas.server_frames import ServerFrame

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted({*DOCS.rglob("*.md"), *ROOT.glob("*.md")})
PROTOCOL = (DOCS / "protocol.md").read_text(encoding="utf-8")


def test_the_generated_pages_are_fresh() -> None:
    check = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], check=False, capture_output=True, text=True, timeout=60
    )
    assert check.returncode == 0, check.stderr


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_sentence_in_the_docs(name: str) -> None:
    line = next(line for line in (DOCS / "settings.md").read_text().splitlines() if f"`{PREFIX}{name.upper()}`" in line)
    assert len(line.split("|")[4].strip()) > 10


@pytest.mark.parametrize("frame", [*get_args(ClientFrame), *get_args(ServerFrame)])
def test_every_frame_type_is_in_the_protocol(frame: type) -> None:
    config = frame.__struct_config__  # type: ignore[attr-defined]
    assert f"`{config.tag}`" in PROTOCOL or f'"type":"{config.tag}"' in PROTOCOL


@pytest.mark.parametrize("name", get_args(EventName))
def test_every_event_is_in_the_protocol(name: str) -> None:
    assert re.search(rf"`{re.escape(name)}[`{{]", PROTOCOL)


@pytest.mark.parametrize("permission", GROUP)
def test_every_permission_is_in_the_protocol(permission: str) -> None:
    assert f"`{permission}`" in PROTOCOL


def test_every_rule_of_a_client_is_held_by_a_test_that_there_is() -> None:
    rules = (DOCS / "sdk.md").read_text(encoding="utf-8").partition("## Rules of every client")[2].partition("\n## ")[0]
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests/client_conformance").glob("test_*.py"))
    named = {line: re.findall(r"`(test_\w+)`", line) for line in rules.splitlines() if line.startswith("| ")}
    held = dict(list(named.items())[1:])
    assert len(held) > 10
    assert all(held.values())
    assert not {name for names in held.values() for name in names if f"def {name}(" not in tests}


@pytest.mark.parametrize("code", ERRORS)
def test_every_error_code_is_in_the_docs(code: str) -> None:
    assert f"| `{code}` |" in (DOCS / "errors.md").read_text()


@pytest.mark.parametrize("close", CLOSES.values(), ids=lambda close: close.name)
def test_every_close_code_is_in_the_docs_and_in_the_protocol(close: object) -> None:
    assert f"| {close.code} | `{close.name}` |" in (DOCS / "errors.md").read_text()  # type: ignore[attr-defined]
    assert f"{close.code} {close.name}" in PROTOCOL.replace("\n", " ")  # type: ignore[attr-defined]


def test_every_metric_is_in_the_docs() -> None:
    declared = {
        collector.describe()[0].name  # type: ignore[attr-defined]
        for collector in vars(telemetry).values()
        if isinstance(collector, prometheus.MetricWrapperBase)
    }
    documented = set(
        re.findall(r"^\| `(headrace_\w+?)(?:_total)?` \|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    )
    assert declared == documented


@pytest.mark.parametrize("name", NOUNS)
def test_every_command_can_be_loaded_and_is_in_the_docs(name: str) -> None:
    command = headrace.get_command(click.Context(headrace), name)
    assert command is not None
    assert command.help, "a command without a sentence"
    assert f"## headrace {name}\n" in (DOCS / "cli.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_holes_that_the_code_names_are_in_the_guarantees() -> None:
    named: set[str] = set()
    for folder in ("schemas", "backplane", "gateway", "consumers", "cli", "clients"):
        for path in (ROOT / folder).rglob("*.py"):
            for holes in re.findall(r"\bholes? ([A-D]\d+(?:(?:, | and )[A-D]\d+)*)", path.read_text(encoding="utf-8")):
                named |= set(re.findall(r"[A-D]\d+", holes))
    listed = set(re.findall(r"^\| ([A-D]\d+) \|", (DOCS / "guarantees.md").read_text(), re.MULTILINE))
    assert named, "the code names no holes at all: the pattern is wrong"
    assert named <= listed


def test_the_tests_that_the_guarantees_name_exist() -> None:
    text = (DOCS / "guarantees.md").read_text(encoding="utf-8")
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named, "the guarantees name no tests"
    missing = [
        name
        for name in sorted(named)
        if not re.search(rf"def {name}\b", tests) and not (list((ROOT / "tests").rglob(f"{name}.py")))
    ]
    assert not missing
