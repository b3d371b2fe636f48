"""A client's delivery: made when needed, anew after a close, ended with the process."""

import sys
import threading
from os import getpid

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery import lifetime
from mbuzz.delivery.lifetime import Lifetime
from tests.delivery import life
from tests.delivery.fault_server import PATIENCE

not_here = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


class Delivery:
    """As much of a delivery as its lifetime knows."""

    def __init__(self, closing=lambda timeout: True):
        self.pid = getpid()
        self.closed = False
        self.flushed = []
        self.timeouts = []
        self._closing = closing

    def flush(self, timeout):
        self.flushed.append(timeout)
        return True

    def close(self, timeout):
        self.closed = True
        self.timeouts.append(timeout)
        return self._closing(timeout)


@pytest.fixture
def made():
    return []


@pytest.fixture
def make(made, monkeypatch):
    """Return a function that makes lifetimes; whom the real end knows is let be."""
    monkeypatch.setattr(lifetime, "_used", set())

    def lifetimes(closing=lambda timeout: True):
        def deliveries():
            made.append(Delivery(closing))
            return made[-1]

        return Lifetime(deliveries)

    return lifetimes


@pytest.fixture
def leaving(monkeypatch):
    """Undo that the process is ending."""
    monkeypatch.setattr(lifetime, "leave_by", None)


# -- handing out --


def test_a_client_that_was_only_made_has_no_delivery(make, made):
    alive = make()

    assert alive.latest is None
    assert alive.own is None
    assert alive.close(1.0) is True
    assert made == []
    assert lifetime._used == set()


def test_the_first_event_makes_the_delivery_and_others_use_it(make, made):
    alive = make()

    first, second = alive.delivery(), alive.delivery()

    assert first is second is alive.latest is alive.own
    assert made == [first]
    assert lifetime._used == {alive}


def test_after_a_close_there_is_a_new_one(make, made):
    alive = make()
    first = alive.delivery()

    assert alive.close(1.5) is True
    assert alive.own is first  # for its counts
    assert lifetime._used == set()
    second = alive.delivery()

    assert first.timeouts == [1.5]
    assert made == [first, second]
    assert alive.own is second
    assert lifetime._used == {alive}


def test_a_close_says_whether_all_was_settled(make):
    alive = make(closing=lambda timeout: False)
    alive.delivery()

    assert alive.close(0.0) is False


def test_the_delivery_of_another_process_is_neither_used_nor_closed(make, made):
    alive = make()
    parents = alive.delivery()
    parents.pid = -1

    assert alive.own is None
    assert alive.close(1.0) is True
    own = alive.delivery()

    assert own is not parents
    assert alive.own is own
    assert parents.timeouts == []
    assert made == [parents, own]


@not_here
@pytest.mark.parametrize("children", [1, 8], ids=["one_thread", "threads"])
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_a_lock_that_a_parent_held_does_not_reach_the_child(run_python, used, children):
    out = run_python(
        """
import os, signal, threading, time
from mbuzz.delivery.lifetime import Lifetime


class Delivery:
    def __init__(self):
        self.pid = os.getpid()
        self.closed = False

    def close(self, timeout):
        self.closed = True
        return True


parent = os.getpid()
making, made, slow = threading.Event(), [], sys.argv[1] == "False"


def make():
    if os.getpid() == parent and slow:
        making.set()
        time.sleep(60)
    if os.getpid() != parent:
        time.sleep(0.01)
    made.append(os.getpid())
    return Delivery()


alive = Lifetime(make)
if not slow:
    alive.delivery()
    alive.close(0)
    slow = True
threading.Thread(target=alive.delivery, daemon=True).start()
making.wait(20)
child = os.fork()
if child == 0:
    signal.alarm(20)
    threads = [threading.Thread(target=alive.delivery) for _ in range(int(sys.argv[2]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(made.count(os.getpid()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
""",
        used,
        children,
        options=("-W", "ignore::DeprecationWarning"),
    )

    assert out == "1\n"


def test_threads_that_come_first_together_make_one(made, monkeypatch):
    monkeypatch.setattr(lifetime, "_used", set())
    begin = threading.Barrier(8)

    def slowly():
        threading.Event().wait(0.01)
        made.append(Delivery())
        return made[-1]

    alive = Lifetime(slowly)
    found = []

    def ask():
        begin.wait(PATIENCE)
        found.append(alive.delivery())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert len(made) == 1
    assert found == made * 8


def test_making_it_may_track(monkeypatch):
    monkeypatch.setattr(lifetime, "_used", set())
    inner = []

    def nested():
        if not inner:
            inner.append(None)
            inner.append(alive.delivery())
        return Delivery()

    alive = Lifetime(nested)

    assert alive.delivery() is alive.latest


# -- the end --


def test_the_end_gives_each_client_its_share_of_what_is_left(make, leaving):
    timeouts = []

    def quick(timeout):
        timeouts.append(timeout)
        return True

    for _ in range(4):
        make(quick).delivery()

    lifetime._leave()

    whole = lifetime._EXIT_TIMEOUT
    assert len(timeouts) == 4
    assert timeouts == sorted(timeouts)  # what one leaves is the others'
    assert whole / 8 < timeouts[0] <= whole / 4
    assert timeouts[-1] <= whole


