"""What the SDK promises about time, whatever is wrong with the network."""

import socket
import threading

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery import resolver
from tests.delivery import life
from tests.delivery.conftest import adds_up
from tests.delivery.fault_server import PATIENCE

# The ssl of Python 3.11 leaves a socket that is reset at the wrong moment to the
# collector, which closes it with a word; one that was connected is told of as ever.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:unclosed <ssl\.SSLSocket[^>]*laddr=[^>a-z]*>:ResourceWarning"
)

SLACK = 2.0  # seconds that a busy machine may add
INSTANT = 1.0  # seconds; microseconds, but for a busy machine and its disk
LONG = 30.0  # seconds, far beyond every deadline here

# What a server does that is reached, and what a network does.
PLAIN = (
    "refuse black_hole half_open hang hang_unread reset reset_unread silent_close "
    "drip_headers drip_body drip_second drop broken_chunk endless_headers huge_body "
    "garbage nested 500 503 429_seconds"
).split()
SECURE = "hang_unread not_tls reset_unread black_hole half_open refuse".split()
FAULTS = [*PLAIN, *(f"tls_{mode}" for mode in SECURE), "dns_hangs", "dns_fails"]
# They keep the worker until its own deadline.
STUCK = (
    "black_hole half_open hang hang_unread drip_headers drip_body drip_second "
    "tls_hang_unread tls_black_hole tls_half_open dns_hangs"
).split()
FAILING_AT_ONCE = "refuse reset 503 tls_not_tls tls_reset_unread dns_fails".split()


class Stopwatch:
    def __enter__(self):
        self._started = SYSTEM_CLOCK.monotonic()
        return self

    def __exit__(self, *exc_info):
        self.seconds = SYSTEM_CLOCK.monotonic() - self._started


@pytest.fixture
def broken(server, make_client, monkeypatch):
    """Return a function that makes a client of something that fails in a way."""
    answers = threading.Event()

    def look_up(*arguments, **options):
        answers.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_NONAME, "nobody knows it")

    def client(fault, **options):
        if fault == "recovered":
            return make_client(**options)
        if fault.startswith("dns"):
            if fault == "dns_fails":
                answers.set()
            monkeypatch.setattr(socket, "getaddrinfo", look_up)
            url = "http://mbuzz.test"
        else:
            server.mode = fault.removeprefix("tls_")
            scheme = "https" if fault.startswith("tls_") else "http"
            url = f"{scheme}://127.0.0.1:{server.port}"
        # no deadline of a request is what ends the waiting
        given = {"timeout": LONG, "connect_timeout": LONG, "batch_interval": 0.01}
        return make_client(**{"api_url": url, **given, **options})

    monkeypatch.setattr(resolver, "_under_way", {})
    monkeypatch.setattr(resolver, "_known", {})
    yield client
    answers.set()
    server.close()
    for thread in threading.enumerate():
        if thread.name == "mbuzz-resolver":
            thread.join(PATIENCE)


def under_way(client):
    """Begin a delivery, so that the worker has met the fault."""
    client.track("First", user_id="1")
    client.flush(0.05)


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
@pytest.mark.parametrize("fault", STUCK)
def test_tracking_waits_for_nobody_while_the_worker_is_stuck(
    broken, fault, durable, tmp_path
):
    spool = {"spool_dir": str(tmp_path), "durable": True} if durable else {}
    client = broken(fault, queue_size=120, **spool)
    under_way(client)
    calls = [
        lambda: client.track("Signup", user_id="1", properties={"plan": "pro"}),
        lambda: client.identify("1", traits={"name": "Ada"}),
        lambda: client.alias("1", "visitor"),
        lambda: client.group("team", user_id="1"),
        lambda: client.page(url="https://shop.test/", user_id="1"),
    ]

    longest = 0.0
    for number in range(200):
        with Stopwatch() as calling:
            calls[number % len(calls)]()
        longest = max(longest, calling.seconds)
    with Stopwatch() as asking:
        stats, health = client.stats(), client.health()

    assert longest < INSTANT
    assert asking.seconds < INSTANT
    assert adds_up(stats)
    assert stats.delivered == 0
    assert health.status in ("ok", "degraded", "failing")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_conversion_waits_no_longer_than_told(broken, fault):
    client = broken(fault, conversion_timeout=0.1)
    under_way(client)

    with Stopwatch() as converting:
        result = client.conversion("purchase", user_id="1", revenue="9.90")

    assert converting.seconds < 0.1 + SLACK
    assert result.success
    assert result.conversion_id
    assert result.attribution is None
    assert adds_up(client.stats())


@pytest.mark.parametrize("fault", FAULTS)
def test_flush_and_close_take_their_timeout_at_most(broken, fault):
    client = broken(fault)
    for number in range(5):
        client.track(f"event_{number}", user_id="1")

    with Stopwatch() as flushing:
        flushed = client.flush(0.1)
    with Stopwatch() as asking:
        flushed_at_once = client.flush(0.0)
    with Stopwatch() as closing:
        closed = client.close(0.1)

    assert flushing.seconds < 0.1 + SLACK
    assert asking.seconds < SLACK
    assert closing.seconds < 0.1 + SLACK
    assert [flushed, flushed_at_once, closed] == [False] * 3
    stats = client.stats()
    assert stats.queued == 0
    assert stats.accepted == 5
    assert adds_up(stats)


