"""Clients of a server that fails, and their orderly end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.delivery import retry
from tests.delivery.fault_server import PATIENCE, FaultServer

KEY = "sk_test_" + "k" * 32


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off as much shorter as these tests are."""
    monkeypatch.setattr(retry, "_BASE", 0.05)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    served = FaultServer()
    yield served
    served.close()


@pytest.fixture
def make_client(server: FaultServer) -> Iterator[Callable[..., Client]]:
    """Return a function that makes clients of the server, impatient ones."""
    made: list[Client] = []
    others = set(threading.enumerate())

    def make(*, clock=None, transport=None, **options) -> Client:
        given = {
            "api_key": KEY,
            "api_url": server.url,
            "network": True,
            "batch_interval": 0.05,
            "connect_timeout": 0.3,
            "timeout": 0.3,
            **options,
        }
        more = {} if clock is None else {"clock": clock}
        client = Client(Config(**given), transport=transport, **more)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close(timeout=0.0)
    server.close()
    for thread in set(threading.enumerate()) - others:
        if thread.name.startswith("mbuzz"):
            thread.join(PATIENCE)


def said(caplog) -> list[str]:
    """Return what was logged, without the advice."""
    return [
        message.partition("): ")[0].rstrip(")") + ")" for message in caplog.messages
    ]


def adds_up(stats) -> bool:
    """Tell whether the law of conservation holds."""
    return stats.accepted == (
        stats.delivered
        + stats.rejected
        + sum(stats.dropped.values())
        + stats.dead_lettered
        + stats.spooled
        + stats.queued
        + stats.in_flight
    )
