"""A backend in a process of its own that can be ended at any moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.processes import ADDRESS, KEY, PATIENCE, unmeasured, wait_for

_SERVE = ("-m", "mbuzz")
_STARTED = "Ctrl-C stops it."


class Backend:
    """`mbuzz serve` on one file, time and again; it keeps the key of the first time."""

    def __init__(self, folder: Path, *, program: tuple[str, ...] = _SERVE) -> None:
        self.database = folder / "mbuzz.db"
        self.log = folder / "backend.log"
        self.key = ""
        self.url = ""
        self._folder = folder
        self._program = program
        self._running: subprocess.Popen[bytes] | None = None

    def begin(self, **env: str) -> None:
        """Start it, and do not wait."""
        limits = {
            "MBUZZ_SERVER_RATE_LIMIT": "1000000",
            "MBUZZ_SERVER_RATE_BURST": "1000000",
        }
        database = f"--database={self.database}"
        with self.log.open("wb") as out:
            self._running = subprocess.Popen(
                [sys.executable, *self._program, "serve", database, "--port=0"],
                cwd=self._folder,
                env=unmeasured(**limits, **env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def start(self, **env: str) -> None:
        """Start it, and wait until it serves."""
        assert self.comes_up(**env), self.output

    def comes_up(self, **env: str) -> bool:
        """Start it, and tell whether it came to serve before it ended."""
        self.begin(**env)
        wait_for(lambda: self.is_ready or self.has_ended, "the backend")
        return self.is_ready

    @property
    def output(self) -> str:
        """Return what it has printed, but no secret."""
        return KEY.sub("sk_test_...", self._printed())

    def _printed(self) -> str:
        return self.log.read_text("utf-8", "replace")

    @property
    def is_ready(self) -> bool:
        """Tell whether it serves; then its address is known, and its key."""
        printed = self._printed()
        if _STARTED not in printed:
            return False
        self.url = ADDRESS.findall(printed)[0]
        self.key = self.key or KEY.findall(printed)[0]
        return True

    @property
    def has_ended(self) -> bool:
        """Tell whether the process is gone."""
        return self._running is None or self._running.poll() is not None

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        assert self._running is not None
        return self._running.pid

    def wait(self, seconds: float) -> bool:
        """Wait for its end, but not for longer than that; tell whether it came."""
        assert self._running is not None
        with suppress(subprocess.TimeoutExpired):
            self._running.wait(seconds)
        return self.has_ended

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._running is not None
        self._running.send_signal(number)

    def end(self) -> int:
        """Return the exit code once it has ended."""
        assert self._running is not None
        return self._running.wait(PATIENCE)

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()

    def stop(self) -> int:
        """End it in order."""
        self.send(signal.SIGTERM)
        return self.end()