@pytest.mark.parametrize("fault", STUCK)
def test_close_leaves_everything_on_disk_in_time(broken, fault, tmp_path):
    client = broken(fault, spool_dir=str(tmp_path), queue_size=20)
    under_way(client)
    for number in range(300):
        client.track(f"event_{number}", user_id="1")

    with Stopwatch() as closing:
        settled = client.close(0.1)

    assert closing.seconds < 0.1 + SLACK
    assert not settled
    stats = client.stats()
    assert (stats.accepted, stats.spooled, stats.dropped) == (301, 301, {})
    assert (stats.queued, stats.in_flight) == (0, 0)


@pytest.mark.parametrize("fault", STUCK)
def test_sync_mode_waits_no_longer_than_a_request_may_take(broken, fault):
    client = broken(
        fault, delivery="sync", timeout=0.2, connect_timeout=0.2, conversion_timeout=0.1
    )

    with Stopwatch() as tracking:
        tracked = client.track("Signup", user_id="1")
    with Stopwatch() as converting:
        converted = client.conversion("purchase", user_id="1")
    with Stopwatch() as flushing:
        flushed = client.flush(0.1)

    assert tracking.seconds < 0.2 + SLACK
    assert converting.seconds < 0.1 + SLACK
    assert flushing.seconds < 0.1 + SLACK
    assert tracked.success
    assert converted.success
    assert not flushed
    assert adds_up(client.stats())


@pytest.mark.parametrize("fault", FAILING_AT_ONCE)
def test_nobody_waits_while_the_breaker_is_open(broken, fault):
    client = broken(fault, conversion_timeout=LONG)
    client.track("Signup", user_id="1")
    deadline = SYSTEM_CLOCK.monotonic() + PATIENCE
    while client.stats().breaker != "open":
        client.flush(0.1)
        assert SYSTEM_CLOCK.monotonic() < deadline

    with Stopwatch() as calling:
        converted = client.conversion("purchase", user_id="1")
        tracked = client.track("Signup", user_id="1", wait=LONG)

    assert calling.seconds < SLACK
    assert converted.success
    assert converted.attribution is None
    assert tracked.success
    assert client.health().status == "failing"
    assert not client.health()


def test_a_conversion_does_not_wait_for_the_breaker_to_open(broken, server):
    """Each waits its own time; the next one is not told to wait for the last."""
    client = broken("hang", conversion_timeout=0.1)

    with Stopwatch() as converting:
        results = [client.conversion("purchase", user_id="1") for _ in range(5)]

    assert converting.seconds < 5 * 0.1 + SLACK
    assert all(results)
    assert client.stats().accepted == 5


def test_many_threads_wait_side_by_side(broken):
    client = broken("hang", conversion_timeout=0.3)
    under_way(client)
    threads = [
        threading.Thread(target=client.conversion, args=("purchase",), kwargs=who)
        for who in [{"user_id": f"{number}"} for number in range(10)]
    ]

    with Stopwatch() as converting:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

    assert converting.seconds < 0.3 + SLACK
    assert client.stats().accepted == 11


def test_several_threads_flush_and_close_side_by_side(broken):
    client = broken("black_hole")
    under_way(client)
    works = [lambda: client.flush(0.2)] * 4 + [lambda: client.close(0.2)] * 2
    threads = [threading.Thread(target=work) for work in works]

    with Stopwatch() as waiting:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

    assert waiting.seconds < 0.2 + SLACK
    assert adds_up(client.stats())


@pytest.mark.parametrize("timeout", [0.0, -1.0], ids=["zero", "negative"])
def test_no_time_is_no_time(broken, timeout):
    client = broken("hang")
    under_way(client)

    with Stopwatch() as waiting:
        flushed = client.flush(timeout)
        closed = client.close(timeout)

    assert waiting.seconds < SLACK
    assert [flushed, closed] == [False, False]


def test_every_promise_holds_again_after_the_outage(broken, server):
    client = broken("hang", conversion_timeout=PATIENCE, timeout=0.3)
    under_way(client)
    server.mode = "ok"

    assert client.flush(PATIENCE)
    result = client.conversion("purchase", user_id="1")

    assert result.success
    assert client.health().status == "ok"
    assert client.close(PATIENCE)
    assert client.stats().delivered == 2


# -- the end of a process --

UNKNOWN = """
    import socket
    never = threading.Event()
    socket.getaddrinfo = lambda *_, **__: never.wait(60)
    mbuzz.configure(strict=True, **{**OPTIONS, "api_url": "http://mbuzz.test"}, **MORE)
"""
SECURED = """
    url = sys.argv[1].replace("http:", "https:")
    mbuzz.configure(strict=True, **{**OPTIONS, "api_url": url}, **MORE)
"""
LEAVE = """
    for i in range(50):
        track(f"event_{i}")
    mbuzz.flush(0.1)
    track("last")
    now()
"""


@pytest.mark.parametrize(
    ("mode", "configure", "spooled"),
    [
        pytest.param("ok", UNKNOWN, True, id="dns_hangs"),
        pytest.param("hang_unread", SECURED, True, id="tls_hangs"),
        pytest.param("not_tls", SECURED, False, id="tls_fails"),
    ],
)
def test_an_exit_takes_two_seconds_at_most(server, tmp_path, mode, configure, spooled):
    server.mode = mode
    folder = {"spool_dir": str(tmp_path / "spool")} if spooled else {}
    begin = f"{life.PREAMBLE}\nMORE = {folder!r}\n"

    ended = life.runner(tmp_path, server)(configure + LEAVE, preamble=begin)

    assert ended.code == 0, ended.err
    assert ended.since < life.EXIT + life.SLACK
    assert "Traceback" not in ended.err
    assert ("dropped" in ended.err) is not spooled
