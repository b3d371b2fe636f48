"""Logistic regression with a ridge: how features that are there move the log-odds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import add, mul, sub, truediv
from typing import Final, NamedTuple

from mbuzz.server.attribution.picking import picker

_CLOSE: Final = 1e-9  # of each entry of the gradient
_FINE: Final = 1e-12  # for each trial: where rounding may be all that is left
_MOST_STEPS: Final = 100
_LEAST_SIZE: Final = 1e-9  # of a Newton step's
_MOST_TURNS: Final = 1000
_NEAR: Final = 1e-10  # of the squared length that is left to go


class Observed(NamedTuple):
    """So many trials in which just these features were there, and their successes."""

    features: Sequence[int]
    trials: int
    successes: int


class Fit(NamedTuple):
    """The coefficients that fit best, and how nearly: the gradient's largest entry."""

    intercept: float
    coefficients: list[float]
    gradient: float


def sigmoid(value: float) -> float:
    """Return the probability whose log-odds are *value*."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    odds = math.exp(value)
    return odds / (1.0 + odds)


def fit(observed: Sequence[Observed], features: int) -> Fit:
    """Return the coefficients of least log-loss plus half the sum of their squares.

    The intercept is not penalized. There is one such fit, as long as there are both
    successes and failures.

    Source: Newton's method (iteratively reweighted least squares), each step found by
    conjugate gradients; the penalty is that of scikit-learn's ``C=1``.
    """
    problem = _Problem(observed, features)
    trials, successes = sum(problem.trials), sum(problem.successes)
    # The intercept is the last of the coefficients.
    point = [0.0] * features + [math.log(successes / (trials - successes))]
    slope, spread = problem.slope(point)
    for _ in range(_MOST_STEPS):
        if _largest(slope) < _CLOSE:
            break
        step = _newton_step(problem, spread, slope)
        before, size = _dot(step, slope), 1.0
        while True:
            ahead = [at - size * by for at, by in zip(point, step, strict=True)]
            slope_ahead, spread_ahead = problem.slope(ahead)
            # Uphill on the far side, steeper than half of what went down: too far.
            if _dot(step, slope_ahead) >= -before / 2 or size < _LEAST_SIZE:
                break
            size /= 2
        if size == 1.0 and _largest(slope_ahead) >= _largest(slope) < _FINE * trials:
            break  # as near as floats get
        point, slope, spread = ahead, slope_ahead, spread_ahead
    *coefficients, intercept = point
    return Fit(intercept, coefficients, _largest(slope))


class _Problem:
    """The loss by coefficients, of which the intercept is the last."""

    __slots__ = ("_columns", "_rows", "successes", "trials")

    def __init__(self, observed: Sequence[Observed], features: int) -> None:
        self.trials = [row.trials for row in observed]
        self.successes = [row.successes for row in observed]
        self._rows = [picker(row.features) for row in observed]
        columns: list[list[int]] = [[] for _ in range(features)]
        for index, row in enumerate(observed):
            for feature in row.features:
                columns[feature].append(index)
        self._columns = [picker(column) for column in columns]

    def slope(self, point: Sequence[float]) -> tuple[list[float], list[float]]:
        """Return the gradient at a *point*, and the variance of each row's count."""
        chances = [sigmoid(odds) for odds in self._sums(point)]
        expected = list(map(mul, self.trials, chances))
        excess = list(map(sub, expected, self.successes))
        spread = [
            mean * (1.0 - chance)
            for mean, chance in zip(expected, chances, strict=True)
        ]
        return list(map(add, self.by_feature(excess), [*point[:-1], 0.0])), spread

    def curved(
        self, spread: Sequence[float], direction: Sequence[float]
    ) -> list[float]:
        """Return the curvature times a *direction*, given the rows' *spread*."""
        moved = list(map(mul, spread, self._sums(direction)))
        return list(map(add, self.by_feature(moved), [*direction[:-1], 0.0]))

    def by_feature(self, values: Sequence[float]) -> list[float]:
        """Return the sums of the rows' *values* by feature, and of all at the end."""
        return [*(sum(pick(values)) for pick in self._columns), sum(values)]

    def _sums(self, point: Sequence[float]) -> list[float]:
        return [sum(pick(point), point[-1]) for pick in self._rows]


def _newton_step(
    problem: _Problem, spread: Sequence[float], slope: Sequence[float]
) -> list[float]:
    """Return the step whose product with the curvature is *slope*.

    Source: the preconditioned conjugate gradient method, scaled by the diagonal.
    """
    scales = list(
        map(add, problem.by_feature(spread), [1.0] * (len(slope) - 1) + [0.0])
    )
    step = [0.0] * len(slope)
    rest = list(slope)
    direction = scaled = list(map(truediv, rest, scales))
    left = first = _dot(rest, scaled)
    for _ in range(_MOST_TURNS):
        if left <= first * _NEAR:
            break
        curved = problem.curved(spread, direction)
        length = left / _dot(direction, curved)
        step = [at + length * by for at, by in zip(step, direction, strict=True)]
        rest = [at - length * by for at, by in zip(rest, curved, strict=True)]
        scaled = list(map(truediv, rest, scales))
        before, left = left, _dot(rest, scaled)
        turn = left / before
        direction = [at + turn * by for at, by in zip(scaled, direction, strict=True)]
    return step


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(map(mul, one, other))


def _largest(values: Sequence[float]) -> float:
    return max(map(abs, values))
