"""A measured figure beside its floor and its goal, its line, and what runs apart."""

from __future__ import annotations

import logging
import math
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table; what has no floor is held against a limit instead."""

    row: str
    what: str
    unit: str
    floor: float | None
    ours: float
    goal: float  # of the ratio, or of the figure where there is no floor; or none: inf
    least: bool = False  # the goal is the least, not the most
    limit: bool = False  # the goal is of the figure although there is a floor
    sound: bool = True  # nothing else went wrong; the note says what did
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return how many floors it is."""
        return self.ours / self.floor if self.floor else None

    @property
    def met(self) -> bool:
        """Tell whether the goal is reached."""
        ratio = None if self.limit else self.ratio
        value = self.ours if ratio is None else ratio
        good = value >= self.goal if self.least else value <= self.goal
        return good and self.sound

    def line(self) -> str:
        """Return the figure as one line of the table."""
        floor = "" if self.floor is None else _short(self.floor)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        sign = ">=" if self.least else "<="
        absolute = self.limit or self.floor is None
        goal = f"{sign} {_short(self.goal)}{'' if absolute else ' x'}"
        verdict = "met" if self.met else "NOT MET"
        if math.isinf(self.goal):  # only to be known
            goal, verdict = "", "" if self.sound else "NOT MET"
        return (
            f"{self.what:42}{self.unit:>7}{floor:>10}{_short(self.ours):>10}{ratio:>7}"
            f"  {goal:11}{verdict:8} {self.note}"
        ).rstrip()

    def record(self) -> dict[str, object]:
        """Return the figure as JSON has it."""
        return {
            "row": self.row,
            "what": self.what,
            "unit": self.unit,
            "floor": self.floor,
            "ours": self.ours if math.isfinite(self.ours) else None,
            "ratio": self.ratio,
            "goal": self.goal if math.isfinite(self.goal) else None,
            "goal_is": "least" if self.least else "most",
            "met": self.met,
            "note": self.note,
        }


HEAD = (
    f"{'':42}{'unit':>7}{'floor':>10}{'ours':>10}{'ratio':>7}  {'goal':11}{'':8} note"
)


def middle(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, str]:
    """Return floor and ours of the round with the middle ratio, and the ratios' range.

    Both sides of a round ran one after the other, so a machine that is slow for a
    while is slow for both; the best of each could be of different moments.
    """
    ordered = sorted(pairs, key=lambda pair: pair[1] / pair[0])
    (floor_low, low), (floor_high, high) = ordered[0], ordered[-1]
    spread = f"rounds {low / floor_low:.2f}-{high / floor_high:.2f}"
    return *ordered[len(ordered) // 2], spread


def failed(row: str, what: str, reason: str) -> Figure:
    """Return the line of what could not be measured."""
    return Figure(
        row=row,
        what=what,
        unit="",
        floor=None,
        ours=math.inf,
        goal=0,
        sound=False,
        note=f"FAILED, {reason}",
    )


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def quiet() -> None:
    """Keep the SDK's warnings, which faults are meant to cause, out of the table."""
    logger = logging.getLogger("mbuzz")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False


def apart(
    function: Callable[..., T], *columns: Sequence[object], workers: int = 1
) -> list[T | str]:
    """Map *function* over *columns*, each call in a new process of its own.

    What raised is a text that says so, and costs no other call.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, spawn, initializer=quiet, max_tasks_per_child=1
    ) as pool:
        return list(pool.map(_tried, [function] * len(columns[0]), *columns))


def of_each(
    row: str,
    names: Sequence[str],
    results: Sequence[T | str],
    figures: Callable[[str, T], Sequence[Figure]],
) -> list[Figure]:
    """Return the figures of what was mapped `apart`, one line for each that failed."""
    found: list[Figure] = []
    for name, result in zip(names, results, strict=True):
        if isinstance(result, str):
            found.append(failed(row, name, result))
        else:
            found.extend(figures(name, result))
    return found


def together(work: Callable[[int], object], threads: int) -> float:
    """Do *work* in so many threads, each given its number; return when they began."""
    ready = threading.Barrier(threads + 1)

    def begin_and_work(number: int) -> None:
        ready.wait()
        work(number)

    workers = [
        threading.Thread(target=begin_and_work, args=(number,), daemon=True)
        for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    ready.wait()
    begin = time.perf_counter()
    for worker in workers:
        worker.join()
    return begin


def _tried(function: Callable[..., T], *arguments: object) -> T | str:
    try:
        return function(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
