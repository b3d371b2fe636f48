"""Servers in processes of their own, for the tests that need real ones."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import requests

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0  # seconds until a test gives up waiting
KEY = re.compile(r"sk_test_\w+")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


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
    command: tuple[str, ...],
    folder: Path,
    env: dict[str, str],
    log: Path,
    *,
    group: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python for a while; what it printed is told when the test fails.

    A process that leads a *group* is killed with all that it has started.
    """
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=group,
        )
    try:
        yield running
    except BaseException as error:
        text = log.read_text("utf-8", "replace")
        error.add_note(f"--- {' '.join(command)} ---\n{KEY.sub('sk_test_...', text)}")
        raise
    finally:
        if group:
            kill_group(running.pid)
        running.terminate()
        try:
            running.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def reserve_port() -> socket.socket:
    """Return a socket with a free port of loopback that nobody else is given.

    It does not listen, so who connects is refused; but on Linux a server that is told
    this port may listen on it, as it may on one whose last connections linger.
    """
    holder = socket.socket()
    if os.name == "posix":
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


@contextmanager
def free_port() -> Iterator[int]:
    """Yield a port for a server that cannot choose one itself, or cannot tell it.

    Another process is not given it meanwhile, where the system can do that.
    """
    with closing(reserve_port()) as holder:
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port


def kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def wait_for(condition: Callable[[], T], what: str) -> T:
    """Return what *condition* says as soon as it holds."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come in time"
        time.sleep(0.02)
    return found


@contextmanager
def a_server(
    command: tuple[str, ...], folder: Path, env: dict[str, str], ready: str
) -> Iterator[tuple[re.Match[str], subprocess.Popen[bytes], Path]]:
    """Run a server that finds its application in *folder*.

    Yield what matched *ready* in its log, its process, which the test may end, and
    that log.
    """
    log = folder / "server.log"
    path = os.pathsep.join((env["PYTHONPATH"], str(folder)))
    own = {**env, "PYTHONPATH": path, "HOME": str(folder)}
    with process(command, folder, own, log, group=True) as running:

        def said() -> re.Match[str] | None:
            assert running.poll() is None, "the server has ended"
            return re.search(ready, log.read_text("utf-8", "replace"))

        yield wait_for(said, "the server"), running, log


class Served:
    """A server in a process of its own."""

    def __init__(self, log: Path) -> None:
        self._log = log

    @property
    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    @property
    def url(self) -> str:
        return ADDRESS.findall(self.output)[0]


class Backend(Served):
    """The backend, and what it knows."""

    def __init__(self, log: Path, database: Path) -> None:
        super().__init__(log)
        self._database = database

    @property
    def key(self) -> str:
        return KEY.findall(self.output)[0]

    def report(self) -> dict:
        with requests.get(
            f"{self.url}/api/v1/reports/channels",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=PATIENCE,
        ) as response:
            assert response.status_code == 200, response.text
            return response.json()

    def totals(self) -> dict:
        return self.report()["totals"]

    def rows(self, sql: str) -> list[tuple]:
        uri = f"{self._database.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(sql).fetchall()


@contextmanager
def a_backend(folder: Path) -> Iterator[Backend]:
    database, log = folder / "mbuzz.db", folder / "backend.log"
    command = ("-m", "mbuzz", "serve", f"--database={database}", "--port=0")
    with process(command, folder, environment(), log):
        backend = Backend(log, database)
        wait_for(lambda: "Ctrl-C" in backend.output, "the backend")
        yield backend
