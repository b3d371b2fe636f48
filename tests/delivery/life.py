"""Whole processes under test: a script of a host, how it ends, and what it leaves.

Every script begins with `PREAMBLE`, runs in an interpreter and a process group of its
own, and is waited for until nobody holds its output any more: children that hang are
found (and killed) like the script itself.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.config import Config
from mbuzz.errors import ConfigurationError
from tests.delivery.fault_server import FaultServer
from tests.processes import PATIENCE, kill_group, unmeasured

KEY = "sk_test_" + "k" * 32
EXIT = 2.0  # seconds that an exit may wait for delivery
SLACK = 4.0  # seconds that a busy machine may add

# What is queued leaves by flush, close or exit, hardly ever by itself in a minute.
PREAMBLE = """
import os, signal, sys, threading, time
import mbuzz

OPTIONS = dict(
    api_key="sk_test_" + "k" * 32, api_url=sys.argv[1], network=True, batch_interval=60
)


def track(name):
    result = mbuzz.track(name, user_id="1")
    assert result.success, result.error


def wait_until(condition):
    give_up = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def now():
    print(time.monotonic(), flush=True)
"""
CONFIGURED = PREAMBLE + "\nmbuzz.configure(strict=True, **OPTIONS)\n"


class Ended(NamedTuple):
    """How a process ended."""

    code: int  # minus the signal that killed it
    out: str
    err: str
    at: float  # monotonic seconds, when the last of its processes had gone

    @property
    def since(self) -> float:
        """Return the seconds since the script printed `now()` for the last time."""
        return self.at - float(self.out.split()[-1])

    @property
    def clean(self) -> bool:
        """Tell whether it ended well and without a word on stderr."""
        return (self.code, self.err) == (0, "")


class Running:
    """A script while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def heard(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self) -> None:
        """Let it go on from where it reads a line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> Ended:
        """Wait for its end and that of all its children; they may hang no longer."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            kill_group(self.process.pid)
            out, err = self.process.communicate()
            raise AssertionError(f"it hangs; so far:\n{out}\n{err}") from None
        return Ended(self.process.returncode, out, err, SYSTEM_CLOCK.monotonic())


@contextmanager
def started(
    folder: Path, code: str, *arguments: object, preamble: str = CONFIGURED
) -> Iterator[Running]:
    """Run a script that is told where the server is by its first argument."""
    script = folder / "script.py"
    script.write_text(preamble + textwrap.dedent(code), "utf-8")
    # Forking beside threads is what these tests are about, and said by 3.12 and later.
    quiet = ("-W", "ignore:This process:DeprecationWarning")
    process = subprocess.Popen(
        [sys.executable, *quiet, str(script), *map(str, arguments)],
        cwd=folder,
        env=unmeasured(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Running(process)
    finally:
        kill_group(process.pid)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            with suppress(OSError):
                stream.close()


Run = Callable[..., Ended]


def runner(folder: Path, server: FaultServer) -> Run:
    """Return a function that runs a script against *server* until it ends."""

    def run(code: str, *arguments: object, preamble: str = CONFIGURED) -> Ended:
        with started(folder, code, server.url, *arguments, preamble=preamble) as life:
            return life.end()

    return run


def once(server: FaultServer) -> list[str]:
    """Return the names of what arrived, sorted; nothing may have come twice."""
    assert set(server.arrived.values()) <= {1}, "an event came twice"
    return sorted(server.names)


def has_option(name: str) -> bool:
    """Tell whether this version of mbuzz knows an option."""
    try:
        Config.load({"api_key": KEY, name: None}, {})
    except ConfigurationError as error:
        return "unknown option" not in str(error)
    return True
