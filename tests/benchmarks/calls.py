"""What calls cost the caller, the process and the wire, and events a second."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mbuzz
from tests.benchmarks.figures import Figure, middle, together
from tests.benchmarks.floor import Floor, event, properties
from tests.benchmarks.raw_sink import Arrived, Sink, configure, running

BURST = 100
PAUSE = 0.005  # seconds between two bursts
Given = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds a call, and what came of them."""

    cpu: float  # of the calling thread
    median: float
    p99: float
    process: float  # CPU of all threads, until the last event is delivered
    arrived: Arrived | None = None

    @property
    def wire(self) -> float:
        """Return the bytes sent for one event."""
        assert self.arrived is not None
        return self.arrived.wire_bytes / self.arrived.events


def in_bursts(
    track: Callable[[Given], object], settle: Callable[[], object], calls: int
) -> Cost:
    """Call *track* in bursts; making the properties is not counted."""
    spans: list[int] = []
    cpu = making = 0
    whole = time.process_time_ns()
    for first in range(0, calls, BURST):
        begin = time.thread_time_ns()
        burst = [properties(number) for number in range(first, first + BURST)]
        making += time.thread_time_ns() - begin
        begin = time.thread_time_ns()
        for given in burst:
            called = time.perf_counter_ns()
            track(given)
            spans.append(time.perf_counter_ns() - called)
        cpu += time.thread_time_ns() - begin
        time.sleep(PAUSE)
    settle()
    whole = time.process_time_ns() - whole - making
    spans.sort()
    return Cost(
        cpu=cpu / calls / 1000,
        median=statistics.median(spans) / 1000,
        p99=spans[len(spans) * 99 // 100] / 1000,
        process=whole / calls / 1000,
    )


def floor_cost(sink: Sink, calls: int) -> Cost:
    """Measure the floor."""
    floor = Floor(sink.url)
    cost = in_bursts(floor.track, floor.close, calls)
    return _with_arrived(cost, sink, calls)


def our_cost(sink: Sink, calls: int) -> Cost:
    """Measure the module functions over the default client."""
    configure(sink.url)
    track = mbuzz.track

    def call(given: Given) -> None:
        track("Product Viewed", user_id="42", properties=given)

    cost = in_bursts(call, lambda: mbuzz.flush(60), calls)
    mbuzz.close()
    return _with_arrived(cost, sink, calls)


def _with_arrived(cost: Cost, sink: Sink, calls: int) -> Cost:
    arrived = sink.arrived()
    assert arrived.ids == arrived.events == calls, arrived
    return Cost(
        cpu=cost.cpu,
        median=cost.median,
        p99=cost.p99,
        process=cost.process,
        arrived=arrived,
    )


def track_row(calls: int, rounds: int) -> list[Figure]:
    """Return the costs of a call, of *rounds* in which floor and SDK take turns."""
    with running() as sink:
        floor_cost(sink, BURST * 10)  # both learn what they learn once
        our_cost(sink, BURST * 10)
        pairs = [
            (floor_cost(sink, calls), our_cost(sink, calls)) for _ in range(rounds)
        ]
    return [
        _figure("track", pairs, "cpu", "track(), CPU in the caller"),
        _figure("track", pairs, "median", "track(), median"),
        _figure("track", pairs, "p99", "track(), 99th percentile"),
        _figure("track", pairs, "process", "CPU of the whole process per event"),
        _figure("track", pairs, "wire", "bytes on the wire per event", limit=54),
    ]


def _figure(
    row: str,
    pairs: Sequence[tuple[Cost, Cost]],
    name: str,
    what: str,
    limit: float | None = None,
) -> Figure:
    floor, ours, spread = middle(
        [(getattr(floor, name), getattr(ours, name)) for floor, ours in pairs]
    )
    return Figure(
        row=row,
        what=what,
        unit="us" if limit is None else "B",
        floor=floor,
        ours=ours,
        goal=limit or 2.0,
        limit=limit is not None,
        note=spread,
    )


# -- events a second --


def _rush(
    offer: Callable[[Given], bool],
    settle: Callable[[], object],
    calls: int,
    threads: int,
) -> float:
    """Return events a second until the last is delivered; callers wait for room."""
    pool = [properties(number) for number in range(2_000)]

    def work(first: int) -> None:
        for number in range(first, calls, threads):
            while not offer(pool[number % 2_000]):
                time.sleep(0.001)

    begin = together(work, threads)
    settle()
    return calls / (time.perf_counter() - begin)


def _our_offer(given: Given) -> bool:
    result = mbuzz.track("Product Viewed", user_id="42", properties=given)
    if not result and result.error != "queue_full":
        raise AssertionError(result.error)
    return result.success


def throughput_row(calls: int, rounds: int) -> list[Figure]:
    """Return delivered events a second with one and with four calling threads."""
    figures = []
    with running() as sink:
        for threads in (1, 4):
            pairs, lost = [], 0
            for _ in range(rounds):
                floor = Floor(sink.url)
                least = _rush(floor.offer, floor.close, calls, threads)
                assert sink.arrived().ids == calls
                configure(sink.url)
                ours = _rush(_our_offer, lambda: mbuzz.flush(120), calls, threads)
                arrived = sink.arrived()
                lost += calls - arrived.ids + arrived.events - arrived.ids
                mbuzz.close()
                pairs.append((least, ours))
            floor_rate, our_rate, spread = middle(pairs)
            figures.append(
                Figure(
                    row="throughput",
                    what=f"delivered events a second, {threads} thread(s)",
                    unit="1/s",
                    floor=floor_rate,
                    ours=our_rate,
                    goal=0.45,
                    least=True,
                    sound=lost == 0,
                    note=f"{spread}; lost or doubled {lost} of {calls * rounds:,}",
                )
            )
    return figures


# -- durable=True --


def durable_row(calls: int, rounds: int) -> list[Figure]:
    """Return what a call costs that leaves the event on disk before it returns."""
    with running() as sink, tempfile.TemporaryDirectory() as folder:
        pairs = []
        for number in range(rounds):
            place = f"{folder}/{number}"
            pairs.append(
                (
                    _written_floor(sink, place + ".floor", calls),
                    _durable(sink, place, calls),
                )
            )
    return [
        _figure("durable", pairs, "cpu", "durable=True: track(), CPU in the caller"),
        _figure("durable", pairs, "median", "durable=True: track(), median"),
        _figure("durable", pairs, "p99", "durable=True: track(), 99th percentile"),
        _figure("durable", pairs, "process", "durable=True: CPU of the process"),
    ]


def _written_floor(sink: Sink, path: str, calls: int) -> Cost:
    """Measure the floor with one write of the same bytes to a file in each call."""
    floor = Floor(sink.url)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def track(given: Given) -> None:
        body = event(given)
        os.write(file, body.encode())
        floor.put(body)

    cost = in_bursts(track, floor.close, calls)
    os.close(file)
    return _with_arrived(cost, sink, calls)


def _durable(sink: Sink, folder: str, calls: int) -> Cost:
    configure(sink.url, spool_dir=folder, durable=True)

    def call(given: Given) -> None:
        mbuzz.track("Product Viewed", user_id="42", properties=given)

    cost = in_bursts(call, lambda: mbuzz.flush(60), calls)
    mbuzz.close()
    return _with_arrived(cost, sink, calls)
