"""Servers in a process of their own, so that their work does not count as ours."""

from __future__ import annotations

import multiprocessing
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def _keep_rows(folder: Path) -> tuple[Callable[..., Any], str]:
    """Return the floor of ingestion: parse, insert, commit to disk, answer."""
    import json
    import threading

    db = sqlite3.connect(
        folder / "floor.db", isolation_level=None, check_same_thread=False
    )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE events (id TEXT UNIQUE, visitor TEXT, at TEXT, body TEXT)")
    lock = threading.Lock()

    def app(environ, start_response):
        batch = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        rows = [
            (e["id"], e["visitor_id"], e["timestamp"], json.dumps(e["properties"]))
            for e in batch["events"]
        ]
        with lock:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", rows)
            db.execute("COMMIT")
        body = b'{"accepted":1}'
        start_response("202 Accepted", [("Content-Length", str(len(body)))])
        return [body]

    return app, "sk_test_" + "0" * 32


def _backend(folder: Path) -> tuple[Callable[..., Any], str]:
    """Return the real backend."""
    from mbuzz.clock import SYSTEM_CLOCK
    from mbuzz.server import bootstrap, create_app
    from mbuzz.server.settings import ServerSettings

    settings = ServerSettings(
        database=str(folder / "mbuzz.db"), rate_limit=1e9, rate_burst=10**9
    )
    app = create_app(settings)
    first = bootstrap.prepare(app.storage, SYSTEM_CLOCK)
    assert first is not None
    return app, first.api_key


KINDS = {"floor": _keep_rows, "backend": _backend}


def _serve(kind: str, folder: str, pipe: Connection) -> None:
    from mbuzz.server.http.wsgi_server import WSGIServer

    app, key = KINDS[kind](Path(folder))
    with WSGIServer(app) as server:
        server.start()
        pipe.send((server.url, key))
        pipe.recv()


@contextmanager
def running(kind: str) -> Iterator[tuple[str, str]]:
    """Run a server and give out its address and a key."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = spawn.Process(target=_serve, args=(kind, folder, theirs))
        process.start()
        try:
            yield ours.recv()
        finally:
            ours.send(None)
            process.join(10)
