"""What waiting events take, and that it ends somewhere whatever the server does."""

from __future__ import annotations

import gc
import os
import resource
import time
import tracemalloc
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import mbuzz
from tests.benchmarks import faults, raw_sink
from tests.benchmarks.figures import Figure, apart, failed
from tests.benchmarks.floor import event, properties

_QUEUED = 9_000  # of 10 000 that fit
_MIB = 1_048_576


def _track(number: int) -> bool:
    given = properties(number)
    return bool(mbuzz.track("Product Viewed", user_id="42", properties=given))


def _floor_bytes(_url: str) -> float:
    queue: deque[str] = deque(event(properties(number)) for number in range(100))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(_QUEUED):
        queue.append(event(properties(number)))
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / _QUEUED


def _our_bytes(url: str) -> float:
    raw_sink.configure(url)
    for number in range(500):
        _track(number)
    until = time.monotonic() + 10
    while not mbuzz.stats().in_flight and time.monotonic() < until:
        time.sleep(0.01)
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(_QUEUED):
        assert _track(number)
    gc.collect()
    taken = (tracemalloc.get_traced_memory()[0] - before) / _QUEUED
    mbuzz.close(0.1)
    return taken


def queued_row() -> list[Figure]:
    """Return the bytes of one event that waits while the server says nothing."""
    with raw_sink.running(answers=False) as sink:
        (floor,) = apart(_floor_bytes, [sink.url])
        (ours,) = apart(_our_bytes, [sink.url])
    if isinstance(floor, str) or isinstance(ours, str):
        return [failed("memory", "memory per queued event", f"{floor}, {ours}")]
    return [
        Figure(
            row="memory",
            what="memory per queued event",
            unit="B",
            floor=floor,
            ours=ours,
            goal=600,
            limit=True,
        )
    ]


def _resident() -> float:
    """Return the process's memory in MiB."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        pages = int(statm.read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / _MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _offer(mode: str, count: int) -> tuple[float, int, float]:
    """Return the most MiB that were taken, the events refused, and seconds."""
    with faults.running(mode, forgetful=True) as server:
        raw_sink.configure(server.url)
        _track(0)
        start = highest = _resident()
        refused = 0
        begin = time.monotonic()
        for number in range(count):
            refused += not _track(number)
            if number % 5_000 == 0:
                highest = max(highest, _resident())
        highest = max(highest, _resident())
        spent = time.monotonic() - begin
        mbuzz.close(0.1)
    return highest - start, refused, spent


def bounded_row(count: int, modes: Sequence[str] | None) -> list[Figure]:
    """Return what the process grows by while *count* events are offered to a fault."""
    names = tuple(modes or faults.MODES)
    results = apart(_offer, names, [count] * len(names), workers=2)
    return [
        _growth(f"{count:,} events, {mode}: growth", count, result)
        for mode, result in zip(names, results, strict=True)
    ]


def _growth(what: str, count: int, result: tuple[float, int, float] | str) -> Figure:
    if isinstance(result, str):
        return failed("bounded", what, result)
    growth, refused, spent = result
    return Figure(
        row="bounded",
        what=what,
        unit="MiB",
        floor=None,
        ours=growth,
        goal=32,  # what the queue may hold by default
        note=f"refused {refused:,}, {spent / count * 1e6:.0f} us a call",
    )
