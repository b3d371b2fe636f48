"""Servers in a process of their own, so that their work does not count as ours."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple


def _keep_rows(folder: Path) -> tuple[Any, str]:
    """Return the floor of ingestion: parse, commit the rows of all who wait, answer."""
    from tests.benchmarks.ingest_floor import Floor

    return Floor(folder), "sk_test_" + "0" * 32


def _backend(folder: Path) -> tuple[Any, str]:
    """Return the real backend."""
    from mbuzz.clock import SYSTEM_CLOCK
    from mbuzz.server import bootstrap, create_app
    from mbuzz.server.settings import ServerSettings

    settings = ServerSettings(
        database=str(folder / "mbuzz.db"), rate_limit=1e9, rate_burst=10**9
    )
    app = create_app(settings)
    first = bootstrap.prepare(app.storage, SYSTEM_CLOCK, live=True)
    assert first is not None
    return app, first.api_key


KINDS = {"floor": _keep_rows, "backend": _backend}


def _serve(kind: str, folder: str, pipe: Connection) -> None:
    from mbuzz.server import interpreter
    from mbuzz.server.http.wsgi_server import WSGIServer

    app, key = KINDS[kind](Path(folder))
    with WSGIServer(app) as server:
        interpreter.tune()  # as `mbuzz serve` does
        server.start()
        pipe.send((server.url, key))
        pipe.recv()


class Running(NamedTuple):
    """A server in a process of its own, and where it keeps what it is sent."""

    url: str
    key: str
    pid: int
    folder: Path

    def cpu(self) -> float:
        """Return the seconds of CPU that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the most memory that the process has held, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def disk(self) -> int:
        """Return the bytes of its database, once the log has moved into it."""
        (path,) = self.folder.glob("*.db")
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.stat().st_size


@contextmanager
def running(kind: str) -> Iterator[Running]:
    """Run a server in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = spawn.Process(target=_serve, args=(kind, folder, theirs))
        process.start()
        theirs.close()  # ours is told if the process ends
        try:
            url, key = ours.recv()
            assert process.pid is not None
            yield Running(url, key, process.pid, Path(folder))
        finally:
            ours.send(None)
            process.join(10)
