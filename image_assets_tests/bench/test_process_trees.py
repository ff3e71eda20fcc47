import sys

import pytest

from bench.process_trees import measure

# A child that outlives its parent, as a fork server does, and then works.
ORPHAN = """
import os, time
if os.fork() == 0:
    while time.process_time() < 0.5:
        pass
"""


def test_the_cpu_time_of_a_process_that_nobody_waits_for_counts() -> None:
    assert measure([sys.executable, "-c", ORPHAN]).cpu_s >= 0.5


def test_a_command_that_fails_says_what_it_printed() -> None:
    with pytest.raises(SystemExit, match=r"ended with 3:\n.*no such luck"):
        measure([sys.executable, "-c", "print('no such luck'); raise SystemExit(3)"])


def test_memory_is_looked_at_where_asked_for() -> None:
    program = "import time; held = b'x' * 50_000_000\nwhile time.process_time() < 0.3: pass"
    assert measure([sys.executable, "-c", program], sample_memory=True).peak_bytes > 50_000_000
