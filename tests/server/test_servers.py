"""The backend under real servers of others: unchanged, and nothing lost at the end."""

from __future__ import annotations

import importlib.util
import itertools
import signal
import sqlite3
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from mbuzz import ids
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server import bootstrap, create_app
from mbuzz.server.settings import ServerSettings
from tests.processes import PATIENCE, a_server, free_port, unmeasured, wait_for

pytest.importorskip("fcntl", reason="servers of POSIX")

CLIENTS = 4
ENOUGH = 40  # batches before the server is told to stop
ADDRESS = r"(127\.0\.0\.1:[1-9]\d*)(?=\D)"  # all of it
CLOSED = "the database is closed"  # to who comes when it is over, with 503: come back
APP = "mbuzz.server:create_app()"


@dataclass(frozen=True, kw_only=True)
class Server:
    """How a server is started, and how it ends when told to."""

    command: tuple[str, ...]
    ready: str  # what it logs when it serves, with its address
    needs: str  # the package
    ends: tuple[int, ...] = (0,)


def gunicorn(*options: str) -> Server:
    return Server(
        command=("-m", "gunicorn", "--bind=127.0.0.1:0", *options, APP),
        ready=rf"Listening at: http://{ADDRESS}",
        needs="gunicorn",
    )


def uwsgi(*options: str, ready: str = "") -> Server:
    return Server(
        command=(
            *("-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])"),
            *("--http-socket=127.0.0.1:0", "--master", "--die-on-term", "--need-app"),
            *(
                "--enable-threads",
                "--processes=2",
                "--module=mbuzz.server.app:create_app()",
                *options,
            ),
        ),
        ready=rf"bound to TCP address {ADDRESS}{ready}",
        needs="pyuwsgi",
    )


SERVERS = {
    "gunicorn-sync": gunicorn("--workers=2"),
    "gunicorn-threads": gunicorn("--workers=2", "--threads=4"),
    "gunicorn-preload": gunicorn("--workers=2", "--threads=4", "--preload"),
    "waitress": Server(
        command=(
            *("-m", "waitress", "--listen=127.0.0.1:0", "--call"),
            "mbuzz.server:create_app",
        ),
        ready=rf"Serving on http://{ADDRESS}",
        needs="waitress",
        ends=(-signal.SIGTERM,),  # it has no handler; what was answered is on disk
    ),
    "granian": Server(
        command=(
            *("-m", "granian", "--host=127.0.0.1", "--port={port}", "--workers=2"),
            *("--interface=wsgi", "--factory", "mbuzz.server:create_app"),
        ),
        # One that is told to end before that does not.
        ready=r"(?s)(?=.*\bStarted worker-1\b)(?=.*\bStarted worker-2\b)",
        needs="granian",
    ),
    # A worker that is told to end while it imports the application ends in an error.
    "uwsgi-lazy": uwsgi(
        "--lazy-apps", "--threads=4", ready=r"(?s:(?:.*?\bready in\b){2})"
    ),
    "uwsgi-forking": uwsgi("--threads=4", ready=r"(?s:.*?spawned uWSGI worker 2\b)"),
}


class Senders:
    """Clients that send batch after batch until nobody answers."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]
        self._ending = threading.Event()
        self.accepted: set[str] = set()
        self.refused: list[str] = []
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        with requests.Session() as session:
            session.headers.update(self._headers)
            while True:
                batch = [f"evt_{next(self._numbers):032x}" for _ in range(2)]
                try:
                    answer = self._post(session, batch)
                except requests.RequestException:
                    if self._ending.is_set():
                        return
                    continue  # the server closed the connection just then
                if answer.status_code != 202:
                    if not (self._ending.is_set() and CLOSED in answer.text):
                        self.refused.append(answer.text)
                    return
                self.accepted.update(batch)

    def _post(self, session: requests.Session, batch: list[str]) -> requests.Response:
        visitor = ids.visitor_id()
        events = [
            {
                "id": name,
                "event_type": "page_view",
                "visitor_id": visitor,
                "properties": {"url": "https://shop.example/"},
            }
            for name in batch
        ]
        return session.post(
            f"{self._url}/api/v1/events", json={"events": events}, timeout=PATIENCE
        )

    def let_end(self) -> None:
        """From now on an answer that does not come is no reason to try again."""
        self._ending.set()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)


def stored(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [name for (name,) in connection.execute("SELECT event_id FROM events")]


@pytest.mark.parametrize("name", SERVERS)
def test_server_takes_reports_and_ends_without_a_loss(name, tmp_path):
    server = SERVERS[name]
    if importlib.util.find_spec(server.needs) is None:
        pytest.skip(f"{server.needs} is not installed")
    database = tmp_path / "mbuzz.db"
    app = create_app(ServerSettings(database=str(database)))
    first = bootstrap.prepare(app.storage, SYSTEM_CLOCK)
    app.close()
    assert first is not None
    env = unmeasured(
        MBUZZ_SERVER_DATABASE=str(database), MBUZZ_SERVER_RATE_BURST="1000000"
    )

    with ExitStack() as stack:
        port = stack.enter_context(free_port())  # for who does not say which it took
        command = tuple(word.format(port=port) for word in server.command)
        found, process, log = stack.enter_context(
            a_server(command, tmp_path, env, server.ready)
        )
        url = f"http://{found[1] if found.groups() else f'127.0.0.1:{port}'}"
        senders = Senders(url, first.api_key)
        try:
            wait_for(
                lambda: len(senders.accepted) >= 2 * ENOUGH or senders.refused, "events"
            )
        finally:
            senders.let_end()
        report = requests.get(
            f"{url}/api/v1/reports/channels",
            headers={"Authorization": f"Bearer {first.api_key}"},
            timeout=PATIENCE,
        ).json()
        health = requests.get(f"{url}/health", timeout=PATIENCE)
        process.send_signal(signal.SIGTERM)
        senders.join()
        ended = process.wait(PATIENCE)

        assert ended in server.ends
        assert first.api_key not in log.read_text("utf-8", "replace")
    assert senders.refused == []
    assert report["totals"]["page_views"] >= 2 * ENOUGH
    assert health.status_code == 200
    names = stored(database)
    assert senders.accepted <= set(names)
    assert len(names) == len(set(names))


def test_repeats_count_once_across_two_processes(tmp_path):
    database = tmp_path / "mbuzz.db"
    app = create_app(ServerSettings(database=str(database)))
    first = bootstrap.prepare(app.storage, SYSTEM_CLOCK)
    app.close()
    assert first is not None
    server = SERVERS["gunicorn-threads"]
    env = unmeasured(MBUZZ_SERVER_DATABASE=str(database))
    headers = {"Authorization": f"Bearer {first.api_key}"}
    event = {"event_type": "page_view", "visitor_id": "v" * 64}
    event["properties"] = {"url": "https://shop.example/"}

    with a_server(server.command, tmp_path, env, server.ready) as (found, _, _):
        for number in [*range(10), *range(10)]:
            body = {"events": [{**event, "id": f"evt_{number:032x}"}]}
            url = f"http://{found[1]}/api/v1/events"
            answer = requests.post(url, json=body, headers=headers, timeout=PATIENCE)
            assert answer.status_code == 202

    assert len(stored(database)) == 10
