"""Sets of touchpoints, as the bits of an integer; what selectors and conditions mean.

Bit 0 is the oldest. Sets of that kind are joined, cut and counted by one operation
each, however many touchpoints there are.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import reduce
from operator import and_, or_
from typing import TypeAlias

from mbuzz.server.attribution.dsl.syntax import (
    Age,
    Both,
    Channel,
    Condition,
    Either,
    Not,
    Selector,
)
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.rules import milestone


class Touches:
    """The touchpoints of a journey, as conditions ask for them."""

    __slots__ = ("_by_channel", "all", "journey", "size")

    def __init__(self, journey: Journey) -> None:
        self.journey = journey
        self.size = len(journey.channels)
        self.all = (1 << self.size) - 1
        self._by_channel: Mapping[str, int] | None = None

    @property
    def by_channel(self) -> Mapping[str, int]:
        """The touchpoints of each channel."""
        if self._by_channel is None:
            found: dict[str, int] = {}
            for position, channel in enumerate(self.journey.channels):
                found[channel] = found.get(channel, 0) | 1 << position
            self._by_channel = found
        return self._by_channel


Choose: TypeAlias = Callable[[Touches], int]


def positions(chosen: int) -> list[int]:
    """Return the positions in a set, in order."""
    # The text of a number in base 2 has one pass, shifting it bit by bit has many.
    return [n for n, bit in enumerate(reversed(f"{chosen:b}")) if bit == "1"]


def selecting(selector: Selector) -> Choose:
    """Return what chooses the touchpoints of a selector, but for `other_touches`."""
    match selector.name, selector.argument:
        case "first_touch", _:
            return lambda _: 1
        case "last_touch", _:
            return lambda touches: 1 << touches.size - 1
        case "middle_touches", _:
            return lambda touches: touches.all >> 1 & ~1 if touches.size > 2 else 0
        case "milestone", str(name):
            return _leading_to(name)
        case "touch", int(number):
            return _numbered(number)
    return lambda touches: touches.all


def meeting(condition: Condition) -> Choose:
    """Return what chooses the touchpoints that meet a condition."""
    match condition:
        case Selector():
            return selecting(condition)
        case Channel(names=names):
            return _of_channels(frozenset(names))
        case Age():
            return _of_age(condition)
        case Not(condition=inner):
            unmet = meeting(inner)
            return lambda touches: touches.all & ~unmet(touches)
        case Both(conditions=inners):
            return _joined(and_, tuple(map(meeting, inners)))
        case Either(conditions=inners):
            return _joined(or_, tuple(map(meeting, inners)))


def _joined(join: Callable[[int, int], int], inner: tuple[Choose, ...]) -> Choose:
    return lambda touches: reduce(join, [choose(touches) for choose in inner])


def _leading_to(name: str) -> Choose:
    def choose(touches: Touches) -> int:
        position = milestone(touches.journey, name)
        return 0 if position is None else 1 << position

    return choose


def _numbered(number: int) -> Choose:
    def choose(touches: Touches) -> int:
        position = number - 1 if number > 0 else touches.size + number
        return 1 << position if 0 <= position < touches.size else 0

    return choose


def _of_channels(names: frozenset[str]) -> Choose:
    def choose(touches: Touches) -> int:
        chosen = 0
        for channel, those in touches.by_channel.items():
            if channel in names:
                chosen |= those
        return chosen

    return choose


def _of_age(age: Age) -> Choose:
    """Ages are whole milliseconds, so that any limit is as good as a whole one."""
    limit = age.duration.milliseconds
    inclusive = age.comparison in ("<=", ">")
    oldest_ms = math.floor(limit) if inclusive else math.ceil(limit) - 1
    younger = age.comparison in ("<", "<=")

    def choose(touches: Touches) -> int:
        converted_at_ms = touches.journey.converted_at_ms
        assert converted_at_ms is not None, "only conversions are divided"
        older = bisect_left(touches.journey.times_ms, converted_at_ms - oldest_ms)
        old = (1 << older) - 1
        return touches.all & ~old if younger else old

    return choose
