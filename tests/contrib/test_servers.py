"""Real servers: on each of them one small site, visitors apart, and a clean end."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from tests.delivery import life
from tests.delivery.fault_server import FaultServer
from tests.processes import PATIENCE, a_server, free_port, unmeasured
from tests.web.visits import AGENT, NAVIGATION, RETURNING, VISITOR

pytest.importorskip("fcntl", reason="servers of POSIX")

VISITORS = 12

CONFIGURED = """
import io
import os

import mbuzz

mbuzz.configure(
    strict=True, api_key="sk_test_" + "k" * 32, api_url=os.environ["SINK"],
    network=True, batch_interval=float(os.environ.get("INTERVAL", "0.05")),
)


def whoever_it_was(before):
    mbuzz.track("Seen")
    after = mbuzz.visitor_id() or "nobody"
    return after.encode() if after == before else b"somebody else"
"""
LATER = """
import anyio


async def body():
    before = mbuzz.visitor_id()
    await anyio.sleep(0.01)  # others are served meanwhile
    yield whoever_it_was(before)


"""
SITES = {
    "wsgi": CONFIGURED
    + """
import time

from mbuzz.contrib.wsgi import MbuzzMiddleware


def body():
    before = mbuzz.visitor_id()
    time.sleep(0.01)  # others are served meanwhile
    yield b""
    yield whoever_it_was(before)


class Report:
    "A file that is in no folder, without a descriptor."

    def __init__(self):
        self._file = io.BytesIO(b"r" * 100_000)

    def read(self, size=-1):
        return self._file.read(size)


def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html")])
    if environ["PATH_INFO"] == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if environ["PATH_INFO"] == "/report":
        return environ["wsgi.file_wrapper"](Report())
    return body()


app = MbuzzMiddleware(site)
""",
    "asgi": CONFIGURED
    + LATER
    + """
from mbuzz.contrib.asgi import MbuzzMiddleware


async def site(scope, receive, send):
    if scope["type"] == "lifespan":
        for name in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{name}"
            await send({"type": f"lifespan.{name}.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": mbuzz.visitor_id() or "nobody"})
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for chunk in body():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body"})


app = MbuzzMiddleware(site)
""",
    "django": CONFIGURED
    + LATER
    + """
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import StreamingHttpResponse
from django.urls import re_path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="for tests only", ROOT_URLCONF=__name__,
    MIDDLEWARE=["mbuzz.contrib.django.MbuzzMiddleware"],
)


async def view(request):
    return StreamingHttpResponse(body(), content_type="text/html")


