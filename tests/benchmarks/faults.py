"""The tests' fault server in a process of its own, and what is measured through it."""

from __future__ import annotations

import multiprocessing
import os
import ssl
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from tests.benchmarks.raw_sink import KEY

MODES = (
    *("refuse", "black_hole", "half_open", "hang", "hang_unread"),
    *("drip_headers", "drip_body", "drip_second", "drop", "reset", "reset_unread"),
    *("silent_close", "no_keep_alive", "not_tls"),
    *("garbage", "nested", "endless_headers", "huge_body", "broken_chunk"),
    *("redirect", "400", "401", "407", "408", "413", "425"),
    *("429_seconds", "429_date", "500", "502", "503", "504"),
)
# Answers after which nothing is tried again: the spool's dead letters keep the events.
FINAL = {"400", "401", "407", "413", "redirect"}
_OF_NEW_CONNECTIONS = {"hang_unread", "not_tls", "reset_unread"}


def certificate(folder: str) -> tuple[str, str]:
    """Make a certificate for this machine and return the paths of it and its key."""
    cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        f"-keyout {key} -out {cert} -days 2 -subj /CN=localhost "
        "-addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return cert, key


def _serve(
    pipe: Connection, mode: str, tls: tuple[str, str] | None, *, forgetful: bool
) -> None:
    from tests.delivery.fault_server import FaultServer

    server = FaultServer(mode)
    if tls is not None:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(*tls)
    server.requests = deque(maxlen=1)
    if forgetful:
        server.events = deque(maxlen=1)
    pipe.send(server.url.replace("http:", "https:") if tls else server.url)
    while (asked := pipe.recv()) != "end":
        if asked != "arrived":
            if asked in _OF_NEW_CONNECTIONS:
                server.mode = "half_open"  # cuts the connections that there are
            server.mode = asked
            pipe.send(None)
            continue
        with server.changed:
            pipe.send(
                [(item["id"], item["properties"].get("n")) for item in server.events]
            )


class Faults:
    """The other end of a running fault server."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url: str = pipe.recv()

    def _ask(self, what: str) -> object:
        self._pipe.send(what)
        return self._pipe.recv()

    def mode(self, name: str) -> None:
        """Fail in that way from now on."""
        self._ask(name)

    def arrived(self) -> list[tuple[str, int | None]]:
        """Return id and number of every event that was kept, as often as it came."""
        return self._ask("arrived")


@contextmanager
def running(
    mode: str, *, tls: tuple[str, str] | None = None, forgetful: bool = False
) -> Iterator[Faults]:
    """Run a fault server; a *forgetful* one keeps no events, *tls* is a certificate."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(
        target=_serve,
        args=(theirs, mode, tls),
        kwargs={"forgetful": forgetful},
        daemon=True,
    )
    process.start()
    try:
        yield Faults(ours)
    finally:
        ours.send("end")
        process.join(2)
        process.kill()  # threads that hang are what it is for
        process.join()


def replay(folder: str, url: str) -> str:
    """Send what a spool holds, dead letters too, and say how that ended."""
    done = subprocess.run(
        [sys.executable, "-m", "mbuzz", "spool", "replay", "--dead"],
        cwd=Path(__file__).resolve().parents[2],
        env={
            "PATH": os.defpath,
            "MBUZZ_API_KEY": KEY,
            "MBUZZ_API_URL": url,
            "MBUZZ_SPOOL_DIR": folder,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode == 0:
        return "ok"
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return f"failed with {done.returncode}: {said[-1] if said else ''}"[:80]
