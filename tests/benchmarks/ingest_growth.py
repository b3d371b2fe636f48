"""Cost beside what is stored: `python3 -m tests.benchmarks.ingest_growth [events]`.

A new database is filled with so many events (five million as the goal has it), without
HTTP, and batches are timed at its beginning and at its end: the cost may grow to 1.3
times. A thread asks for a report all the while. It takes some minutes.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from mbuzz import ids
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server.model import Tenant, TrackCall
from mbuzz.server.policy import DEFAULT
from mbuzz.server.reporting.channels import ChannelReport, channel_report
from mbuzz.server.reporting.period import Period
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.server.tracking.intake import Batch, record
from tests.benchmarks.figures import HEAD, Figure

_EVENTS = 5_000_000
_BATCH = 500
_DAY_MS = 86_400_000
_DAYS = 90
_SAMPLE = 40  # batches timed at the beginning and at the end
_TENANT = Tenant(1, live=True)


def batch(at_ms: int) -> Batch:
    """Return events of two seconds, each fourth of which begins a visit."""
    calls = []
    for number in range(_BATCH):
        if number % 4 == 0:
            visitor = ids.visitor_id()
        moment = at_ms + number * 4
        first = number % 4 == 0
        calls.append(
            TrackCall(
                event_id=ids.event_id(moment),
                event_type="page_view",
                visitor_id=visitor,
                user_id=None,
                session_id=visitor[:32],
                occurred_at_ms=moment,
                received_at_ms=moment,
                said_ms=moment,
                url=f"https://shop.example/{number % 397}"
                + ("?utm_source=google&utm_medium=cpc" if first else ""),
                referrer="https://www.google.com/"
                if first
                else "https://shop.example/",
                user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
                properties={"plan": "pro", "price": number / 100},
            )
        )
    return Batch(_TENANT, DEFAULT, calls)


class Reader:
    """Asks for the channels of 30 days again and again, as a dashboard would."""

    def __init__(self, storage: SqliteStorage) -> None:
        self.spans: list[float] = []
        self._storage = storage
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            begin = time.perf_counter()
            self._storage.read(_report)
            self.spans.append(time.perf_counter() - begin)

    def stop(self) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join()


def cost(storage: SqliteStorage, moments: Sequence[int]) -> float:
    """Take a batch of each moment; return the middle one's CPU per event in us."""
    costs = []
    for at_ms in moments:
        given = batch(at_ms)
        begin = time.process_time()
        storage.outcome(storage.submit(record, given, _BATCH))
        costs.append((time.process_time() - begin) / _BATCH * 1e6)
    return sorted(costs)[len(costs) // 2]


def fill(storage: SqliteStorage, moments: Sequence[int]) -> None:
    """Take a batch of each moment, and tell how far it is."""
    for number, at_ms in enumerate(moments):
        storage.outcome(storage.submit(record, batch(at_ms), _BATCH))
        if number % max(1, len(moments) // 20) == 0:
            done = f"{number * _BATCH:,} of {len(moments) * _BATCH:,} events"
            print(done, file=sys.stderr, flush=True)


def _report(stores: Stores) -> ChannelReport:
    period = Period.parse(None, None, "UTC", SYSTEM_CLOCK.now_ms())
    return channel_report(stores.reports, _TENANT, period, default_currency="USD")


def main(events: int) -> None:
    """Fill a database, and print what batches and reports cost as it grows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "growth.db"
        storage = SqliteStorage(str(path))
        batches = max(8 * _SAMPLE, events // _BATCH)
        start_ms = SYSTEM_CLOCK.now_ms() - _DAYS * _DAY_MS
        step_ms = _DAYS * _DAY_MS // batches
        moments = [start_ms + number * step_ms for number in range(batches)]
        try:
            early = cost(storage, moments[: 2 * _SAMPLE])
            reader = Reader(storage)
            fill(storage, moments[2 * _SAMPLE : -2 * _SAMPLE])
            reader.stop()
            late = cost(storage, moments[-2 * _SAMPLE :])
        finally:
            storage.close()
        size = path.stat().st_size / (batches * _BATCH)
        spans = sorted(reader.spans[-20:])
        print(HEAD)
        for figure in (
            Figure(
                row="growth",
                what=f"CPU at {batches * _BATCH:,} events",
                unit="us/ev",
                floor=early,
                ours=late,
                goal=1.3,
                note="the floor is the same at the beginning",
            ),
            Figure(
                row="disk", what="disk", unit="B/ev", floor=None, ours=size, goal=500
            ),
            Figure(
                row="report",
                what="channels of 30 days, beside the load",
                unit="ms",
                floor=None,
                ours=spans[len(spans) // 2] * 1000,
                goal=float("inf"),
                note=f"most {spans[-1] * 1000:.0f}",
            ),
        ):
            print(figure.line())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _EVENTS)
