"""`mbuzz serve`: starts, says what it must once, and ends in order."""

import json
import os
import re
import signal
import socket
import sqlite3
import threading
import urllib.request

import pytest

from mbuzz.cli import running
from mbuzz.cli import serve as command
from mbuzz.cli.console import CliError
from mbuzz.server.storage.sqlite import SqliteStorage
from tests.processes import PATIENCE, free_port

POSTGRES = (
    "--database must be the path of an SQLite file, since PostgreSQL storage is not in "
    "this version of mbuzz, got 'postgresql://db/mbuzz'"
)


def serve(start, *argv, **env):
    """Start a backend and return it with its address."""
    command = start("serve", "--port", 0, *argv, **env)
    line = command.wait_for("mbuzz backend on ")
    command.wait_for("Ctrl-C stops it.")
    return command, re.search(r"http://\S+:\d+", line)[0]


def key_of(command):
    return re.search(r"API key    (sk_test_\w+)", command.out)[1]


def ask(url, path, key=None, value=None):
    body = None if value is None else json.dumps(value).encode()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{url}/api/v1{path}", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def test_first_start_shows_key_and_log_in_and_the_second_does_not(start):
    first, url = serve(start)
    assert "Shown once, keep it:" in first.out
    assert "log-in     owner@localhost  password " in first.out
    assert f"export MBUZZ_API_URL={url}\n" in first.out
    key = key_of(first)
    assert ask(url, "/validate", key)["environment"] == "test"
    first.send(signal.SIGTERM)
    assert first.end() == 0

    second, url = serve(start)

    assert "sk_test_" not in second.out
    assert "password" not in second.out
    assert ask(url, "/validate", key)["valid"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_0_and_nothing_is_lost(start, tmp_path, number):
    command, url = serve(start, "--database", "shop.db")
    key = key_of(command)
    taken = []
    enough = threading.Event()

    def send():
        while True:
            name = f"evt_{len(taken)}"
            item = {"id": name, "event_type": "a", "user_id": "7"}
            try:
                ask(url, "/events", key, {"events": [item]})
            except OSError:
                return
            taken.append(name)
            if len(taken) == 50:
                enough.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert enough.wait(PATIENCE)
    command.send(number)

    assert command.end() == 0
    sender.join(PATIENCE)
    assert command.err == ""
    assert "stopping: finishing what is being written" in command.out
    with sqlite3.connect(tmp_path / "shop.db") as database:
        stored = {name for (name,) in database.execute("SELECT event_id FROM events")}
    database.close()
    assert set(taken) <= stored


def test_options_of_the_first_start_are_the_accounts(start, tmp_path):
    command, url = serve(
        start,
        *["--currency", "jpy", "--timezone", "Asia/Kathmandu", "--email", "a@b.c"],
        MBUZZ_SERVER_DATABASE="elsewhere.db",
    )

    assert "log-in     a@b.c  password " in command.out
    report = ask(url, "/reports/channels", key_of(command))
    assert report["currency"] == "JPY"
    assert report["period"]["timezone"] == "Asia/Kathmandu"
    assert (tmp_path / "elsewhere.db").exists()


def test_limits_of_the_environment_are_kept(start):
    command, url = serve(start, MBUZZ_SERVER_RATE_BURST="7")

    request = urllib.request.Request(
        f"{url}/api/v1/validate", headers={"Authorization": f"Bearer {key_of(command)}"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.headers["X-RateLimit-Limit"] == "7"


def test_check_shows_where_each_value_comes_from_and_no_secret(mbuzz, monkeypatch):
    monkeypatch.setenv("MBUZZ_SERVER_RATE_LIMIT", "7")
    monkeypatch.setenv("MBUZZ_SERVER_METRICS_TOKEN", "t" * 32)

    exit_code, out, err = mbuzz("serve", "--check", "--port", 9000)

    assert (exit_code, err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert rows["port"] == ["9000", "--port"]
    assert rows["rate_limit"] == ["7", "MBUZZ_SERVER_RATE_LIMIT"]
    assert rows["metrics_token"] == ["(set)", "MBUZZ_SERVER_METRICS_TOKEN"]
    assert rows["host"] == ["127.0.0.1", "default"]


def test_variable_that_is_none_is_told(mbuzz, monkeypatch):
    monkeypatch.setenv("MBUZZ_SERVER_RATELIMIT", "7")

    exit_code, out, _ = mbuzz("serve", "--check")

    assert exit_code == 1
    assert (
        "warning: MBUZZ_SERVER_RATELIMIT is no option of the server; "
        "did you mean MBUZZ_SERVER_RATE_LIMIT?\n"
    ) in out


def test_second_signal_stops_at_once(start):
    command, url = serve(start, "--stop-timeout", 600)
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as slow:
        slow.sendall(b"POST /api/v1/events HTTP/1.1\r\n")
        ask(url, "/health")  # so that the server has seen the other one, too
        command.send(signal.SIGTERM)
        command.wait_for("a second signal stops at once")
        command.send(signal.SIGTERM)

        assert command.end() == 128 + signal.SIGTERM


def raw(url, text):
    """Send bytes as they are and return the whole answer."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(text.encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_metrics_tell_of_the_server_itself(start):
    command, url = serve(start)
    ask(url, "/events", key_of(command), {"events": [{"event_type": "a"}]})

    with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()

    numbers = dict(re.findall(r"^(mbuzz_\w+) (\S+)$", text, re.MULTILINE))
    assert float(numbers["mbuzz_open_connections"]) >= 1
    assert float(numbers["mbuzz_waiting_calls"]) == 0
    assert float(numbers["mbuzz_loop_lag_seconds"]) >= 0
    assert float(numbers["mbuzz_database_bytes"]) > 0
    assert 'route="/api/v1/events",status="202"} 1' in text


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_gets_into_the_log(start, log_format):
    secret = "hunter2secret"
    command, url = serve(
        start,
        *["--log-format", log_format, "--log-level", "debug", "--access-log", "all"],
        MBUZZ_SERVER_METRICS_TOKEN=f"{secret}-of-metrics",
    )
    key = key_of(command)
    body = json.dumps({"events": [{"event_type": secret, "user_id": secret}]})
    for method, target in (
        ("POST", f"/api/v1/events?key={secret}"),
        ("POST", f"/api/v1/identify?{secret}"),
        ("POST", "/login"),
        ("GET", f"/{secret}/{key}"),
        ("GET", f"/api/v1/reports/channels?from={secret}"),
        (secret, "/"),
        ("GET", f"{secret} no path"),
    ):
        for authorization in (key, f"sk_test_{secret}", f"{secret}-of-metrics"):
            raw(
                url,
                f"{method} {target} HTTP/1.1\r\nHost: {secret}\r\n"
                f"Authorization: Bearer {authorization}\r\nCookie: a={secret}\r\n"
                f"X-Request-Id: {secret} {secret}\r\nUser-Agent: {secret}\r\n"
                f"X-Forwarded-For: {secret}\r\nReferer: http://{secret}/\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}",
            )
    command.send(signal.SIGTERM)
    assert command.end() == 0

    assert command.err.count("answered") >= 15
    assert secret not in command.err
    assert key not in command.err
    if log_format == "json":
        lines = [json.loads(line) for line in command.err.splitlines()]
        assert {"started", "stopped"} <= {line["event"] for line in lines}


def test_in_process_until_a_signal(mbuzz, tmp_path):
    said = []
    over = threading.Event()

    def stop_when_ready(url):
        while not over.is_set():
            try:
                said.append(ask(url, "/health"))
            except OSError:
                over.wait(0.01)
            else:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    before = signal.getsignal(signal.SIGTERM)
    with free_port() as port:
        url = f"http://127.0.0.1:{port}"
        stopper = threading.Thread(target=stop_when_ready, args=[url])
        stopper.start()
        exit_code, out, err = mbuzz(
            "serve", "--port", port, "--database", tmp_path / "mbuzz.db"
        )
        over.set()
        stopper.join()

    assert (exit_code, err) == (0, "")
    assert said[0]["status"] == "ok"
    assert f"dashboard  http://127.0.0.1:{port}/" in out
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("argv", "exit_code", "sentence"),
    [
        (
            ["--currency", "euro"],
            2,
            "--currency must be a code of three letters, such as USD, got 'euro'",
        ),
        (
            ["--timezone", "Mars/Olympus"],
            2,
            "--timezone must be a name such as Europe/Berlin, got 'Mars/Olympus'",
        ),
        (
            ["--timezone", "../../etc/passwd"],
            2,
            "--timezone must be a name such as Europe/Berlin, got '../../etc/passwd'",
        ),
        (
            ["--timezone", ""],
            2,
            "--timezone must be a name such as Europe/Berlin, got ''",
        ),
        (
            ["--database", "postgresql://db/mbuzz"],
            2,
            POSTGRES,
        ),
        (
            ["--port", 70_000],
            2,
            "--port must be a whole number from 0 to 65535, got '70000'",
        ),
        (
            ["--port", -1],
            2,
            "--port must be a whole number from 0 to 65535, got '-1'",
        ),
    ],
)
def test_bad_option_is_one_sentence(mbuzz, tmp_path, argv, exit_code, sentence):
    found = mbuzz("serve", "--database", tmp_path / "mbuzz.db", *argv)

    assert found == (exit_code, "", f"mbuzz serve: {sentence}\n")


@pytest.mark.parametrize("value", ["lots", "0", "nan", "inf"])
def test_bad_limit_of_the_environment_is_one_sentence(
    mbuzz, monkeypatch, tmp_path, value
):
    monkeypatch.setenv("MBUZZ_SERVER_RATE_LIMIT", value)

    exit_code, out, err = mbuzz("serve", "--database", tmp_path / "mbuzz.db")

    assert (exit_code, out) == (2, "")
    assert re.fullmatch(r"mbuzz serve: .*(RATE_LIMIT|rate_limit).*\n", err)


def test_port_in_use_is_one_sentence(mbuzz, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        found = mbuzz("serve", "--port", port, "--database", tmp_path / "mbuzz.db")

    why = f"port {port} on 127.0.0.1 is in use; choose another with --port"
    assert found == (1, "", f"mbuzz serve: {why}\n")
    assert not (tmp_path / "mbuzz.db").exists(), "the database is not its business"


def test_host_that_is_not_here_is_one_sentence(mbuzz, tmp_path):
    exit_code, _, err = mbuzz(
        "serve", "--host", "192.0.2.1", "--port", 0, "--database", tmp_path / "x.db"
    )

    assert exit_code == 1
    assert err == (
        "mbuzz serve: cannot listen on 192.0.2.1: it is no address of this machine; "
        "choose another with --host\n"
    )


def test_host_that_nobody_knows_is_one_sentence(monkeypatch):
    def refuse(*args):
        raise OSError(socket.EAI_NONAME, "Name or service not known (while ...)")

    monkeypatch.setattr(running.listener, "listen", refuse)

    with pytest.raises(CliError, match=r"no address of this machine; .* --host"):
        running.try_port("stats.invalid", 80, "--port")


def test_port_of_the_system_is_one_sentence(monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(running, "WSGIServer", refuse)

    with pytest.raises(
        CliError, match=r"port 80 on 0\.0\.0\.0 is reserved for the system"
    ):
        running.listen(lambda *_: [], "0.0.0.0", 80, "--port")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing/mbuzz.db", "the folder .*missing does not exist"),
        ("", "unable to open database file"),
    ],
)
def test_database_that_cannot_be_opened_is_one_sentence(mbuzz, tmp_path, name, why):
    exit_code, out, err = mbuzz("serve", "--database", f"{tmp_path}/{name}")

    assert (exit_code, out) == (1, "")
    assert re.fullmatch(
        f"mbuzz serve: cannot use the database .*: {why}; choose a file in .*\n", err
    )


def test_newer_database_is_one_sentence(mbuzz, tmp_path):
    path = tmp_path / "mbuzz.db"
    SqliteStorage(str(path)).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()

    exit_code, _, err = mbuzz("serve", "--database", path)

    assert exit_code == 1
    assert err.startswith(f"mbuzz serve: the database {path} is of schema version 99")
    assert err.endswith("upgrade mbuzz, or use another --database\n")


def test_all_addresses_are_told_as_one_that_can_be_asked(capsys):
    command._announce("http://0.0.0.0:8787", "x.db", None)
    command._announce("http://[::]:8787", "x.db", None)

    out = capsys.readouterr().out
    assert "dashboard  http://127.0.0.1:8787/\n" in out
    assert "dashboard  http://[::1]:8787/\n" in out
