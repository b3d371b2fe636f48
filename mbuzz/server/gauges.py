"""What is looked up when somebody reads the metrics: queue, files, connections."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol, runtime_checkable

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server.metrics import Metrics
from mbuzz.server.storage.sqlite import SqliteStorage

_OF_STORAGE = {
    "waiting": ("mbuzz_writer_queue_units", "Requests that wait for the writer."),
    "database_bytes": ("mbuzz_database_bytes", "Size of the database file."),
    "wal_bytes": ("mbuzz_database_wal_bytes", "Size of the write-ahead log."),
    "free_bytes": ("mbuzz_disk_free_bytes", "Room on the disk of the database."),
}


_OF_SERVER = {
    "open_connections": ("mbuzz_open_connections", "Open connections of clients."),
    "waiting_calls": ("mbuzz_waiting_calls", "Requests that wait for a thread."),
    "loop_lag_seconds": (
        "mbuzz_loop_lag_seconds",
        "Longest round of the server's loop since the last look.",
    ),
}


@runtime_checkable
class Measured(Protocol):
    """What tells of itself in numbers."""

    def figures(self) -> Mapping[str, float | None]:
        """Return the numbers by name; None where one cannot be told."""
        ...


def attach_server(metrics: Metrics, server: object) -> None:
    """Have *metrics* tell of the built-in server, as far as it tells of itself."""
    if isinstance(server, Measured):
        _attach(metrics, server, _OF_SERVER)


def _attach(
    metrics: Metrics, measured: Measured, names: Mapping[str, tuple[str, str]]
) -> None:
    for key, (name, text) in names.items():
        metrics.gauge(name, text, partial(_figure, measured, key))


def _figure(measured: Measured, key: str) -> float | None:
    return measured.figures().get(key)


def attach(metrics: Metrics, storage: SqliteStorage) -> None:
    """Have *metrics* tell of *storage* and of the process."""
    storage.condition.on_commit = metrics.committed
    storage.condition.on_failure = metrics.commit_failed
    _attach(metrics, storage, _OF_STORAGE)
    started = SYSTEM_CLOCK.now_ms() / 1000
    began = SYSTEM_CLOCK.monotonic()
    metrics.gauge(
        "mbuzz_start_time_seconds", "When it started, in Unix time.", lambda: started
    )
    metrics.gauge(
        "mbuzz_uptime_seconds",
        "How long it has been running.",
        lambda: SYSTEM_CLOCK.monotonic() - began,
    )