def test_together_they_take_no_longer_than_one(make, leaving, monkeypatch):
    monkeypatch.setattr(lifetime, "_EXIT_TIMEOUT", 0.2)

    def slow(timeout):
        threading.Event().wait(timeout)
        return False

    for _ in range(5):
        make(slow).delivery()
    started = SYSTEM_CLOCK.monotonic()

    lifetime._leave()

    assert SYSTEM_CLOCK.monotonic() - started < 2.0


def test_nobody_is_given_less_than_nothing(make, leaving, monkeypatch):
    monkeypatch.setattr(lifetime, "_EXIT_TIMEOUT", 0.0)
    timeouts = []
    for _ in range(3):
        make(timeouts.append).delivery()

    lifetime._leave()

    assert timeouts == [0.0, 0.0, 0.0]


def test_who_was_closed_or_never_used_is_let_be(make, made, leaving):
    make()
    closed = make()
    closed.delivery()
    closed.close(1.0)

    lifetime._leave()

    assert [delivery.timeouts for delivery in made] == [[1.0]]


def test_what_comes_after_the_end_is_sent_at_once(make, made, leaving):
    alive = make()
    alive.delivery()
    alive.after_submission()
    before = [*made[0].flushed, *made[0].timeouts]

    lifetime._leave()
    alive.delivery()
    alive.after_submission()

    _, late = made
    waits = [*late.flushed, *late.timeouts]
    assert before == []
    assert len(waits) == 1
    assert 0 < waits[0] <= lifetime._EXIT_TIMEOUT
    assert lifetime.leaving()


def test_nothing_is_leaving_yet():
    assert lifetime.leaving() is False
    assert lifetime.leave_by is None


# -- the same in processes of their own --


@not_here
def test_a_client_that_was_only_made_does_nothing_at_exit(tmp_path, server):
    ended = life.runner(tmp_path, server)("""
        other = mbuzz.Client(mbuzz.Config(**{**OPTIONS, "batch_size": 7}))
        assert mbuzz.health() and mbuzz.flush() and other.flush() and other.close()
        assert threading.active_count() == 1
        now()
    """)

    assert ended.clean
    assert ended.since < life.SLACK
    assert server.connections == 0


@not_here
def test_the_first_event_of_all_may_come_in_an_exit_handler(tmp_path, server):
    ended = life.runner(tmp_path, server)(
        """
        import atexit
        atexit.register(lambda: track("Early"))  # is called last
        mbuzz.configure(strict=True, **OPTIONS)
        atexit.register(lambda: track("Late"))  # is called first
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.clean
    assert life.once(server) == ["Early", "Late"]


@not_here
@pytest.mark.parametrize(
    "before",
    ["", "import mbuzz", "import mbuzz.client", "import mbuzz; mbuzz.health()"],
    ids="nothing import import_of_the_client not_configured".split(),
)
@pytest.mark.parametrize("ending", ["", "sys.exit()"], ids=["end", "sys_exit"])
def test_even_the_client_may_be_made_in_an_exit_handler(
    server, run_python, before, ending
):
    out = run_python(
        f"""
import atexit
import logging
logging.disable()
{before}


def late():
    import mbuzz

    mbuzz.configure(
        strict=True, api_key="sk_test_" + "k" * 32, api_url=sys.argv[1], network=True
    )
    print(bool(mbuzz.track("Late", user_id="1")))


atexit.register(late)
{ending}
""",
        server.url,
    )

    assert out == "True\n"
    assert life.once(server) == ["Late"]


@not_here
def test_a_client_of_a_thread_that_outlives_main_has_its_time(server, run_python):
    run_python(
        """
import threading


def work():
    threading.main_thread().join()
    import mbuzz

    mbuzz.configure(
        strict=True, api_key="sk_test_" + "k" * 32, api_url=sys.argv[1], network=True,
        batch_interval=60,
    )
    for number in range(50):
        assert mbuzz.track(f"Late {number}", user_id="1")


threading.Thread(target=work).start()
""",
        server.url,
    )

    assert len(life.once(server)) == 50
    assert len(server.requests) == 1  # in one batch, by the worker or at the end


@not_here
def test_two_clients_are_both_heard_at_the_end(tmp_path, server):
    ended = life.runner(tmp_path, server)("""
        others = [mbuzz.Client(mbuzz.Config(**OPTIONS)) for _ in range(3)]
        for number, other in enumerate(others):
            assert other.track(f"Other {number}", user_id="1")
        track("First")
    """)

    assert ended.clean
    assert life.once(server) == ["First", "Other 0", "Other 1", "Other 2"]


@not_here
def test_one_client_that_hangs_leaves_time_for_another(tmp_path, server):
    server.mode = "ok"
    ended = life.runner(tmp_path, server)("""
        import socket
        deaf = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        others = [mbuzz.Client(mbuzz.Config(**{**OPTIONS, "api_url": url}))
                  for _ in range(3)]
        for other in others:
            assert other.track("Lost", user_id="1")
        track("First")
        now()
    """)

    assert ended.code == 0
    assert ended.since < life.EXIT + life.SLACK
    assert life.once(server) == ["First"]
