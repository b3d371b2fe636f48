"""Two backends on one file, by accident or under gunicorn: both stay right."""

import re
import subprocess
import sys

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from tests.crash.load import Ledger, Load, Traffic, new_seed, send_again
from tests.crash.served import Backend
from tests.crash.verdict import judge
from tests.processes import KEY, unmeasured

ANSWERS = 20


@pytest.fixture
def second(tmp_path):
    folder = tmp_path / "second"
    folder.mkdir()
    made = Backend(folder)
    yield made
    made.kill()


def test_two_backends_on_one_file_are_both_right(backend, second):
    backend.start()
    second.database, second.key = backend.database, backend.key
    second.start()
    ledger, seed, now_ms = Ledger(), new_seed(), SYSTEM_CLOCK.now_ms()
    key = backend.key

    # The same at both, so that each meets the visitors and repeats of the other.
    with (
        Load(backend.url, key, Traffic(seed, now_ms), ledger) as one,
        Load(second.url, key, Traffic(seed, now_ms), ledger) as other,
    ):
        for _ in range(ANSWERS):
            assert one.answered.acquire(timeout=30)
            assert other.answered.acquire(timeout=30)
    send_again(second.url, key, ledger, lambda: False)
    assert (second.stop(), backend.stop()) == (0, 0)

    verdict = judge(backend.database, ledger)
    assert verdict.problems == []
    assert (verdict.lost, verdict.doubled) == (0, 0)


def test_keys_are_made_and_ended_beside_a_busy_backend(backend, shop):
    def keys(*argv):
        command = [sys.executable, "-m", "mbuzz", "keys", *argv]
        done = subprocess.run(
            [*command, "--database", str(backend.database)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=unmeasured(),
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    backend.start()
    first = backend.key
    with Load(backend.url, first, Traffic(new_seed()), Ledger()) as load:
        assert load.answered.acquire(timeout=30)
        made = keys("create", "--name", "web")
        backend.key = KEY.search(made)[0]
        taken = shop.page()
        keys("revoke", re.search(r"key_\w+", made)[0])
        refused = shop.page()
        give_up = SYSTEM_CLOCK.monotonic() + 30
        # A backend may go on with a key for two seconds that another process has ended.
        while refused.status == 202 and SYSTEM_CLOCK.monotonic() < give_up:
            refused = shop.page()

    assert (taken.status, refused.status) == (202, 401)
