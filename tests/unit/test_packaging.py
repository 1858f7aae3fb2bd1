"""What is installed: our top-level names are ours alone, and files that are not Python come along."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_no_other_distribution_claims_our_top_level_names() -> None:
    claims = packages_distributions()
    for package in PACKAGES:
        name = Path(package).name
        assert set(claims.get(name, ["headrace"])) == {"headrace"}, f"{name} is also in {claims[name]}"


def test_our_names_are_imported_from_here() -> None:
    names = [Path(package).name for package in PACKAGES]
    code = (
        f"import importlib, sys; sys.stdout.write(chr(10).join(importlib.import_module(n).__file__ for n in {names!r}))"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, cwd="/", check=True
    )
    for package, path in zip(PACKAGES, found.stdout.splitlines(), strict=True):
        assert Path(path) == ROOT / package / "__init__.py"


def test_it_can_not_be_uploaded_by_mistake() -> None:
    """Generic names such as `schemas` are fine for an application, not for a package index."""
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


def test_every_folder_of_code_is_a_package_that_is_shipped() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), f"{path.parent} would be left out of the import path"


def test_the_lock_holds_a_version_of_every_dependency() -> None:
    locked = {
        line.split("==")[0].lower() for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line
    }
    extras = PROJECT["project"]["optional-dependencies"].values()
    for requirement in [*PROJECT["project"]["dependencies"], *(one for extra in extras for one in extra)]:
        name = requirement.split(">=")[0].split("[")[0].strip().lower()
        assert name in locked, f"{name} is not in requirements.lock: `make lock`"


def test_the_lock_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--" not in text
