"""What the server counts, and how Prometheus reads it.

Every update takes one lock for less than a microsecond, once for a request or commit,
not for an event. Gauges are functions that are asked when somebody reads.

Source: Prometheus text format 0.0.4.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from mbuzz import __version__

CONTENT_TYPE: Final = "text/plain; version=0.0.4"

_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 4000.0)

Labels = tuple[tuple[str, str], ...]
Gauge = Callable[[], float | None]


class Histogram:
    """How often a value was up to each bound; whoever has it holds its lock."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count *value*."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: Labels = ()) -> Iterable[str]:
        """Yield the samples."""
        count = 0
        for bound, here in zip((*self._bounds, None), self._counts, strict=True):
            count += here
            le = "+Inf" if bound is None else _text(bound)
            yield _sample(f"{name}_bucket", (*labels, ("le", le)), count)
        yield _sample(f"{name}_sum", labels, self._sum)
        yield _sample(f"{name}_count", labels, count)


class Metrics:
    """All counts of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._durations: dict[str, Histogram] = {}
        self._events: dict[str, int] = {"accepted": 0, "duplicate": 0}
        self._rejected: dict[str, int] = {}
        self._conversions = 0
        self._rate_limited = 0
        self._commits = Histogram(_SECONDS)
        self._per_commit = Histogram(_SIZES)
        self._failed_commits = 0
        self._gauges: dict[str, tuple[str, Gauge]] = {}

    # -- what happens

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; *route* is one of the table, never what was asked for."""
        where = (method, route, status)
        with self._lock:
            self._requests[where] = self._requests.get(where, 0) + 1
            durations = self._durations.get(route)
            if durations is None:
                durations = self._durations[route] = Histogram(_SECONDS)
            durations.add(seconds)
            if status == 429:
                self._rate_limited += 1

    def took(
        self,
        accepted: int,
        duplicates: int = 0,
        rejected: Iterable[str] = (),
        conversions: int = 0,
    ) -> None:
        """Count what became of a batch; *rejected* has a machine word for each."""
        with self._lock:
            self._events["accepted"] += accepted
            self._events["duplicate"] += duplicates
            self._conversions += conversions
            for reason in rejected:
                self._rejected[reason] = self._rejected.get(reason, 0) + 1

    def took_batch(self, reply: Mapping[str, Any], *, repeated: bool = False) -> None:
        """Count what the answer to a batch says; *repeated*: that it said before."""
        items, refused = reply["events"], reply["rejected"]
        if repeated:
            self.took(0, duplicates=len(items))
            return
        duplicates = conversions = 0
        for item in items:
            if item.get("duplicate"):
                duplicates += 1
            elif "conversion_id" in item:
                conversions += 1
        self.took(
            len(items) - duplicates,
            duplicates,
            [item.get("code", "invalid") for item in refused] if refused else (),
            conversions,
        )

    def committed(self, size: int, seconds: float) -> None:
        """Count a commit of so many events and calls."""
        with self._lock:
            self._commits.add(seconds)
            self._per_commit.add(size)

    def commit_failed(self) -> None:
        """Count a transaction that could not be committed."""
        with self._lock:
            self._failed_commits += 1

    def gauge(self, name: str, text: str, read: Gauge) -> None:
        """Have *read* asked for a value at each look; None is left out."""
        self._gauges[name] = (text, read)

    # -- what is read

    def read(self, name: str) -> float | None:
        """Return what a gauge says now; None for one that is not there."""
        found = self._gauges.get(name)
        return found[1]() if found else None

    def text(self) -> str:
        """Return all of it as Prometheus takes it."""
        with self._lock:
            lines = list(self._lines())
        for name, (text, read) in self._gauges.items():
            value = read()
            if value is not None:
                lines += [*_head(name, "gauge", text), _sample(name, (), value)]
        return "\n".join(lines) + "\n"

    def _lines(self) -> Iterable[str]:
        yield from _head("mbuzz_info", "gauge", "The version that runs.")
        yield _sample("mbuzz_info", (("version", __version__),), 1)
        yield from _counters(
            "mbuzz_http_requests_total",
            "Requests by method, route and status.",
            {
                (("method", method), ("route", route), ("status", str(status))): count
                for (method, route, status), count in self._requests.items()
            },
        )
        name = "mbuzz_http_request_duration_seconds"
        yield from _head(name, "histogram", "Time from a request to its answer.")
        for route, durations in self._durations.items():
            yield from durations.lines(name, (("route", route),))
        yield from _counters(
            "mbuzz_events_total",
            "Items of batches and single calls, by what became of them.",
            {
                (("outcome", outcome),): count
                for outcome, count in {
                    **self._events,
                    "rejected": sum(self._rejected.values()),
                }.items()
            },
        )
        yield from _counters(
            "mbuzz_events_rejected_total",
            "Rejected items by reason.",
            {(("reason", why),): count for why, count in self._rejected.items()},
        )
        for name, text, count in (
            ("mbuzz_conversions_total", "Conversions recorded.", self._conversions),
            ("mbuzz_rate_limited_total", "Answers 429.", self._rate_limited),
            ("mbuzz_commits_failed_total", "Failed commits.", self._failed_commits),
        ):
            yield from _counters(name, text, {(): count})
        name = "mbuzz_commit_duration_seconds"
        yield from _head(name, "histogram", "Time of a transaction, sync included.")
        yield from self._commits.lines(name)
        name = "mbuzz_commit_events"
        yield from _head(name, "histogram", "Events and calls of one commit.")
        yield from self._per_commit.lines(name)


def _head(name: str, kind: str, text: str) -> Iterable[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _counters(name: str, text: str, counts: Mapping[Labels, int]) -> Iterable[str]:
    yield from _head(name, "counter", text)
    for labels, count in counts.items():
        yield _sample(name, labels, count)


def _sample(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{inside}}} {_text(value)}" if inside else f"{name} {_text(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
