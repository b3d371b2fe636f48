"""Worlds that make journeys, the same on every machine, for tests and benchmarks.

All draws are `random.Random(seed).random()`, and all that is made of them is sums,
products, comparisons and whole numbers.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mbuzz.server.attribution.journeys import Journey

_DAY = 86_400  # seconds
_BEGIN = 1_780_272_000  # 2026-06-01, UTC

# As the files with the expected figures have it: touches are pairs of channel and Unix
# second, revenue is a decimal text.
Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftWorld:
    """Visitors walk from channel to channel, and each they met may lift their odds."""

    channels: Sequence[str]
    start: Sequence[float]
    leave: Sequence[float]
    following: Sequence[Sequence[float]]
    base: float
    lift: Sequence[float]
    can_convert: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkovWorld:
    """Visitors walk along a Markov chain; rows end in conversion and no conversion."""

    channels: Sequence[str]
    start: Sequence[float]
    rows: Sequence[Sequence[float]]


LIFT = LiftWorld(
    channels=(
        "paid_search organic_search paid_social email display referral direct push"
    ).split(),
    start=[0.18, 0.24, 0.20, 0.05, 0.17, 0.07, 0.06, 0.03],
    leave=[0.24, 0.26, 0.34, 0.22, 0.36, 0.30, 0.28, 0.30],
    following=[
        [0.22, 0.18, 0.08, 0.12, 0.06, 0.04, 0.26, 0.04],
        [0.14, 0.26, 0.07, 0.12, 0.05, 0.06, 0.26, 0.04],
        [0.16, 0.20, 0.20, 0.08, 0.12, 0.04, 0.16, 0.04],
        [0.08, 0.12, 0.05, 0.34, 0.04, 0.03, 0.28, 0.06],
        [0.16, 0.18, 0.16, 0.06, 0.24, 0.04, 0.12, 0.04],
        [0.10, 0.20, 0.08, 0.10, 0.06, 0.22, 0.20, 0.04],
        [0.10, 0.14, 0.05, 0.16, 0.04, 0.03, 0.44, 0.04],
        [0.10, 0.14, 0.10, 0.18, 0.06, 0.04, 0.26, 0.12],
    ],
    base=0.004,
    lift=[0.050, 0.022, 0.034, 0.060, 0.010, 0.028, 0.0, 0.0],
    can_convert=[1, 1, 1, 1, 1, 1, 1, 0],
)

MARKOV = MarkovWorld(
    channels="paid_search organic_search paid_social email display".split(),
    start=[0.25, 0.30, 0.22, 0.05, 0.18],
    rows=[
        [0.10, 0.15, 0.05, 0.12, 0.03, 0.15, 0.40],
        [0.12, 0.18, 0.04, 0.10, 0.03, 0.11, 0.42],
        [0.10, 0.12, 0.15, 0.05, 0.10, 0.03, 0.45],
        [0.05, 0.10, 0.02, 0.25, 0.02, 0.22, 0.34],
        [0.12, 0.10, 0.12, 0.02, 0.20, 0.01, 0.43],
    ],
)


def lift_records(count: int, seed: int, world: LiftWorld = LIFT) -> Iterator[Record]:
    """Yield records of a world in which conversions may come at every touchpoint."""
    draw = random.Random(seed).random
    for number in range(count):
        walked: list[int] = []
        met: set[int] = set()
        misses = 1.0 - world.base
        channel = _pick(world.start, draw())
        while True:
            walked.append(channel)
            if channel not in met:
                met.add(channel)
                misses *= 1.0 - world.lift[channel]
            converted = draw() < world.can_convert[channel] * (1.0 - misses)
            if converted or draw() < world.leave[channel] or len(walked) >= 40:
                break
            channel = _pick(world.following[channel], draw())
        yield _record(draw, number, walked, world.channels, converted=converted)


def markov_records(
    count: int, seed: int, world: MarkovWorld = MARKOV
) -> Iterator[Record]:
    """Yield records of walks along a Markov chain."""
    draw = random.Random(seed).random
    size = len(world.channels)
    for number in range(count):
        walked: list[int] = []
        following = _pick(world.start, draw())
        while following < size:
            walked.append(following)
            following = _pick(world.rows[walked[-1]], draw())
        converted = following == size
        yield _record(draw, number, walked, world.channels, converted=converted)


def perf_records(count: int, seed: int, channels: int = 10) -> Iterator[Record]:
    """Yield records of mean length 4, of which a tenth converts, all by chance."""
    draw = random.Random(seed).random
    names = [f"c{index}" for index in range(channels)]
    for number in range(count):
        walked = [int(draw() * channels)]
        while draw() >= 0.25:
            walked.append(int(draw() * channels))
        yield _record(draw, number, walked, names, converted=draw() < 0.10)


RECORDS: dict[str, Callable[[int, int], Iterator[Record]]] = {
    "lift": lift_records,
    "markov": markov_records,
    "perf": perf_records,
}


def journeys(records: Iterable[Record]) -> list[Journey]:
    """Return the journeys of *records*."""
    return [
        Journey(
            tuple(channel for channel, _ in record["touches"]),
            [second * 1000 for _, second in record["touches"]],
            _milliseconds(record["converted_at"]),
            None if record["revenue"] is None else _millionths(record["revenue"]),
            {
                name: record[f"{name}_at"] * 1000
                for name in ("mql", "sql")
                if record[f"{name}_at"] is not None
            },
        )
        for record in records
    ]


def digest(records: Iterable[Record]) -> str:
    """Return the SHA-256 of *records* as lines of JSON."""
    found = hashlib.sha256()
    for record in records:
        found.update(json.dumps(record, separators=(",", ":")).encode() + b"\n")
    return found.hexdigest()


def _milliseconds(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000


def _millionths(amount: str) -> int:
    return int(Decimal(amount) * 1_000_000)


def _pick(chances: Sequence[float], drawn: float) -> int:
    reached = 0.0
    for index, chance in enumerate(chances):
        reached += chance
        if drawn < reached:
            return index
    return len(chances) - 1


def _record(
    draw: Callable[[], float],
    number: int,
    walked: Sequence[int],
    names: Sequence[str],
    *,
    converted: bool,
) -> Record:
    """Give a walk its times, its milestones and its revenue."""
    at = _BEGIN + int(draw() * 90 * _DAY)
    touches = []
    for step, channel in enumerate(walked):
        if step:
            drawn = draw()
            at += 600 + int(drawn * drawn * 10 * _DAY)
        touches.append([names[channel], at])
    mql_at = sql_at = converted_at = revenue = None
    has_mql, where, later, has_sql = draw(), draw(), draw(), draw()
    if has_mql < 0.7:
        place = int(where * len(touches))
        mql_at = touches[place][1] + int(later * 540)
        if has_sql < 0.7:
            place += int(draw() * (len(touches) - place))
            sql_at = touches[place][1] + 541 + int(draw() * 50)
    if converted:
        converted_at = at + 60 + int(draw() * 530)
        drawn = draw()
        cents = 2000 + int(drawn * drawn * 30000)
        revenue = f"{cents // 100}.{cents % 100:02}"
        mql_at = None if mql_at is None else min(mql_at, converted_at)
        sql_at = None if sql_at is None else min(sql_at, converted_at)
    return {
        "id": number,
        "touches": touches,
        "converted_at": converted_at,
        "revenue": revenue,
        "mql_at": mql_at,
        "sql_at": sql_at,
    }
