"""Event loops under the ASGI middleware: never blocked, and of every kind."""

import asyncio
import socket
import sys
import threading
import time
from contextlib import closing, contextmanager

import trio

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.asgi import MbuzzMiddleware
from tests.contrib.cases import CASES, HTML, Case, acall_asgi, asgi_scope, call_asgi
from tests.contrib.test_asgi import site_of
from tests.web.visits import FETCH, RETURNING

KEY = "sk_test_" + "0" * 32

page = site_of(Case())


@contextmanager
def backend_that_hangs(**options):
    """Configure mbuzz for a backend that takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        mbuzz.configure(strict=True, api_key=KEY, api_url=url, network=True, **options)
        yield


def test_loop_goes_on_while_a_response_waits_for_the_backend():
    async def visit():
        wrapped = MbuzzMiddleware(page)
        await acall_asgi(wrapped, Case())  # from now on, visitors are announced
        loop = asyncio.get_running_loop()
        started = last = loop.time()
        longest = 0.0
        visits = asyncio.gather(*(acall_asgi(wrapped, Case()) for _ in range(20)))
        while not visits.done():
            await asyncio.sleep(0)
            longest, last = max(longest, loop.time() - last), loop.time()
        return longest, loop.time() - started, await visits

    # blocked for so long, the loop would stand out
    with backend_that_hangs(handshake_wait=1.0):
        longest, took, answers = asyncio.run(visit())

    assert {len(answer.cookies) for answer in answers} == {2}
    assert took > 0.9  # one of them did wait
    assert longest < 0.9


BLOCKING = {
    *("sleep", "connect", "connect_ex", "send", "sendall", "recv", "recv_into"),
    *("getaddrinfo", "fsync", "fdatasync", "read", "write", "system", "waitpid"),
}


def test_nothing_of_ours_blocks_the_loop():
    """Every built-in function that is called in the loop's thread is looked at."""
    called = []

    def look(frame, kind, function):
        if kind != "c_call":
            return
        name, place = function.__name__, frame.f_code
        if name in BLOCKING and "asyncio" not in place.co_filename:
            called.append((name, place))
        is_wait = place.co_filename == threading.__file__ and place.co_name == "wait"
        if name == "acquire" and is_wait and not starts_a_thread(frame):
            called.append((name, place))

    async def visit():
        wrapped = MbuzzMiddleware(page)
        await acall_asgi(wrapped, Case())
        sys.setprofile(look)
        try:
            for case in (Case(), Case(cookie=RETURNING), Case(headers=FETCH)):
                await acall_asgi(wrapped, case)
            asked = list(called)
            time.sleep(0)  # it does look
        finally:
            sys.setprofile(None)
        return asked

    with backend_that_hangs():
        asked = asyncio.run(visit())

    assert asked == []
    assert [name for name, _ in called] == ["sleep"]


def starts_a_thread(frame):
    while frame is not None:
        if frame.f_code is threading.Thread.start.__code__:
            return True
        frame = frame.f_back
    return False


def test_script_that_sync_delivery_holds_up_holds_up_nobody_else(events, answering):
    mbuzz.configure(strict=True, api_key=KEY, delivery="sync", collect=["track"])

    answer = call_asgi(MbuzzMiddleware(page), CASES["script tracks"])

    assert (answer.status, len(answering)) == (202, 1)
    assert threading.main_thread() not in answering


# -- trio: no loop of asyncio is there to wait in --


def test_trio_is_served_without_waiting():
    async def visit(wrapped, answers):
        async def send(message):
            await trio.lowlevel.checkpoint()
            answers.append(message)

        await wrapped(asgi_scope(Case()), None, send)
        assert current() is None

    async def visit_all():
        wrapped = MbuzzMiddleware(page)
        answers = []
        await visit(wrapped, answers)  # from now on, visitors are announced
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(visit, wrapped, answers)
        return trio.current_time() - started, answers

    with backend_that_hangs(handshake_wait=10.0):
        took, answers = trio.run(visit_all)

    starts = [message for message in answers if message["type"].endswith(".start")]
    visitors = {start["headers"][len(HTML)] for start in starts}
    assert len(visitors) == 21
    assert took < 5.0


# -- several loops --


def test_requests_on_several_loops_do_not_meet(events):
    """One middleware may serve several threads, each with a loop of its own."""
    app = MbuzzMiddleware(page)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(call_asgi(app, Case())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({answer.cookies["_mbuzz_vid"].value for answer in answers}) == 8
