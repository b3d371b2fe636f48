"""Names: looked up beside the caller, who waits no longer than he wants to."""

import os
import socket
import threading

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery import resolver
from mbuzz.delivery.transport import TransportError
from tests.delivery.fault_server import PATIENCE

FOUND = [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 17, "", ("192.0.2.1", 0)),
]


class Names:
    """A name service that can hang and fail."""

    def __init__(self):
        self.asked = []
        self.error = None
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self, host, port, *, type):
        self.asked.append((host, threading.current_thread().name))
        assert self.answers.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return FOUND


@pytest.fixture
def names(monkeypatch):
    monkeypatch.setattr(resolver, "_under_way", {})
    monkeypatch.setattr(resolver, "_known", {})
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    yield names
    names.answers.set()
    for thread in lookups():
        thread.join(PATIENCE)


def lookups():
    return [t for t in threading.enumerate() if t.name == "mbuzz-resolver"]


def no_threads(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", (socket.AF_INET, ("192.0.2.7", 80))),
        ("::1", (socket.AF_INET6, ("::1", 80, 0, 0))),
    ],
)
def test_an_address_is_not_looked_up(names, host, address):
    assert resolver.addresses(host, 80, 1.0) == [address]
    assert names.asked == []


def test_a_name_has_all_its_addresses_once_in_order(names):
    found = resolver.addresses("a.test", 8080, PATIENCE)

    assert found == [
        (socket.AF_INET6, ("2001:db8::1", 8080, 0, 0)),
        (socket.AF_INET, ("192.0.2.1", 8080)),
    ]
    assert names.asked == [("a.test", "mbuzz-resolver")]


@pytest.mark.parametrize(
    "error", [socket.gaierror("secret.test"), UnicodeError("secret.test"), TypeError()]
)
def test_a_name_that_nobody_knows_is_an_error_without_the_name(names, error):
    names.error = error

    with pytest.raises(TransportError, match=f"^{type(error).__name__}$"):
        resolver.addresses("secret.test", 80, PATIENCE)


def test_no_address_at_all_is_an_error(names, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])

    with pytest.raises(TransportError, match="gaierror"):
        resolver.addresses("a.test", 80, PATIENCE)


def test_a_lookup_that_hangs_keeps_its_callers_no_longer_than_they_want(names):
    names.answers.clear()
    started = SYSTEM_CLOCK.monotonic()

    for timeout in (0.05, 0.05, 0.0, -1.0):
        with pytest.raises(TimeoutError):
            resolver.addresses("a.test", 80, timeout)

    assert SYSTEM_CLOCK.monotonic() - started < 5.0
    assert len(names.asked) == len(lookups()) == 1
    assert resolver._under_way["a.test"]._gates == []


def test_whoever_comes_meanwhile_waits_for_the_same_answer(names):
    names.answers.clear()
    with pytest.raises(TimeoutError):
        resolver.addresses("a.test", 80, 0.0)
    found = []
    waiting = [
        threading.Thread(
            target=lambda port=port: found.extend(
                resolver.addresses("a.test", port, PATIENCE)
            )
        )
        for port in (1, 2, 3)
    ]
    for thread in waiting:
        thread.start()

    names.answers.set()
    for thread in waiting:
        thread.join(PATIENCE)

    assert sorted(at[1] for _, at in found) == [1, 1, 2, 2, 3, 3]
    assert len(names.asked) == 1


def test_what_hung_is_asked_again_when_it_has_answered(names):
    names.answers.clear()
    with pytest.raises(TimeoutError):
        resolver.addresses("a.test", 80, 0.0)
    names.answers.set()
    for thread in lookups():
        thread.join(PATIENCE)

    assert resolver.addresses("a.test", 80, PATIENCE)
    assert len(names.asked) == 2


def test_without_threads_the_last_answer_serves(names, monkeypatch):
    before = resolver.addresses("a.test", 80, PATIENCE)
    names.answers.clear()
    no_threads(monkeypatch)

    assert resolver.addresses("a.test", 80, 1.0) == before
    assert len(names.asked) == 1


def test_without_threads_and_answers_the_caller_asks(names, monkeypatch):
    no_threads(monkeypatch)

    assert len(resolver.addresses("a.test", 80, 1.0)) == 2
    assert names.asked == [("a.test", threading.current_thread().name)]


def test_what_is_known_stays_small(names):
    for number in range(50):
        resolver.addresses(f"{number}.test", 80, PATIENCE)

    assert len(resolver._known) <= 16
    assert resolver._under_way == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_wait_for_a_lookup_of_its_parent(names, run_python):
    code = """
import os, socket, threading
from mbuzz.delivery import resolver
parent = os.getpid()
hang = threading.Event()
def names(host, port, *, type):
    if os.getpid() == parent:
        hang.wait(30)
    return [(socket.AF_INET, 1, 6, "", ("192.0.2.1", 0))]
socket.getaddrinfo = names
try:
    resolver.addresses("a.test", 80, 0.01)
except TimeoutError:
    pass
import warnings
warnings.simplefilter("ignore")  # of forks in threaded processes
child = os.fork()
if not child:
    os._exit(len(resolver.addresses("a.test", 80, 20.0)))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
hang.set()
"""

    assert run_python(code) == "1\n"
