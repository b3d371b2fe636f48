"""An orderly end, whenever a signal comes."""

import subprocess
import sys

import pytest

from tests.processes import PATIENCE

# Each signal may come in between any two instructions of the wait.
ALARMS = """
import signal
from mbuzz.cli.running import Stop

for _ in range(2_000):
    stop = Stop()
    signal.signal(signal.SIGALRM, lambda *_: stop.set())
    signal.setitimer(signal.ITIMER_REAL, 2e-5, 2e-5)
    while not stop.wait(1e-5):
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert stop.is_set() and stop.wait(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such alarms")
def test_no_signal_comes_at_a_moment_that_holds_up_the_end():
    ended = subprocess.run([sys.executable, "-c", ALARMS], timeout=PATIENCE)

    assert ended.returncode == 0
