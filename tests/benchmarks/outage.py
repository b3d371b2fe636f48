"""A server that fails for a while, in every way, and what became of the events."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import mbuzz
from tests.benchmarks import faults
from tests.benchmarks.figures import Figure, apart, failed
from tests.benchmarks.floor import event, properties
from tests.benchmarks.raw_sink import configure

_EVERY = 0.01  # seconds between two events
_PATIENCE = 90.0  # seconds for recovery
_AROUND = 1.25  # seconds before and after; not when a batch is due


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """What became of the events of one outage."""

    offered: int
    lost: int  # never reached the server
    doubled: int  # reached it under two ids
    sent_again: int  # under the same id, which the server counts once
    raised: int
    first: float  # ms; it loads modules and starts a thread, the server being well
    longest: float  # ms, from the outage's beginning on
    floor_longest: float
    recovered_in: float  # seconds
    note: str = ""


class _Caller:
    """Tracks a hundred events a second, each beside the floor's call."""

    def __init__(self) -> None:
        self.number = self.raised = 0
        self.longest = self.floor_longest = 0
        self._queue: deque[str] = deque(maxlen=10_000)

    def go_on(self, seconds: float) -> None:
        due = time.monotonic()
        for _ in range(round(seconds / _EVERY)):
            given = {**properties(self.number), "n": self.number}
            begin = time.perf_counter_ns()
            self._queue.append(event(given))
            between = time.perf_counter_ns()
            try:
                mbuzz.track("Product Viewed", user_id="42", properties=given)
            except Exception:
                self.raised += 1
            end = time.perf_counter_ns()
            self.floor_longest = max(self.floor_longest, between - begin)
            self.longest = max(self.longest, end - between)
            self.number += 1
            due += _EVERY
            time.sleep(max(0.0, due - time.monotonic()))


def survive(mode: str, seconds: float) -> Survived:
    """Let the server fail like *mode* for *seconds*, then recover."""
    note = ""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        options: dict[str, object] = {}
        tls, well = None, "ok"
        if mode == "not_tls":
            tls = faults.certificate(folder)
            options["ca_bundle"] = tls[0]
            well = "connection_close"  # the next connection is the one that fails
        if mode in faults.FINAL:
            options["spool_dir"] = folder
        server = stack.enter_context(faults.running(well, tls=tls))
        configure(server.url, **options)
        caller = _Caller()
        caller.go_on(_EVERY)
        first = caller.longest / 1e6
        caller.go_on(_AROUND)
        caller.longest = caller.floor_longest = 0
        server.mode(mode)
        caller.go_on(seconds)
        server.mode(well)
        begin = time.monotonic()
        caller.go_on(_AROUND)
        while time.monotonic() - begin < _PATIENCE and not mbuzz.flush(1.0):
            time.sleep(0.05)
        recovered_in = time.monotonic() - begin
        mbuzz.close()
        if "spool_dir" in options:
            note = f"replay {faults.replay(folder, server.url)}"
        arrived = server.arrived()
    ids: dict[int | None, set[str]] = {}
    for item_id, number in arrived:
        ids.setdefault(number, set()).add(item_id)
    different = sum(len(of_one) for of_one in ids.values())
    return Survived(
        offered=caller.number,
        lost=caller.number - len(ids),
        doubled=different - len(ids),
        sent_again=len(arrived) - different,
        raised=caller.raised,
        first=first,
        longest=caller.longest / 1e6,
        floor_longest=caller.floor_longest / 1e6,
        recovered_in=recovered_in,
        note=note,
    )


def outage_row(
    seconds: float, modes: Sequence[str] | None, parallel: int
) -> list[Figure]:
    """Return the longest call of each outage; its note says what became of events."""
    names = tuple(modes or faults.MODES)
    results = apart(survive, names, [seconds] * len(names), workers=parallel)
    return [
        _figure(f"{seconds:g} s of {mode}: longest call", result)
        for mode, result in zip(names, results, strict=True)
    ]


def _figure(what: str, result: Survived | str) -> Figure:
    if isinstance(result, str):
        return failed("outage", what, result)
    return Figure(
        row="outage",
        what=what,
        unit="ms",
        floor=result.floor_longest,
        ours=result.longest,
        goal=result.floor_longest + 10,
        limit=True,
        sound=not (result.lost or result.doubled or result.raised),
        note=f"lost {result.lost} of {result.offered}, doubled {result.doubled}, "
        f"raised {result.raised}; sent again {result.sent_again}, "
        f"settled in {result.recovered_in:.1f} s, first call {result.first:.1f} ms"
        + (f"; {result.note}" if result.note else ""),
    )
