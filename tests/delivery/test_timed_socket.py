"""Sockets: every address gets its turn, and no byte goes where it does not belong."""

import gc
import os
import socket

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery.timed_socket import TimedSocket, connect
from mbuzz.testing import ManualClock


@pytest.fixture
def pair():
    """Return one end of a connection that is not ours, and ours."""
    other, sock = socket.socketpair()
    timed = TimedSocket(sock, SYSTEM_CLOCK, SYSTEM_CLOCK.monotonic() + 10.0)
    yield other, timed
    other.close()
    timed.close()


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


@pytest.fixture
def nobody():
    """Return an address that refuses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()


def test_what_was_received_is_counted(pair):
    other, timed = pair
    other.sendall(b"abc")

    assert (timed.receive(), timed.received) == (b"abc", 3)
    timed.send(b"defg")
    assert other.recv(9) == b"defg"


def test_an_idle_connection_is_quiet_until_somebody_speaks(pair):
    other, timed = pair
    assert [timed.quiet(), timed.quiet()] == [True, True]

    other.sendall(b"HTTP/1.1 408 Too late\r\n\r\n")

    assert not timed.quiet()


def test_an_idle_connection_that_was_closed_is_not_quiet(pair):
    other, timed = pair
    other.close()

    assert not timed.quiet()


def test_no_time_is_left_after_the_deadline(pair):
    other, _ = pair
    clock = ManualClock()
    timed = TimedSocket(other, clock, clock.monotonic() + 1.0)
    timed.limit()

    clock.advance(1.0)

    for step in (timed.limit, timed.receive, lambda: timed.send(b"x")):
        with pytest.raises(TimeoutError):
            step()


@pytest.mark.skipif(os.name == "nt", reason="sockets are no files there")
@pytest.mark.parametrize("way", ["close", "drop"])
def test_a_descriptor_that_became_a_file_of_the_host_is_left_alone(tmp_path, way):
    other, sock = socket.socketpair()
    timed = TimedSocket(sock, SYSTEM_CLOCK, SYSTEM_CLOCK.monotonic() + 10.0)
    number = sock.fileno()
    del sock
    os.close(number)  # as a daemon does with all that it does not know
    file = os.open(tmp_path / "host", os.O_WRONLY | os.O_CREAT)
    if file != number:
        os.dup2(file, number)
        os.close(file)

    assert not timed.quiet()
    if way == "close":
        timed.close()
    del timed
    gc.collect()

    assert os.write(number, b"mine") == 4
    os.close(number)
    other.close()
    assert (tmp_path / "host").read_bytes() == b"mine"


def test_a_connection_that_is_dropped_is_closed(pair):
    other, sock = socket.socketpair()
    timed = TimedSocket(sock, SYSTEM_CLOCK, 0.0)
    del sock, timed
    gc.collect()

    assert other.recv(1) == b""
    other.close()


def test_the_next_address_gets_its_turn(listening, nobody):
    deadline = SYSTEM_CLOCK.monotonic() + 10.0
    addresses = [
        (socket.AF_INET, nobody),
        (socket.AF_INET6, ("::1", nobody[1], 0, 0)),
        (socket.AF_INET, listening),
    ]

    timed = connect(addresses, SYSTEM_CLOCK, deadline, 3.0)

    assert timed.quiet()
    timed.close()


def test_the_last_failure_is_told_when_nobody_answers(nobody):
    deadline = SYSTEM_CLOCK.monotonic() + 10.0

    with pytest.raises(ConnectionRefusedError):
        connect([(socket.AF_INET, nobody)] * 2, SYSTEM_CLOCK, deadline, 3.0)


def test_no_address_is_tried_after_the_deadline(listening):
    with pytest.raises(TimeoutError):
        connect(
            [(socket.AF_INET, listening)], SYSTEM_CLOCK, SYSTEM_CLOCK.monotonic(), 3.0
        )
