"""The end of a process delivers what it tracked, in any way that programs end."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.delivery import life

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

CTRL_C = """
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
signal.raise_signal(signal.SIGINT)
"""
# Modes that leave the client without an answer; what "drip" modes hear is kept.
DEAF = "hang black_hole refuse drip_headers drip_body 503 429_seconds".split()


@pytest.fixture
def run(tmp_path, server):
    return life.runner(tmp_path, server)


# -- ways to end --


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param("", 0, id="end_of_script"),
        pytest.param("sys.exit()", 0, id="sys_exit"),
        pytest.param("sys.exit(3)", 3, id="sys_exit_with_a_code"),
        pytest.param(
            """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
signal.raise_signal(signal.SIGTERM)
""",
            5,
            id="sigterm_handled",
        ),
        pytest.param(
            """
import asyncio

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    stopped = asyncio.create_task(stop.wait())
    signal.raise_signal(signal.SIGTERM)
    await stopped
    track("Second")

stop = asyncio.Event()
asyncio.run(main())
""",
            0,
            id="sigterm_in_an_event_loop",
        ),
    ],
)
def test_an_end_without_flush_delivers(run, server, ending, code):
    ended = run(f'track("First")\nmbuzz.identify("1")\n{ending}')

    assert (ended.code, ended.err) == (code, "")
    assert {"First", "identify"} <= set(life.once(server))


@pytest.mark.parametrize(
    ("ending", "code", "last"),
    [
        ('raise ValueError("of the host")', 1, "ValueError: of the host"),
        (CTRL_C, -signal.SIGINT, "KeyboardInterrupt"),
        ('sys.exit("of the host")', 1, "of the host"),
    ],
    ids=["exception", "ctrl_c", "sys_exit_with_a_text"],
)
def test_the_hosts_own_last_words_stay_the_last(run, server, ending, code, last):
    ended = run(f'track("First")\n{ending}')

    assert ended.code == code
    assert ended.err.splitlines()[-1] == last
    assert ended.err.count("Traceback") <= 1
    assert "mbuzz" not in ended.err
    assert life.once(server) == ["First"]


def test_an_exception_of_a_thread_ends_neither_it_nor_us(run, server):
    ended = run("""
        threading.excepthook = lambda _: None
        thread = threading.Thread(target=lambda: (track("First"), 1 / 0))
        thread.start()
        thread.join()
        track("Second")
    """)

    assert ended.clean
    assert life.once(server) == ["First", "Second"]


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("os._exit(7)", 7),
        ("signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM),
        ("signal.raise_signal(signal.SIGKILL)", -signal.SIGKILL),
    ],
    ids=["os_exit", "sigterm", "sigkill"],
)
def test_an_end_that_runs_no_code_loses_what_was_not_flushed(run, server, ending, code):
    ended = run(f"""
        track("First")
        assert mbuzz.flush(10)
        track("Second")
        {ending}
    """)

    assert (ended.code, ended.err) == (code, "")
    assert life.once(server) == ["First"]


@pytest.mark.parametrize("handled", [True, False], ids=["handled", "default"])
def test_a_signal_from_outside_while_the_host_waits(tmp_path, server, handled):
    code = """
        if sys.argv[2] == "True":
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        track("First")
        print("ready", flush=True)
        threading.Event().wait()
    """
    with life.started(tmp_path, code, server.url, handled) as running:
        assert running.heard() == "ready"
        running.kill(signal.SIGTERM)
        ended = running.end()

    assert (ended.code, ended.err) == (5 if handled else -signal.SIGTERM, "")
    assert life.once(server) == (["First"] if handled else [])


def test_ctrl_c_gets_through_a_flush_that_waits(run, server):
    server.mode = "hang"

    ended = run("""
        track("First")
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            mbuzz.flush(60)
        except KeyboardInterrupt:
            now()
    """)

    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert ended.since < life.EXIT + life.SLACK


# -- calls while the process ends --


@pytest.mark.parametrize("first", ["", 'track("First")'], ids=["new", "used"])
def test_a_thread_that_outlives_main_is_heard(run, server, first):
    ended = run(f"""
        def work():
            threading.main_thread().join()
            track("Second")
            track("Third")

        {first}
        threading.Thread(target=work).start()
    """)

    assert ended.clean
    assert life.once(server) == sorted(
        [*(["First"] if first else []), "Second", "Third"]
    )


def test_a_thread_that_flushes_after_main_gets_an_answer(run, server):
    ended = run("""
        def work():
            threading.main_thread().join()
            track("First")
            print(mbuzz.flush(10))

        threading.Thread(target=work).start()
    """)

    assert ended.clean
    assert ended.out == "True\n"
    assert life.once(server) == ["First"]


REGISTER = """
import atexit

