"""Health: what a load balancer and an orchestrator are told, whatever happens."""

import http.client
import json
import re
import socket
import sqlite3
import threading
from contextlib import ExitStack, closing

import pytest

from mbuzz.server import gauges
from mbuzz.server.http.wsgi_server import WSGIServer
from mbuzz.server.storage import condition, sqlite
from mbuzz.server.storage.errors import StorageBusyError
from tests.processes import PATIENCE


@pytest.fixture
def client(caller, tmp_path):
    client = caller(database=str(tmp_path / "mbuzz.db"))
    client.key = None
    return client


def ask(client):
    """Return status and body of the health of the API and of the short path."""
    answers = [client.send("GET", path) for path in ("/api/v1/health", "/health")]
    assert answers[0].body == answers[1].body
    return answers[0].status, answers[0].json()


def test_it_is_well(client):
    status, body = ask(client)

    assert (status, body["status"]) == (200, "ok")


def test_process_lives_whatever_becomes_of_the_database(client):
    client.app.close()

    assert ask(client)[0] == 503
    live = client.send("GET", "/health/live")
    assert (live.status, live.json()["status"]) == (200, "ok")


def test_stuck_writer_is_told_without_waiting_for_it(client, monkeypatch):
    monkeypatch.setattr(condition, "_STUCK", 0.0)
    storage = client.app.storage
    begun, go_on = threading.Event(), threading.Event()

    def work(_stores):
        begun.set()
        go_on.wait(PATIENCE)

    thread = threading.Thread(target=storage.write, args=(work,))
    thread.start()
    assert begun.wait(PATIENCE)
    status, body = ask(client)
    go_on.set()
    thread.join(PATIENCE)

    assert status == 503
    assert "in one transaction" in body["database"]
    assert ask(client)[0] == 200


def test_full_disk_is_told(client, monkeypatch):
    monkeypatch.setattr(condition, "_LEAST_FREE", 10**18)

    status, body = ask(client)

    assert status == 503
    assert body["database"] == "the disk of the database is full; make room on it"


def test_database_that_cannot_be_written_is_told_until_it_can(
    client, tmp_path, monkeypatch
):
    storage = client.app.storage
    path = str(tmp_path / "mbuzz.db")
    other = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.01)  # seconds

    with pytest.raises(StorageBusyError):
        storage.write(lambda stores: None)
    locked = [ask(client) for _ in range(2)]
    other.execute("ROLLBACK")
    other.close()

    assert [status for status, _ in locked] == [503, 503]
    assert "cannot be written" in locked[0][1]["database"]
    assert ask(client)[0] == 200  # found out by itself


def ask_server(server, path):
    """Ask over a connection of its own; return status and body."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_health_and_metrics_answer_while_all_threads_are_occupied(caller, tmp_path):
    """Forty calls wait for a writer that is held up: sixteen of them on threads."""
    client = caller(database=str(tmp_path / "mbuzz.db"))
    begun, go_on = threading.Event(), threading.Event()

    def hold_up(_stores):
        begun.set()
        go_on.wait(PATIENCE)

    holding = threading.Thread(target=client.app.storage.write, args=(hold_up,))
    holding.start()
    assert begun.wait(PATIENCE)
    body = json.dumps({"user_id": "u1"}).encode()
    head = (
        "POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {client.key}\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with WSGIServer(client.app) as server, ExitStack() as stack:
        gauges.attach_server(client.app.metrics, server)
        server.start()
        calls = []
        for _ in range(40):
            address = (server.host, server.port)
            call = stack.enter_context(socket.create_connection(address, PATIENCE))
            call.sendall(head.encode() + body)
            calls.append(call)
        waiting = 0
        while waiting < 24:  # all others have a thread
            assert holding.is_alive()
            status, text = ask_server(server, "/metrics")
            assert status == 200
            waiting = int(re.search(r"^mbuzz_waiting_calls (\d+)", text, re.M)[1])
        answers = [
            ask_server(server, path)
            for path in ("/health", "/api/v1/health", "/health/live")
        ]
        go_on.set()
        statuses = {call.recv(65_536)[:12] for call in calls}
        holding.join(PATIENCE)

    assert [status for status, _ in answers] == [200, 200, 200]
    assert statuses == {b"HTTP/1.1 200"}
