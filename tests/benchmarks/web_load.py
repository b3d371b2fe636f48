"""Closed and open loops of visitors, in threads or an event loop, and their spans."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from tests.benchmarks.figures import together
from tests.benchmarks.raw_sink import Sink

# What the backend does: seconds until it answers, or how it does not.
BACKENDS: dict[str, float | str] = {
    "0 ms": 0.0,
    "20 ms": 0.02,
    "200 ms": 0.2,
    "refused": "refuse",
    "black hole": "hang",
}
VIEW = 0.005  # seconds
_LAG_EVERY = 0.005  # seconds between two looks at the loop


@dataclass(frozen=True, slots=True)
class Spans:
    """How long requests took, in milliseconds."""

    of_known: list[float] = field(default_factory=list)
    of_new: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)  # of the event loop
    rates: list[float] = field(default_factory=list)  # requests a second

    @property
    def all(self) -> list[float]:
        """Return the spans of all requests."""
        return self.of_known + self.of_new

    @property
    def rate(self) -> float:
        """Return the mean of the rates."""
        return sum(self.rates) / len(self.rates)

    def add(self, new: bool, seconds: float) -> None:
        """Keep one request's time."""
        (self.of_new if new else self.of_known).append(seconds * 1000)

    def extend(self, other: Spans) -> None:
        """Take in what another run has measured."""
        self.of_known.extend(other.of_known)
        self.of_new.extend(other.of_new)
        self.lag.extend(other.lag)
        self.rates.extend(other.rates)


def share(spans: Iterable[float], part: float) -> float:
    """Return the span that *part* of all spans do not exceed."""
    ordered = sorted(spans)
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def longer(spans: Iterable[float], than: float) -> int:
    """Count the spans that are longer than so many milliseconds."""
    return sum(span > than for span in spans)


def spoil(sink: Sink, backend: str) -> None:
    """Let the sink, well until now, do what *backend* says."""
    sink.behave(BACKENDS[backend])


def threads(
    serve: Callable[[bool, int], object],
    seconds: float,
    *,
    new: float,
    rate: float | None = None,
    count: int = 8,
) -> Spans:
    """Call *serve* (is it a new visitor, a number) from *count* threads.

    Each calls again as soon as it may, or, at a *rate* of all together, when it is due;
    then the time counts from there, so that a late request's wait is seen.
    """
    found = [Spans() for _ in range(count)]
    pause = 0.0 if rate is None else count / rate

    def work(place: int) -> None:
        chance = random.Random(place)
        due = begin = time.perf_counter()
        due += pause * place / count
        number = place
        while due < begin + seconds:
            if pause:
                time.sleep(max(0.0, due - time.perf_counter()))
            is_new = chance.random() < new
            serve(is_new, number)
            now = time.perf_counter()
            found[place].add(is_new, now - due)
            due = due + pause if pause else now
            number += count

    begin = together(work, count)
    whole = Spans()
    for one in found:
        whole.extend(one)
    whole.rates.append(len(whole.all) / (time.perf_counter() - begin))
    return whole


async def loop(
    serve: Callable[[bool, int], Awaitable[object]],
    seconds: float,
    *,
    new: float,
    rate: float,
) -> Spans:
    """Start *serve* so many times a second in the event loop, whose lag is watched."""
    spans = Spans()
    chance = random.Random(7)

    async def one(due: float, number: int, is_new: bool) -> None:
        await serve(is_new, number)
        spans.add(is_new, time.perf_counter() - due)

    async def watch() -> None:
        while True:
            due = time.perf_counter() + _LAG_EVERY
            await asyncio.sleep(_LAG_EVERY)
            spans.lag.append((time.perf_counter() - due) * 1000)

    watcher = asyncio.create_task(watch())
    begin = due = time.perf_counter()
    running = []
    while due < begin + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        given = (due, len(running), chance.random() < new)
        running.append(asyncio.create_task(one(*given)))
        due += 1 / rate
    await asyncio.gather(*running)
    watcher.cancel()
    return spans
