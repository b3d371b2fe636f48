"""Servers in processes of their own, for the tests that need real ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 20.0  # seconds until a test gives up waiting
KEY = re.compile(r"sk_test_\w+")


def environment(**more: str) -> dict[str, str]:
    """Return the environment without anybody's MBUZZ_* variables."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MBUZZ_")}
    own = {
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "PORT": "0",
    }
    return {**kept, **own, **more}


def unmeasured(**more: str) -> dict[str, str]:
    """Return the same, without the measuring of coverage.

    Its locks are not made for signal handlers, its files not for forks and limits.
    """
    found = environment(**more)
    return {name: value for name, value in found.items() if not name.startswith("COV")}


@contextmanager
def process(
    command: tuple[str, ...], folder: Path, env: dict[str, str], log: Path
) -> Iterator[None]:
    """Run Python for a while; what it printed is told when the test fails."""
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=env, stdout=out, stderr=out
        )
    try:
        yield
    except BaseException as error:
        text = log.read_text("utf-8", "replace")
        error.add_note(f"--- {' '.join(command)} ---\n{KEY.sub('sk_test_...', text)}")
        raise
    finally:
        running.terminate()
        try:
            running.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Return as soon as *condition* holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come in time"
        time.sleep(0.02)