def late():
    track("Late")
    track("Later")

"""


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(
            'atexit.register(late); CONFIGURE; track("First")', id="registered_first"
        ),
        pytest.param(
            'CONFIGURE; atexit.register(late); track("First")', id="in_between"
        ),
        pytest.param(
            'CONFIGURE; track("First"); atexit.register(late)', id="registered_last"
        ),
        pytest.param(
            'CONFIGURE; atexit.register(lambda: track("First")); atexit.register(late)',
            id="nothing_before",
        ),
        pytest.param(
            'atexit.register(late); atexit.register(lambda: track("First")); CONFIGURE',
            id="nothing_before_registered_first",
        ),
        pytest.param(
            'CONFIGURE; track("First"); mbuzz.close(); atexit.register(late)',
            id="after_close",
        ),
    ],
)
def test_exit_handlers_are_heard(run, server, lines):
    lines = lines.replace("CONFIGURE", "mbuzz.configure(strict=True, **OPTIONS)")

    ended = run(REGISTER + lines, preamble=life.PREAMBLE)

    assert ended.clean
    assert life.once(server) == ["First", "Late", "Later"]


@pytest.mark.parametrize("call", ["mbuzz.flush(10)", "mbuzz.close(10)"])
def test_an_exit_handler_may_flush_and_close(run, server, call):
    ended = run(
        f"""
        import atexit
        atexit.register(lambda: (track("Late"), print({call})))
        mbuzz.configure(strict=True, **OPTIONS)
        track("First")
        atexit.register(lambda: print({call}))
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.clean
    assert ended.out == "True\nTrue\n"
    assert life.once(server) == ["First", "Late"]


