import subprocess
import sys

CODE = """
import gc
import gateway.app
from backplane.collector import forget_start
before = len(gc.get_objects())
forget_start()
print(before, len(gc.get_objects()))
"""


def test_what_start_up_made_is_not_looked_through_again() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", CODE], check=True, capture_output=True, text=True, timeout=60)
    before, after = map(int, done.stdout.split())
    assert before > 50_000
    assert after < 1000
