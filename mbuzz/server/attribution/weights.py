"""What a model says of a journey: a weight for each touchpoint, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, NamedTuple, TypeAlias, cast

from mbuzz.server.attribution.allocation import (
    allocate,
    allocate_floats,
    share_out,
)
from mbuzz.server.attribution.journeys import Journey

WHOLE: Final = 1_000_000_000  # billionths in one conversion


# Of floats that are all smaller the sum could be nothing to divide by.
_SMALL: Final = 1e-9


class Weights(NamedTuple):
    """How one model divides one journey.

    Attributes:
        parts: A number for each touchpoint, of which only proportions matter; one at
            least is more than 0. Either all are whole, or all are from 0 to 1.
        scale: What a part is divided by to give the weight that people know, such as
            0.4 of a U-shaped model's first touchpoint.
        roles: What each touchpoint was to the model, such as ``first_touch`` or
            ``first_touch+mql``; empty where position decides nothing.
        credits: The share of each touchpoint in billionths; they sum to `WHOLE`.
        whole: What the parts sum to, if they are whole numbers.
    """

    parts: Sequence[int] | Sequence[float]
    scale: float
    roles: Sequence[str]
    credits: Sequence[int]
    whole: int | None = None

    def weight(self, position: int) -> float:
        """Return a touchpoint's weight before it was made a share."""
        return self.parts[position] / self.scale

    def revenues(self, revenue: int) -> list[int]:
        """Return *revenue* divided by the weights; the amounts sum to it exactly.

        They do not inherit the rounding of the credits.
        """
        if self.whole is None:
            return allocate_floats(revenue, self.parts)
        return share_out(revenue, cast("Sequence[int]", self.parts), self.whole)


# From a journey, never empty, to its weights. Models are pure: the same journey always
# has the same weights, so what is known of one may be kept.
Weigh: TypeAlias = Callable[[Journey], Weights]


def weigh(parts: Sequence[int], scale: int = 1, roles: Sequence[str] = ()) -> Weights:
    """Return the weights of *parts*, whole numbers in proportion."""
    shares = allocate(WHOLE, parts)
    return Weights(parts, scale, roles or ("",) * len(parts), shares, sum(parts))


def weigh_floats(values: Sequence[float], roles: Sequence[str] = ()) -> Weights:
    """Return the weights of *values*, each from 0 to 1.

    Where none is more than 0, all touchpoints are equal.
    """
    highest, scale = max(values), 1.0
    if not highest:
        return weigh([1] * len(values), 1, roles)
    if highest < _SMALL:
        scale = 1 / highest
        values = [value / highest for value in values]
    shares = allocate_floats(WHOLE, values)
    return Weights(values, scale, roles or ("",) * len(values), shares)


def weigh_exactly(values: Sequence[Fraction], roles: Sequence[str] = ()) -> Weights:
    """Return the weights of *values*, none of them negative."""
    scale = math.lcm(*(value.denominator for value in values))
    parts = [value.numerator * (scale // value.denominator) for value in values]
    return weigh(parts, scale, roles)