def test_exit_handlers_together_wait_no_longer_than_one(run, server):
    server.mode = "hang"

    ended = run(
        """
        import atexit
        for _ in range(5):
            atexit.register(lambda: track("Late"))
        mbuzz.configure(strict=True, **OPTIONS)
        track("First")
        now()
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.code == 0
    assert ended.since < life.EXIT + life.SLACK


@pytest.mark.parametrize("used", [True, False], ids=["used", "new"])
def test_a_finalizer_at_the_very_end_is_heard_or_harmless(run, server, used):
    ended = run(f"""
        class Left:
            def __del__(self, track=mbuzz.track):
                track("Late", user_id="1")

        left = [Left()]
        left.append(left)
        if {used}:
            track("First")
            assert mbuzz.flush(10)
    """)

    assert ended.clean
    if used:  # the modules that deliver are there
        assert life.once(server) == ["First", "Late"]
    assert set(life.once(server)) <= {"First", "Late"}


# -- ends while the endpoint is out of order --


@pytest.mark.parametrize("mode", DEAF)
def test_the_end_takes_its_time_at_most_whatever_the_server_does(run, server, mode):
    server.mode = mode

    ended = run("""
        for i in range(20):
            track(f"event_{i}")
        now()
    """)

    assert ended.code == 0
    assert ended.since < life.EXIT + life.SLACK
    assert "Traceback" not in ended.err
    assert "dropped" in ended.err  # never silently
    assert "kkkk" not in ended.err
    assert "event_" not in ended.err


@pytest.mark.parametrize("mode", ["hang", "black_hole"])
def test_the_end_is_as_short_while_the_worker_is_sending(run, server, mode):
    server.mode = mode

    ended = run("""
        mbuzz.conversion("purchase", user_id="1", wait=False)
        mbuzz.flush(0.1)
        wait_until(lambda: mbuzz.stats().in_flight == 1)
        track("Second")
        now()
        sys.exit(3)
    """)

    assert ended.code == 3
    assert ended.since < life.EXIT + life.SLACK
    assert "Traceback" not in ended.err


def test_two_clients_share_the_time_of_the_end(run, server):
    server.mode = "hang"

    ended = run("""
        other = mbuzz.Client(mbuzz.Config(**{**OPTIONS, "batch_size": 7}))
        other.track("Other", user_id="1")
        track("First")
        now()
    """)

    assert ended.code == 0
    assert ended.since < life.EXIT + life.SLACK


def test_an_end_in_sync_mode_is_as_short(run, server):
    server.mode = "hang"

    ended = run(
        """
        mbuzz.configure(strict=True, delivery="sync", timeout=0.3, **OPTIONS)
        mbuzz.track("First", user_id="1")
        now()
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.code == 0
    assert ended.since < life.EXIT + life.SLACK


spooling = pytest.mark.skipif(
    not life.has_option("spool_dir"), reason="this version has no spool"
)


@spooling
@pytest.mark.parametrize("mode", ["hang", "black_hole", "refuse", "503"])
def test_what_the_end_leaves_is_delivered_by_the_next_process(tmp_path, server, mode):
    spool = tmp_path / "spool"
    begin = "mbuzz.configure(strict=True, spool_dir=sys.argv[2], **OPTIONS)\n"
    leave = f"""{begin}
for i in range(20):
    track(f"left_{{i:02}}")
mbuzz.identify("1")
now()
"""
    come_back = f"""{begin}
track("new")
mbuzz.flush(10)
sys.stdin.readline()
"""
    server.mode = mode
    with life.started(
        tmp_path, leave, server.url, spool, preamble=life.PREAMBLE
    ) as running:
        first = running.end()
    server.mode = "ok"
    expected = sorted([*(f"left_{i:02}" for i in range(20)), "identify", "new"])
    with life.started(
        tmp_path, come_back, server.url, spool, preamble=life.PREAMBLE
    ) as running:
        server.wait_for(lambda: len(server.events) >= len(expected))
        running.say()
        second = running.end()

    assert (first.code, first.since < life.EXIT + life.SLACK) == (0, True)
    assert "dropped" not in first.err
    assert second.clean
    assert life.once(server) == expected


# -- before the first call --

TRACES = """
import json, logging, threading, warnings

def traces():
    return {
        "threads": [len(os.listdir("/proc/self/task")), threading.active_count()],
        "files": sorted(os.listdir("/proc/self/fd")),
        "environment": dict(os.environ),
        "signals": [
            str(signal.getsignal(number)) for number in signal.valid_signals()
        ],
        "logging": [
            repr(logging.root.handlers), logging.root.level,
            repr(logging.getLogger("mbuzz").handlers),
            logging.getLogger("mbuzz").level,
        ],
        "warnings": repr(warnings.filters),
        "hooks": [str(sys.excepthook), str(threading.excepthook), repr(sys.path)],
        "folder": sorted(os.listdir(".")),
    }
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_neither_import_nor_configure_leaves_a_trace(run, server):
    ended = run(
        f"""
import os, signal, sys
{TRACES}
before = traces()
import mbuzz
import mbuzz.client, mbuzz.delivery.http_transport
assert traces() == before, "import"
mbuzz.configure(
    strict=True, api_key="sk_test_" + "k" * 32, api_url=sys.argv[1], network=True
)
assert mbuzz.stats().accepted == 0
assert mbuzz.flush() and mbuzz.close()
assert traces() == before, "configure"
mbuzz.track("First", user_id="1")
after = traces()
for kind in "environment signals logging warnings hooks folder".split():
    assert after[kind] == before[kind], kind
assert after["threads"] <= [2, 2]
""",
        preamble="",
    )

    assert ended.clean
    assert life.once(server) == ["First"]


def test_an_end_that_tracked_nothing_opens_nothing(run, server):
    ended = run("now()")

    assert ended.clean
    assert ended.since < life.SLACK
    assert server.connections == 0