urlpatterns = [re_path("", view)]
app = get_asgi_application()
""",
}


@dataclass(frozen=True, kw_only=True)
class Server:
    """How a server is started and stopped."""

    command: tuple[str, ...]
    ready: str  # what it logs when it serves, with its address
    site: str = "asgi"
    needs: str = ""  # the package
    stop: int = signal.SIGTERM
    ends: tuple[int, ...] = (0,)
    websockets: bool = False
    files: bool = False


GUNICORN = (
    "-m",
    "gunicorn",
    "--bind=127.0.0.1:0",
    "--workers=1",
    "site_under_test:app",
)
HYPERCORN = ("-m", "hypercorn", "--bind=127.0.0.1:0", "site_under_test:app")
GRANIAN = ("-m", "granian", "--host=127.0.0.1", "--port={port}", "--workers=1")
ADDRESS = r"(127\.0\.0\.1:[1-9]\d*)(?=\D)"  # all of it


def gunicorn(*options: str, needs: str = "gunicorn") -> Server:
    """Return one with workers of some kind."""
    return Server(
        command=(*GUNICORN, *options),
        ready=rf"Listening at: http://{ADDRESS}",
        site="wsgi",
        needs=needs,
        files=True,
    )


SERVERS = {
    "gunicorn-sync": gunicorn(),
    "gunicorn-gthread": gunicorn("--worker-class=gthread", "--threads=8"),
    "gunicorn-gevent": gunicorn("--worker-class=gevent", needs="gevent"),
    "waitress": Server(
        command=("-m", "waitress", "--listen=127.0.0.1:0", "site_under_test:app"),
        ready=rf"Serving on http://{ADDRESS}",
        site="wsgi",
        needs="waitress",
        stop=signal.SIGINT,
        files=True,
    ),
    "uwsgi": Server(
        command=(
            *("-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])"),
            *("--http-socket=127.0.0.1:0", "--master", "--die-on-term", "--need-app"),
            *("--enable-threads", "--threads=4", "--module=site_under_test:app"),
            *("--lazy-apps", "--processes=1"),
        ),
        ready=rf"bound to TCP address {ADDRESS}",
        site="wsgi",
        needs="pyuwsgi",
        files=True,
    ),
    "uvicorn": Server(
        command=("-m", "uvicorn", "--port=0", "site_under_test:app"),
        ready=rf"running on http://{ADDRESS}",
        needs="uvicorn",
        ends=(0, -signal.SIGTERM),  # it passes the signal on
        websockets=True,
    ),
    "hypercorn-asyncio": Server(
        command=HYPERCORN,
        ready=rf"Running on http://{ADDRESS}",
        needs="hypercorn",
        websockets=True,
    ),
    "hypercorn-trio": Server(
        command=(*HYPERCORN, "--worker-class=trio"),
        ready=rf"Running on http://{ADDRESS}",
        needs="trio",
        websockets=True,
    ),
    "daphne": Server(
        command=("-m", "daphne", "-b127.0.0.1", "-p0", "site_under_test:app"),
        ready=rf"Listening on TCP address {ADDRESS}",
        site="django",
        needs="daphne",
    ),
    "granian-asgi": Server(
        command=(*GRANIAN, "--interface=asgi", "site_under_test:app"),
        ready=r"Started worker-1",
        needs="granian",
        websockets=True,
    ),
    "granian-wsgi": Server(
        command=(*GRANIAN, "--interface=wsgi", "site_under_test:app"),
        ready=r"Started worker-1",
        site="wsgi",
        needs="granian",
    ),
}


@contextmanager
def running(
    server: Server, folder: Path, sink: FaultServer, **more: str
) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """Serve the site; yield its address, its process and its log."""
    (folder / "site_under_test.py").write_text(SITES[server.site], "utf-8")
    env = unmeasured(SINK=sink.url, **more)
    with ExitStack() as stack:
        port = stack.enter_context(free_port())  # for who does not say which it took
        command = tuple(word.format(port=port) for word in server.command)
        found, process, log = stack.enter_context(
            a_server(command, folder, env, server.ready)
        )
        address = found[1] if found.groups() else f"127.0.0.1:{port}"
        yield address, process, log


def visit(site: str) -> tuple[str, str]:
    """Open two pages as one new visitor; return him and his session."""
    with requests.Session() as browser:
        browser.headers.update(NAVIGATION)
        landing = browser.get(f"{site}/?utm_source=x", timeout=PATIENCE)
        visitor, session = (
            browser.cookies[f"_mbuzz_{kind}"] for kind in ("vid", "sid")
        )
        following = browser.get(f"{site}/next", timeout=PATIENCE)

        assert (landing.text, following.text) == (visitor, visitor)
        assert browser.cookies.get_dict() == {
            "_mbuzz_vid": visitor,
            "_mbuzz_sid": session,
        }
        return visitor, session


@pytest.mark.parametrize("name", SERVERS)
def test_visitors_are_kept_apart_and_all_of_them_arrive(name, tmp_path, sink):
    server = SERVERS[name]
    if importlib.util.find_spec(server.needs) is None:
        pytest.skip(f"{server.needs} is not installed")

    with running(server, tmp_path, sink) as (address, process, log):
        site = f"http://{address}"
        alone = visit(site)
        with ThreadPoolExecutor(VISITORS) as pool:
            visits = {alone, *pool.map(visit, [site] * (VISITORS - 1))}
        if server.files:
            check_files(site)
        if server.websockets:
            assert talk(address, RETURNING) == VISITOR
            assert talk(address, "theme=dark") == "nobody"
        process.send_signal(server.stop)
        code = process.wait(PATIENCE)
        said = log.read_text("utf-8", "replace")

    assert len({visitor for visitor, _ in visits}) == VISITORS
    assert code in server.ends
    assert "Traceback" not in said
    assert life.once(sink) == sorted(["Seen", "page_view"] * 2 * VISITORS)
    assert {
        (event["visitor_id"], event["session_id"]) for event in sink.events
    } == visits
    for visitor, _ in visits:
        views = [
            event["properties"]["url"]
            for event in sink.events
            if (event["event_type"], event["visitor_id"]) == ("page_view", visitor)
        ]
        assert sorted(views) == [f"{site}/?utm_source=x", f"{site}/next"]


def test_uvicorn_delivers_before_it_has_itself_killed(tmp_path, sink):
    with running(SERVERS["uvicorn"], tmp_path, sink, INTERVAL="3600") as served:
        address, process, _ = served
        visit(f"http://{address}")
        process.terminate()
        process.wait(PATIENCE)

    assert life.once(sink) == sorted(["Seen", "page_view"] * 2)


def talk(address: str, cookie: str) -> str:
    """Open a websocket and return what it says; no cookie may be set on it."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as wire:
        peer = WSConnection(ConnectionType.CLIENT)
        headers = [(b"cookie", cookie.encode()), (b"user-agent", AGENT.encode())]
        asked = Request(host=address, target="/ws", extra_headers=headers)
        wire.sendall(peer.send(asked))
        while data := wire.recv(65_536):
            peer.receive_data(data)
            for event in peer.events():
                if isinstance(event, AcceptConnection):
                    names = {bytes(name).lower() for name, _ in event.extra_headers}
                    assert b"set-cookie" not in names
                elif isinstance(event, TextMessage):
                    return event.data
    raise AssertionError("it said nothing")


def check_files(site: str) -> None:
    """Assert that files still go the server's own way."""
    plain = {"User-Agent": "curl/8", "Accept": "*/*"}
    file = requests.get(f"{site}/file", headers=plain, timeout=PATIENCE)
    report = requests.get(f"{site}/report", headers=plain, timeout=PATIENCE)

    assert file.text == SITES["wsgi"]
    assert report.content == b"r" * 100_000
