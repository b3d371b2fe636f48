"""What channels earned under a model, and each touch of each journey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mbuzz.cli.attribution.chosen_models import Fitted
from mbuzz.cli.attribution.line_values import UNATTRIBUTED_ROW
from mbuzz.cli.attribution.sample import Conversion, Sample
from mbuzz.server.attribution.models import Division, Model
from mbuzz.server.attribution.weights import WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Earnings:
    """What each channel of a sample earned; the sums are the sample's own, exactly.

    Attributes:
        fitted: Under which model.
        credits: Of conversions, in billionths.
        revenues: In millionths of the currency unit.
    """

    fitted: Fitted
    credits: Mapping[str, int]
    revenues: Mapping[str, int]


def earnings(sample: Sample, fitted: Fitted) -> Earnings:
    """Return what the channels earned; those that got nothing have 0."""
    credits_ = dict.fromkeys(sorted(sample.channels.values()), 0)
    revenues = dict(credits_)
    for one in sample.conversions:
        journey = one.journey
        revenue = journey.revenue or 0
        division = _divided(sample, fitted.model, one)
        if division is None:
            nobody = UNATTRIBUTED_ROW
            credits_[nobody] = credits_.get(nobody, 0) + one.occurrences * WHOLE
            revenues[nobody] = revenues.get(nobody, 0) + revenue
            continue
        weights = division.weights
        names = [journey.channels[position] for position in division.positions]
        for name, credit in zip(names, weights.credits, strict=True):
            credits_[name] += credit * one.occurrences
        if revenue:
            for name, amount in zip(names, weights.revenues(revenue), strict=True):
                revenues[name] += amount
    return Earnings(fitted=fitted, credits=credits_, revenues=revenues)


def shares(sample: Sample, model: Model, one: Conversion) -> Iterator[tuple[int, int]]:
    """Yield the credits of one conversion, in billionths, with what they are of.

    That is the position in the journey of *one*; those without credit may be left out.
    """
    division = _divided(sample, model, one)
    if division is not None:
        yield from zip(division.positions, division.weights.credits, strict=True)


def _divided(sample: Sample, model: Model, one: Conversion) -> Division | None:
    # Where the window cuts nothing off there is nothing to look for.
    return model.divide(one.journey, sample.lookback_ms if one.cut else 0)
