"""Hosts that fork, patch and close what they did not open: servers and daemons."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.delivery import life
from tests.processes import a_server, environment, wait_for

pytest.importorskip("fcntl", reason="hosts of POSIX")

gevent = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed"
)
uwsgi = pytest.mark.skipif(
    importlib.util.find_spec("pyuwsgi") is None, reason="uWSGI is not installed"
)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def run(tmp_path, server):
    return life.runner(tmp_path, server)


# -- gunicorn and uWSGI: one application, one event before the fork --

SHOP = """
import os, time
import mbuzz

mbuzz.configure(
    strict=True, api_key="sk_test_" + "k" * 32, api_url=os.environ["SINK"],
    network=True, batch_interval=float(os.environ.get("INTERVAL", "60")),
)
assert mbuzz.track("Start", user_id=str(os.getpid()))


def application(environ, start_response):
    name = environ["QUERY_STRING"]
    result = mbuzz.track(name, user_id=str(os.getpid()))
    time.sleep(0.01)  # so that more than one worker has to answer
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {result.success}".encode()]
"""


@contextmanager
def serving(
    folder: Path, sink: str, command: tuple[str, ...], ready: str, **more: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve the shop; yield its address and process, which the test ends itself."""
    (folder / "shop.py").write_text(SHOP, "utf-8")
    env = environment(SINK=sink, **more)
    with a_server(command, folder, env, ready) as (found, process, _):
        yield found[1], process


def visit(url: str, workers: int) -> set[str]:
    """Send requests until *workers* processes have answered; return their names."""
    pids: set[str] = set()
    names: set[str] = set()

    def ask(name: str) -> None:
        answer = requests.get(f"{url}/?{name}", timeout=10.0)
        pid, success = answer.text.split()
        assert success == "True"
        pids.add(pid)
        names.add(name)

    def enough() -> bool:
        list(pool.map(ask, [f"visit_{len(names) + i:03}" for i in range(8)]))
        return len(pids) >= workers and len(names) >= 20

    with ThreadPoolExecutor(4) as pool:
        wait_for(enough, "an answer of each worker")
    return names


GUNICORN = r"Listening at: (http://\S+)"


@pytest.mark.parametrize(
    ("options", "loaded"),
    [
        pytest.param(("--preload", "--workers=2"), 1, id="preload"),
        pytest.param(("--workers=2",), 2, id="sync"),
        pytest.param(
            ("--preload", "--workers=2", "--worker-class=gthread", "--threads=4"),
            1,
            id="gthread",
        ),
        pytest.param(
            ("--preload", "--workers=2", "--worker-class=gevent"),
            1,
            id="gevent_preload",
            marks=gevent,
        ),
        pytest.param(
            ("--workers=2", "--worker-class=gevent"), 2, id="gevent", marks=gevent
        ),
    ],
)
def test_gunicorn(tmp_path, server, options, loaded):
    command = ("-m", "gunicorn", "--bind=127.0.0.1:0", *options, "shop:application")

    with serving(tmp_path, server.url, command, GUNICORN) as (url, process):
        names = visit(url, workers=2)
        process.send_signal(signal.SIGTERM)
        code = process.wait(life.PATIENCE)

    assert code == 0
    assert life.once(server) == sorted([*["Start"] * loaded, *names])


def test_gunicorn_delivers_while_it_serves(tmp_path, server):
    command = ("-m", "gunicorn", "--bind=127.0.0.1:0", "--preload", "--workers=2")
    command = (*command, "shop:application")

    with serving(tmp_path, server.url, command, GUNICORN, INTERVAL="0.05") as (url, _):
        names = visit(url, workers=2)
        assert server.wait_for(lambda: len(server.events) == len(names) + 1)

    assert life.once(server) == sorted(["Start", *names])


def test_gunicorn_workers_that_are_replaced_deliver(tmp_path, server):
    command = (
        *("-m", "gunicorn", "--bind=127.0.0.1:0", "--preload", "--workers=1"),
        *("--max-requests=6", "shop:application"),
    )

    with serving(tmp_path, server.url, command, GUNICORN) as (url, process):
        names = visit(url, workers=3)
        process.send_signal(signal.SIGTERM)
        process.wait(life.PATIENCE)

    assert life.once(server) == sorted(["Start", *names])


