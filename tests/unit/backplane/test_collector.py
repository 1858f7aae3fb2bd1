import json
import subprocess
import sys

import pytest

# A process that holds a lot, and through which small things pass, a few thousand at once.
CODE = """
import gc, json, sys
import gateway.app
from backplane.collector import quiet_collector
seen = [len(gc.get_objects())]
if sys.argv[1] == "quiet":
    quiet_collector()
seen.append(len(gc.get_objects()))
held = [[number] for number in range(200_000)]
before = gc.get_stats()[2]["collections"]
for _ in range(500):
    under_way = [[number] for number in range(3000)]
    del under_way
print(json.dumps([*seen, gc.get_stats()[2]["collections"] - before]))
"""


def run(how: str) -> list[int]:
    command = [sys.executable, "-P", "-c", CODE, how]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


@pytest.mark.parametrize(("how", "quiet"), [("quiet", True), ("as Python is", False)])
def test_what_a_process_holds_is_not_looked_through_again_and_again(how: str, quiet: bool) -> None:
    at_start, after, full_collections = run(how)
    assert at_start > 50_000
    assert (after < 1000) is quiet
    assert (full_collections == 0) is quiet
