"""Cost beside what is stored: `python3 -m tests.benchmarks.ingest_growth [events ...]`.

A new database is filled with so many events of 90 days (one million, and in another one
five, as the goals have it), without HTTP. Then batches are timed, in turn with those
for a database that has but a few: the cost may be 1.3 times as high. A fourth of the
visits are of somebody who was here before, two of a hundred bring a sale, and days
begin in the middle of an hour. A thread asks for a report all the while; in the end
reports are timed over HTTP. It takes some minutes.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mbuzz import ids
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server import bootstrap
from mbuzz.server.model import ConversionCall, Tenant, TrackCall
from mbuzz.server.policy import DEFAULT
from mbuzz.server.reporting.channels import ChannelReport, channel_report
from mbuzz.server.reporting.period import Period
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.server.tracking.intake import Batch, Intake
from tests.benchmarks import reports
from tests.benchmarks.figures import HEAD, Figure

_EVENTS = (1_000_000, 5_000_000)
_BATCH = 500
_DAY_MS = 86_400_000
_DAYS = 90
_SAMPLE = 40  # half the batches that are timed
_TENANT = Tenant(1, live=True)
_ZONE = "Asia/Kolkata"
_RETURNING = 4  # one of so many visits
_REMEMBERED = 100_000  # visitors who may return
_SALES = 2  # beside each batch, of its 125 visits
_LANDINGS = (
    ("?utm_source=google&utm_medium=cpc", "https://www.google.com/"),
    ("", "https://www.google.com/"),
    ("", None),
    ("?utm_source=news&utm_medium=email", None),
    ("", "https://blog.example/"),
    ("?utm_source=facebook&utm_medium=paid_social", "https://www.facebook.com/"),
)


class Traffic:
    """Makes what visitors do."""

    def __init__(self) -> None:
        self._chance = random.Random(1)
        self._known: list[str] = []

    def _visitor(self) -> str:
        chance = self._chance
        if self._known and chance.randrange(_RETURNING) == 0:
            return chance.choice(self._known)
        visitor = ids.visitor_id()
        if len(self._known) < _REMEMBERED:
            self._known.append(visitor)
        else:
            self._known[chance.randrange(_REMEMBERED)] = visitor
        return visitor

    def batch(self, at_ms: int) -> Batch:
        """Return events of two seconds, each fourth of which begins a visit."""
        calls = []
        referrer: str | None
        for number in range(_BATCH):
            tags, referrer = "", "https://shop.example/"
            if number % 4 == 0:
                visitor = self._visitor()
                tags, referrer = self._chance.choice(_LANDINGS)
            moment = at_ms + number * 4
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
                    url=f"https://shop.example/{number % 397}{tags}",
                    referrer=referrer,
                    user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
                    properties={"plan": "pro", "price": number / 100},
                )
            )
        return Batch(_TENANT, DEFAULT, calls)

    def sales(self, at_ms: int) -> Batch:
        """Return what visitors bought who were here of late."""
        calls = [
            ConversionCall(
                conversion_id=ids.time_ordered("conv", at_ms),
                dedupe_key=None,
                conversion_type="purchase",
                visitor_id=visitor,
                user_id=None,
                event_id=None,
                revenue_minor=1999,
                currency=None,
                converted_at_ms=at_ms,
                received_at_ms=at_ms,
            )
            for visitor in self._chance.sample(self._known, _SALES)
        ]
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


class Base(NamedTuple):
    """A database and who writes to it."""

    storage: SqliteStorage
    intake: Intake
    traffic: Traffic

    @classmethod
    def at(cls, path: Path) -> Base:
        """Return a new one."""
        return cls(SqliteStorage(str(path)), Intake(), Traffic())

    def cost(self, at_ms: int) -> float:
        """Take a batch and return its CPU per event in us."""
        given = self.traffic.batch(at_ms)
        begin = time.process_time()
        waiting = self.storage.submit(self.intake.record, given, _BATCH)
        self.storage.outcome(waiting)
        return (time.process_time() - begin) / _BATCH * 1e6


def growth(small: Base, large: Base, moments: Sequence[int]) -> tuple[float, float]:
    """Return what an event costs in both, batch by batch in turn."""
    costs = [(small.cost(at_ms), large.cost(at_ms)) for at_ms in moments]
    ours, theirs = zip(*costs, strict=True)
    return sorted(ours)[len(costs) // 2], sorted(theirs)[len(costs) // 2]


def fill(base: Base, moments: Sequence[int]) -> None:
    """Take a batch of each moment, and tell how far it is."""
    record, traffic = base.intake.record, base.traffic
    for number, at_ms in enumerate(moments):
        waiting = base.storage.submit(record, traffic.batch(at_ms), _BATCH)
        sold = base.storage.submit(record, traffic.sales(at_ms + 5_000), _SALES)
        base.storage.outcome(waiting)
        base.storage.outcome(sold)
        if number % max(1, len(moments) // 20) == 0:
            done = f"{number * _BATCH:,} of {len(moments) * _BATCH:,} events"
            print(done, file=sys.stderr, flush=True)


def _report(stores: Stores) -> ChannelReport:
    period = Period.parse(None, None, _ZONE, SYSTEM_CLOCK.now_ms())
    return channel_report(stores.reports, _TENANT, period, default_currency="USD")


def main(events: int) -> None:
    """Fill a database, and print what batches and reports cost as it grows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "growth.db"
        large, small = Base.at(path), Base.at(Path(folder) / "small.db")
        batches = max(8 * _SAMPLE, events // _BATCH)
        start_ms = SYSTEM_CLOCK.now_ms() - _DAYS * _DAY_MS
        step_ms = _DAYS * _DAY_MS // batches
        moments = [start_ms + number * step_ms for number in range(batches)]
        try:
            for base in (small, large):
                first = bootstrap.prepare(
                    base.storage, SYSTEM_CLOCK, timezone=_ZONE, live=True
                )
            assert first is not None
            reader = Reader(large.storage)
            fill(large, moments[: -2 * _SAMPLE])
            reader.stop()
            fill(small, moments[-4 * _SAMPLE : -2 * _SAMPLE])
            early, late = growth(small, large, moments[-2 * _SAMPLE :])
        finally:
            small.storage.close()
            large.storage.close()
        over_http = reports.figures(str(path), first.api_key, batches * _BATCH)
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
                note=f"the floor is a database of {2 * _SAMPLE * _BATCH:,}, in turn",
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
            *over_http,
        ):
            print(figure.line(), flush=True)


if __name__ == "__main__":
    for count in [int(text) for text in sys.argv[1:]] or _EVENTS:
        main(count)