def test_gunicorn_ends_in_time_while_the_endpoint_hangs(tmp_path, server):
    server.mode = "hang"
    command = ("-m", "gunicorn", "--bind=127.0.0.1:0", "--preload", "--workers=2")
    command = (*command, "shop:application")

    with serving(tmp_path, server.url, command, GUNICORN, INTERVAL="0.05") as (
        url,
        process,
    ):
        visit(url, workers=2)
        process.send_signal(signal.SIGTERM)
        # the workers first, at the same time, then the master
        code = process.wait(2 * (life.EXIT + life.SLACK))

    assert code == 0


UWSGI = (
    *("-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])"),
    *("--http-socket=127.0.0.1:0", "--master", "--processes=2", "--die-on-term"),
    *("--module=shop", "--need-app"),
)
BOUND = r"bound to TCP address (127\S+)"


@uwsgi
@pytest.mark.parametrize("lazy", [True, False], ids=["lazy", "preforked"])
@pytest.mark.parametrize("threads", [True, False], ids=["threads", "no_threads"])
def test_uwsgi(tmp_path, server, lazy, threads):
    command = UWSGI
    command += ("--lazy-apps",) * lazy + ("--enable-threads",) * threads

    with serving(tmp_path, server.url, command, BOUND) as (address, process):
        names = visit(f"http://{address}", workers=2)
        # A worker that is still closing a request, up to the line in its log, would
        # end without Python's `atexit`.
        log = tmp_path / "server.log"
        wait_for(lambda: log.read_text("utf-8").count("GET /") == len(names), "the log")
        process.send_signal(signal.SIGTERM)
        process.wait(life.PATIENCE)

    arrived = life.once(server)
    # What the master itself had tracked when it forked is sent where it ends like
    # a Python program, and uWSGI's master does not.
    assert [name for name in arrived if name != "Start"] == sorted(names)
    assert arrived.count("Start") <= (2 if lazy else 1)


@uwsgi
@pytest.mark.parametrize("threads", [True, False], ids=["threads", "no_threads"])
def test_uwsgi_delivers_while_it_serves(tmp_path, server, threads):
    command = UWSGI + ("--enable-threads",) * threads

    with serving(tmp_path, server.url, command, BOUND, INTERVAL="0.05") as (address, _):
        names = visit(f"http://{address}", workers=2)
        # Without threads the work of one call may be left to the next one.
        heard = len(names) - (0 if threads else 4)
        server.wait_for(lambda: len(set(server.names) & names) >= heard)

    assert len(set(life.once(server)) & names) >= heard


# -- gevent --

PATCH = "from gevent import monkey; monkey.patch_all()\n"
GREENLETS = """
import gevent

def work(number):
    for i in range(50):
        track(f"event_{number}_{i:02}")
        if i % 10 == 0:
            gevent.sleep(0)

started = [gevent.spawn(work, number) for number in range(4)]
gevent.joinall(started, raise_error=True)
FLUSH
"""
SETUPS = {
    "patched_before_import": PATCH + life.CONFIGURED,
    "patched_after_import": life.PREAMBLE
    + PATCH
    + "mbuzz.configure(strict=True, **OPTIONS)\n",
    "patched_after_configure": life.CONFIGURED + PATCH,
    "not_patched": life.CONFIGURED,
    "patched_but_threads": life.PREAMBLE
    + PATCH.replace("all()", "all(thread=False)")
    + "mbuzz.configure(strict=True, **OPTIONS)\n",
}
# gevent looks names up in a pool of threads, and none can start at the end.
ENDINGS = [(setup, "assert mbuzz.flush(10)") for setup in SETUPS]
ENDINGS += [(setup, "") for setup in SETUPS if setup != "patched_but_threads"]


@gevent
@pytest.mark.parametrize(
    ("setup", "ending"),
    ENDINGS,
    ids=[f"{setup}-{'flush' if ending else 'exit'}" for setup, ending in ENDINGS],
)
def test_greenlets_that_track(run, server, setup, ending):
    ended = run(GREENLETS.replace("FLUSH", ending), preamble=SETUPS[setup])

    assert ended.clean, ended.err
    assert life.once(server) == [
        f"event_{number}_{i:02}" for number in range(4) for i in range(50)
    ]


