"""What the channel report takes over HTTP, from a server in a process of its own."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection

from mbuzz.clock import SYSTEM_CLOCK
from tests.benchmarks.figures import Figure

GOAL = 20.0  # ms
PERIODS = (30, 90)  # days
_TIMES = 30


def _serve(path: str, pipe: Connection) -> None:
    from mbuzz.server import create_app
    from mbuzz.server.http.wsgi_server import WSGIServer
    from mbuzz.server.settings import ServerSettings

    app = create_app(ServerSettings(database=path, rate_burst=10**9))
    with WSGIServer(app) as server:
        server.start()
        pipe.send(server.url)
        pipe.recv()


@contextmanager
def _server(path: str) -> Iterator[http.client.HTTPConnection]:
    """Serve a database and return a connection that stays."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(path, theirs))
    process.start()
    theirs.close()
    try:
        connection = http.client.HTTPConnection(ours.recv().removeprefix("http://"))
        yield connection
        connection.close()
        ours.send(None)
    finally:
        ours.close()
        process.join(10)


def _ask(connection: http.client.HTTPConnection, key: str, days: int) -> dict[str, int]:
    """Return the totals of the report of so many days."""
    last = datetime.fromtimestamp(SYSTEM_CLOCK.now_ms() / 1000, UTC).date()
    first = last - timedelta(days=days - 1)
    connection.request(
        "GET",
        f"/api/v1/reports/channels?from={first}&to={last}",
        headers={"Authorization": f"Bearer {key}"},
    )
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"the report was answered {answer.status}: {body[:300]!r}")
    found: dict[str, int] = json.loads(body)["totals"]
    return found


def figures(path: str, key: str, events: int) -> list[Figure]:
    """Ask for the channels again and again; return the middle one's time, and more."""
    found = []
    with _server(path) as connection:
        for days in PERIODS:
            spans = []
            for _ in range(_TIMES):
                begin = time.perf_counter()
                totals = _ask(connection, key, days)
                spans.append((time.perf_counter() - begin) * 1000)
            spans.sort()
            said = ", ".join(
                f"{totals[name]:,} {name}"
                for name in ("visits", "visitors", "conversions")
            )
            found.append(
                Figure(
                    row="report",
                    what=f"channels of {days} days at {events:,} events",
                    unit="ms",
                    floor=None,
                    ours=spans[len(spans) // 2],
                    goal=GOAL,
                    note=f"best {spans[0]:.1f}, most {spans[-1]:.1f}; {said}",
                )
            )
    return found
