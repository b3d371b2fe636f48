"""The algorithmic model: what having met a channel does to the odds of converting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mbuzz.server.attribution.coalitions import (
    count_coalitions,
    floored,
    shapley_values,
    weigh_by_share,
)
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.logistic import Observed, fit, sigmoid
from mbuzz.server.attribution.paths import PathTable
from mbuzz.server.attribution.weights import Weights

# Of a larger set not every part is looked at.
_EXACT: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmicModel:
    """What a logistic regression learned of having met each channel, or not.

    Attributes:
        intercept: The log-odds of converting without any known channel.
        coefficients: What each channel adds to them, by channel, sorted.
        fallback: Nobody converted, or everybody did, so that nothing could be learned
            and the channels of a journey are equal.
    """

    intercept: float
    coefficients: Mapping[str, float]
    fallback: bool

    def shares(self, channels: frozenset[str]) -> Mapping[str, float]:
        """Return the shares of those of *channels* that are known.

        The probability that any of them would have brought is split equally, what each
        adds to it fairly, by Shapley value. Above 12 channels the lift is split in
        proportion to the coefficients above 0, which is nearly the same.
        """
        known = tuple(sorted(channels & self.coefficients.keys()))
        if self.fallback or not known:
            return {}
        effects = [self.coefficients[channel] for channel in known]
        split = _exactly if len(known) <= _EXACT else _nearly
        return floored(dict(zip(known, split(self.intercept, effects), strict=True)))

    def weigh(self, journey: Journey) -> Weights:
        """Return each touchpoint's weight: its channel's share, split over all of it.

        Channels that were not learned of get nothing beside those that were.
        """
        return weigh_by_share(self.shares(frozenset(journey.channels)), journey)


def train(table: PathTable) -> AlgorithmicModel:
    """Return what *table* says of the odds of converting.

    Sources: Shao and Li, "Data-driven multi-touch attribution models" (KDD 2011), for
    the regression; Mahboobi, Usta and Bagheri, "Coalition game theory in attribution
    modeling" (2018), for splitting what it predicts.
    """
    channels = table.channels
    if not 0 < table.conversions < table.journeys:
        return AlgorithmicModel(
            intercept=0.0, coefficients=dict.fromkeys(channels, 0.0), fallback=True
        )
    number = {channel: index for index, channel in enumerate(channels)}
    found = fit(
        [
            Observed(
                [number[channel] for channel in coalition],
                outcome.journeys,
                outcome.conversions,
            )
            for coalition, outcome in count_coalitions(table).items()
        ],
        len(channels),
    )
    return AlgorithmicModel(
        intercept=found.intercept,
        coefficients=dict(zip(channels, found.coefficients, strict=True)),
        fallback=False,
    )


def _exactly(intercept: float, effects: Sequence[float]) -> list[float]:
    """Return each channel's Shapley value of the probability; nobody's is 0."""
    odds = [intercept]
    for effect in effects:
        odds += [value + effect for value in odds]
    return shapley_values([0.0, *map(sigmoid, odds[1:])])


def _nearly(intercept: float, effects: Sequence[float]) -> list[float]:
    gains = [max(effect, 0.0) for effect in effects]
    base, whole = sigmoid(intercept), sum(gains)
    if not whole:
        return [base] * len(effects)
    lift = sigmoid(intercept + whole) - base
    return [base / len(effects) + lift * gain / whole for gain in gains]