@gevent
@pytest.mark.parametrize("setup", ["patched_before_import", "patched_after_import"])
def test_greenlets_go_on_while_the_endpoint_hangs(run, server, setup):
    server.mode = "hang"

    ended = run(
        """
import gevent

beats = []

def heart():
    while True:
        beats.append(time.monotonic())
        gevent.sleep(0.02)

beating = gevent.spawn(heart)
gevent.sleep(0.1)
started = time.monotonic()
track("First")
assert not mbuzz.flush(2.0)
took = time.monotonic() - started
beating.kill()
pauses = [after - before for before, after in zip(beats, beats[1:])]
print(max(pauses), took, flush=True)
now()
""",
        preamble=SETUPS[setup],
    )

    assert ended.code == 0
    assert "Traceback" not in ended.err
    longest, took = map(float, ended.out.split()[:2])
    assert longest < 1.5  # the others run while one greenlet waits
    assert took < 2.0 + life.SLACK
    assert ended.since < life.EXIT + life.SLACK


@gevent
def test_a_fork_of_gevent(run, server):
    ended = run(
        """
track("Parent")
child = os.fork()
if child == 0:
    track("Child")
    assert mbuzz.flush(10)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
        preamble=SETUPS["patched_before_import"],
    )

    assert ended.clean, ended.err
    assert life.once(server) == ["Child", "Parent"]


# -- daemons: programs that close every file, ours among them --

DETACH = """
def detach():
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.closerange(3, 256)
"""
NOTHING = """
def detach():
    os.closerange(3, 256)
"""


@linux
@pytest.mark.parametrize("way", [DETACH, NOTHING], ids=["daemon", "same_process"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_a_files_number_that_was_ours_is_the_hosts(tmp_path, run, server, way, times):
    """A closed socket's number goes to the next file that anybody opens."""
    ended = run(
        f"""
{way}
import gc, socket

track("Before")
assert mbuzz.flush(10)
for turn in range({times}):
    detach()
    files = [open(f"host_{{turn}}_{{n}}.txt", "w+") for n in range(4)]
    pairs = [socket.socketpair() for _ in range(2)]
    track(f"After {{turn}}")
    gc.collect()
    assert mbuzz.flush(10)
    track(f"Again {{turn}}")
    assert mbuzz.flush(10)
    for file in files:
        file.write("of the host")
        file.close()
    for near, far in pairs:
        near.sendall(b"of the host")
        assert far.recv(100) == b"of the host"
        near.setblocking(False)
        try:
            raise SystemExit(f"bytes of somebody: {{near.recv(100)!r}}")
        except BlockingIOError:
            pass
        near.close()
        far.close()
print("done", flush=True)
"""
    )

    assert ended.err == ""
    assert "done" in ended.out
    for file in tmp_path.glob("host_*.txt"):
        assert file.read_text() == "of the host", file.name
    expected = [
        f"{word} {turn}" for word in ("After", "Again") for turn in range(times)
    ]
    assert life.once(server) == sorted(["Before", *expected])


@linux
@pytest.mark.parametrize("mode", ["ok", "hang"])
def test_a_daemon_that_detaches_while_events_wait(run, server, mode):
    server.mode = mode
    ended = run(
        f"""
{DETACH}
track("Of the parent, which ends without a word")
mbuzz.flush(0.2) if {mode == "hang"} else mbuzz.flush(10)
detach()
files = [open(f"host_{{n}}.txt", "w+") for n in range(4)]
track("Daemon")
for file in files:
    file.write("of the host")
    file.close()
now()
"""
    )

    assert ended.since < life.EXIT + life.SLACK
    assert "Traceback" not in ended.err
    assert "Errno" not in ended.err
    if mode == "ok":
        assert "Daemon" in life.once(server)


@linux
def test_closed_standard_streams_harm_nobody(run, server):
    ended = run("""
        sys.stdout.flush()
        os.closerange(0, 3)
        track("First")
        assert mbuzz.flush(10)
        track("Second")
    """)

    assert ended.code == 0
    assert life.once(server) == ["First", "Second"]
