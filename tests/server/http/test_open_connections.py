"""Connections are counted in and out, and stop in order."""

import socket
import threading

import pytest

from mbuzz.server.http.open_connections import OpenConnections


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    theirs.settimeout(5.0)
    with ours, theirs:
        yield ours, theirs


def test_no_more_than_the_most_are_admitted(pair):
    ours, theirs = pair
    connections = OpenConnections(1)

    admitted = [connections.admit(ours), connections.admit(theirs)]
    connections.close(ours)

    assert admitted == [True, False]
    assert connections.count == 0
    assert connections.admit(theirs)


def test_idle_connection_reads_its_end_when_stopping(pair):
    ours, _ = pair
    connections = OpenConnections(1)
    connections.admit(ours)
    closer = threading.Thread(
        target=lambda: (ours.recv(1), connections.close(ours)), daemon=True
    )
    closer.start()

    connections.stop(grace=60.0)

    assert connections.count == 0
    assert connections.stopping


def test_busy_connection_is_cut_off_after_its_grace(pair):
    ours, theirs = pair
    connections = OpenConnections(1)
    connections.admit(ours)
    connections.set_busy(ours, busy=True)

    connections.stop(grace=0.0)

    assert theirs.recv(1) == b""


def test_client_that_is_gone_is_no_error_when_stopping(pair):
    ours, theirs = pair
    connections = OpenConnections(2)
    connections.admit(ours)
    connections.admit(theirs)
    ours.close()

    connections.stop(grace=0.0)
    connections.close(ours)

    assert connections.count == 1
