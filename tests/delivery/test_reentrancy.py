"""Calls from wherever a program's code may run: inside our own, and side by side."""

from __future__ import annotations

import json
import signal

import pytest

from tests.delivery import life

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="no timers that interrupt"
)

COUNTS = """
def counts():
    stats = mbuzz.stats()
    print(stats.accepted, stats.delivered, sum(stats.dropped.values()))
"""


@pytest.fixture
def run(tmp_path, server):
    started = life.runner(tmp_path, server)
    return lambda code, preamble=life.CONFIGURED: started(
        code, preamble=preamble + COUNTS
    )


# -- signals --


@pytest.mark.parametrize("interval", [60, 0.01], ids=["idle_worker", "busy_worker"])
def test_a_signal_handler_may_track_inside_a_call(run, server, interval):
    ended = run(
        f"""
        ticks = 0

        def tick(number, frame):
            global ticks
            ticks += 1
            track("tick")

        mbuzz.configure(strict=True, **OPTIONS | {{"batch_interval": {interval}}})
        signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        calls = 0
        give_up = time.monotonic() + 5
        while ticks < 500 and time.monotonic() < give_up:
            track("call")
            calls += 1
            if calls % 100 == 0:
                mbuzz.stats()
            if calls % 1000 == 0:
                mbuzz.flush(0.1)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        assert mbuzz.flush(10)
        counts()
        print(calls, ticks)
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.clean, ended.err
    accepted, delivered, dropped, calls, ticks = map(int, ended.out.split())
    assert accepted == delivered == calls + ticks
    assert dropped == 0
    assert ticks >= 50
    arrived = life.once(server)
    assert (arrived.count("call"), arrived.count("tick")) == (calls, ticks)


@pytest.mark.parametrize("call", ["mbuzz.flush(5)", "mbuzz.close(5)", "mbuzz.stats()"])
def test_a_signal_handler_may_do_more_than_track(run, server, call):
    ended = run(f"""
        ticks = 0

        def tick(number, frame):
            global ticks
            ticks += 1
            track("tick")
            {call}
            signal.setitimer(signal.ITIMER_REAL, 0.01)  # again, but not in here

        signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        calls = 0
        while ticks < 20 and calls < 8000:
            track("call")
            calls += 1
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        assert mbuzz.flush(10)
        print(calls + ticks)
    """)

    assert ended.clean, ended.err
    assert len(life.once(server)) == int(ended.out)


def test_a_signal_handler_may_track_while_a_flush_waits(run, server):
    server.mode = "hang"

    ended = run("""
        ticks = 0

        def tick(number, frame):
            global ticks
            ticks += 1
            track("tick")

        signal.signal(signal.SIGALRM, tick)
        track("call")
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        started = time.monotonic()
        assert not mbuzz.flush(1.0)
        took = time.monotonic() - started
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        stats = mbuzz.stats()
        assert stats.accepted == ticks + 1 == stats.queued + stats.in_flight
        print(took, flush=True)
        now()
    """)

    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert float(ended.out.split()[0]) < 1.0 + life.SLACK
    assert ended.since < life.EXIT + life.SLACK


# -- finalizers --


@pytest.mark.parametrize("options", ["", "queue_size=60"], ids=["room", "full"])
def test_a_finalizer_may_track_whenever_garbage_is_collected(run, server, options):
    ended = run(
        f"""
        import gc

        class Left:
            def __init__(self):
                self.itself = self

            def __del__(self):
                global finalized
                finalized += mbuzz.track("finalized", user_id="1").success

        finalized = calls = 0
        mbuzz.configure(strict=True, **OPTIONS, {options})
        gc.set_threshold(1, 1, 1)
        for i in range(500):
            Left()
            calls += mbuzz.track("call", user_id="1", properties={{"n": [i]}}).success
            if i % 50 == 0:
                mbuzz.stats()
                mbuzz.flush(10)
        gc.set_threshold(700)
        gc.collect()
        assert mbuzz.flush(10)
        assert finalized
        counts()
        print(calls + finalized)
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.code == 0
    assert "Traceback" not in ended.err
    accepted, delivered, dropped, successes = map(int, ended.out.split())
    assert accepted == successes == delivered + dropped
    assert len(life.once(server)) == delivered


def test_a_finalizer_may_flush_and_close(run, server):
    ended = run("""
        import gc

        class Left:
            def __init__(self, call):
                self.itself, self.call = self, call

            def __del__(self):
                track("finalized")
                self.call(5)

        gc.disable()
        for call in (mbuzz.flush, mbuzz.close) * 3:
            Left(call)
            gc.set_threshold(1, 1, 1)
            gc.enable()
            track("call")
            gc.disable()
        gc.collect()
        assert mbuzz.flush(10)
    """)

    assert ended.clean, ended.err
    assert life.once(server) == ["call"] * 6 + ["finalized"] * 6


# -- what we call of the host's --


@pytest.mark.parametrize("call", ["track", "flush", "stats", "close"])
def test_a_logging_handler_may_call_us(run, server, call):
    ended = run(
        f"""
        import logging

        class Calling(logging.Handler):
            def emit(self, record):
                mbuzz.track("logged", user_id="1")
                {"mbuzz.flush(0.2)" if call == "flush" else ""}
                {"mbuzz.close(0.02)" if call == "close" else ""}
                mbuzz.stats()

        logger = logging.getLogger("mbuzz")
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        logger.addHandler(Calling())
        mbuzz.configure(strict=True, queue_size=5, **OPTIONS)
        for _ in range(15):
            mbuzz.track("call", user_id="1")
        mbuzz.track("", user_id="1")
        mbuzz.track("nobody")
        mbuzz.flush(5)
        logger.handlers.clear()
        logger.addHandler(logging.NullHandler())
        assert mbuzz.flush(10)
        stats = mbuzz.stats()
        assert stats.accepted == stats.delivered + sum(stats.dropped.values())
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.clean, ended.err
    assert "call" in life.once(server)


CALLBACKS = [name for name in ("on_drop", "on_error") if life.has_option(name)]


@pytest.mark.skipif(not CALLBACKS, reason="this version has no callbacks")
@pytest.mark.parametrize("name", ["on_drop", "on_error"])
@pytest.mark.parametrize(
    "body",
    [
        'mbuzz.track("called", user_id="1")',
        "mbuzz.flush(0.2); mbuzz.stats()",
        "mbuzz.close(0.2)",
        'raise RuntimeError("of the host")',
    ],
    ids=["track", "flush", "close", "raise"],
)
def test_a_callback_may_call_us(run, server, name, body):
    server.mode = "400" if name == "on_error" else "ok"

    ended = run(
        f"""
        import logging
        logging.disable()

        def called(*arguments, **more):
            global calls
            calls += 1
            if calls < 10:  # what it tracks may be lost, too
                {body}

        calls = 0
        mbuzz.configure(strict=True, queue_size=5, {name}=called, **OPTIONS)
        for _ in range(50):
            mbuzz.track("call", user_id="1")
        mbuzz.track("nobody")
        assert mbuzz.flush(10)
        stats = mbuzz.stats()
        known = stats.delivered + stats.rejected + sum(stats.dropped.values())
        assert stats.accepted == known + stats.queued + stats.in_flight
        assert calls
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.clean, ended.err
    assert ("call" in life.once(server)) == (name == "on_drop")


@pytest.mark.skipif(
    not life.has_option("before_send"), reason="this version has no before_send"
)
@pytest.mark.parametrize("call", ["", "mbuzz.flush(5)", "mbuzz.stats()"])
def test_the_hosts_last_word_on_an_event_may_track(run, server, call):
    ended = run(
        f"""
        def last_word(event):
            if event["event_type"] == "call":
                track("called")
                {call or "pass"}
            return event

        mbuzz.configure(strict=True, before_send=last_word, **OPTIONS)
        for _ in range(20):
            track("call")
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.clean, ended.err
    assert life.once(server) == ["call"] * 20 + ["called"] * 20


def test_a_value_may_track_while_it_is_encoded(run, server):
    ended = run("""
        class Chatty:
            def __str__(self):
                track("inner")
                return "chatty"

        result = mbuzz.track(
            "outer", user_id="1", properties={"who": Chatty(), "n": {Chatty(): 1}}
        )
        assert result.success
    """)

    assert ended.clean, ended.err
    assert "outer" in life.once(server)


# -- side by side --


def test_two_clients_do_not_mix(run, server):
    ended = run("""
        letters = "ab"
        keys = ["sk_test_" + 32 * letter for letter in letters]
        clients = [
            mbuzz.Client(mbuzz.Config(**OPTIONS | {"api_key": key})) for key in keys
        ]
        def work(client, letter):
            for i in range(200):
                assert client.track(f"event_{letter}", user_id=letter)
                if i % 50 == 0:
                    assert client.flush(10)
        threads = [
            threading.Thread(target=work, args=pair) for pair in zip(clients, letters)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert clients[0].close(10)
        assert clients[1].stats().queued
        assert clients[1].track("event_b", user_id="b")
    """)

    assert ended.clean, ended.err
    assert life.once(server) == ["event_a"] * 200 + ["event_b"] * 201
    for _, headers, body in server.requests:
        letter = headers["authorization"][-1]
        assert {item["user_id"] for item in json.loads(body)["events"]} == {letter}


def test_calls_go_on_after_close(run, server):
    ended = run("""
        for i in range(5):
            track(f"event_{i}")
            assert mbuzz.close(10)
            assert mbuzz.close(10)
        track("last")
    """)

    assert ended.clean, ended.err
    assert life.once(server) == [*(f"event_{i}" for i in range(5)), "last"]


@pytest.mark.parametrize(
    "options", ["", "batch_size=50", "delivery='sync'"], ids=["same", "other", "sync"]
)
def test_configuring_twice_sends_all_of_both(run, server, options):
    ended = run(f"""
        track("First")
        assert mbuzz.configure(strict=True, **OPTIONS, {options})
        track("Second")
        assert mbuzz.configure(strict=True, **OPTIONS)
        track("Third")
    """)

    assert ended.clean, ended.err
    assert life.once(server) == ["First", "Second", "Third"]


def test_configuring_while_threads_track_loses_nothing(run, server):
    ended = run("""
        def work(number):
            for i in range(300):
                track(f"event_{number}_{i}")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for size in (10, 20, 30):
            assert mbuzz.configure(strict=True, batch_size=size, **OPTIONS)
            assert mbuzz.close(10)
        for thread in threads:
            thread.join()
    """)

    assert ended.clean, ended.err
    assert len(life.once(server)) == 1200


@pytest.mark.parametrize("call", ["flush", "close"])
def test_threads_may_flush_and_close_at_the_same_time(run, server, call):
    ended = run(f"""
        answers = []

        def work(number):
            for i in range(50):
                track(f"event_{{number}}_{{i}}")
            answers.append(mbuzz.{call}(15))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [True] * 6, answers
    """)

    assert ended.clean, ended.err
    assert len(life.once(server)) == 300


def test_a_flush_waits_for_what_came_before_it_only(run, server):
    ended = run("""
        def work():
            while not stop.wait(0.0005):
                track("another")
                begun.set()

        stop, begun = threading.Event(), threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        assert begun.wait(10)
        flushed = []
        for i in range(5):
            track(f"flushed_{i}")
            started = time.monotonic()
            flushed.append(mbuzz.flush(3))
            flushed.append(time.monotonic() - started < 2)
        stop.set()
        thread.join()
        assert all(flushed), flushed
    """)

    assert ended.clean, ended.err
    assert {f"flushed_{i}" for i in range(5)} < set(life.once(server))


# -- event loops --

LOOP = """
import asyncio

async def watched(work):
    beats = []

    async def heart():
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.01)

    beating = asyncio.create_task(heart())
    await asyncio.sleep(0.05)
    await work()
    await asyncio.sleep(0.05)
    beating.cancel()
    return max(after - before for before, after in zip(beats, beats[1:]))
"""


@pytest.mark.parametrize("mode", ["ok", "hang", "black_hole"])
def test_an_event_loop_is_never_blocked(run, server, mode):
    server.mode = mode

    ended = run(
        """
async def work():
    for i in range(50):
        track(f"event_{i:02}")
        mbuzz.identify("1")
        mbuzz.conversion("purchase", user_id="1")
        mbuzz.track("waiting", user_id="1", wait=5.0)
        await asyncio.sleep(0)
    print(await mbuzz.aflush(FLUSH))
    result = await mbuzz.aconversion("purchase", user_id="1")
    assert result.success

print(asyncio.run(watched(work)), flush=True)
now()
""".replace("FLUSH", "10" if mode == "ok" else "2.0"),
        preamble=life.CONFIGURED + LOOP,
    )

    assert ended.code == 0
    assert "Traceback" not in ended.err
    flushed, longest = ended.out.split()[:2]
    assert flushed == str(mode == "ok")
    assert float(longest) < 1.5  # whoever blocked the loop would do so for two seconds
    assert ended.since < life.EXIT + life.SLACK
    if mode == "ok":
        assert ended.err == ""
        assert len(life.once(server)) == 4 * 50 + 1


@pytest.mark.parametrize("mode", ["ok", "hang"])
def test_close_inside_an_event_loop_takes_its_time_at_most(run, server, mode):
    server.mode = mode

    ended = run(
        """
async def work():
    track("First")
    started = time.monotonic()
    print(mbuzz.close(0.5), time.monotonic() - started)

async def main():
    await work()
    track("Second")

asyncio.run(main())
now()
""",
        preamble=life.CONFIGURED + LOOP,
    )

    assert ended.code == 0
    assert "Traceback" not in ended.err
    closed, took = ended.out.split()[:2]
    assert closed == str(mode == "ok")
    assert float(took) < 0.5 + life.SLACK
    assert ended.since < life.EXIT + life.SLACK
    if mode == "ok":
        assert life.once(server) == ["First", "Second"]
