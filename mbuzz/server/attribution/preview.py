"""A model tried out, on journeys made for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.models import Model

_DAY_MS: Final = 86_400_000


def _sample(days: Sequence[float], channels: str, **milestones: float) -> Journey:
    return Journey(
        channels=tuple(channels.split()),
        times_ms=[-int(before * _DAY_MS) for before in days],
        converted_at_ms=0,
        milestones={name: -int(at * _DAY_MS) for name, at in milestones.items()},
    )


# Of one, two, three and more touchpoints, with and without milestones, short and long.
SAMPLES: Final[Mapping[str, Journey]] = {
    "one visit": _sample([2], "email"),
    "two visits": _sample([6, 1], "paid_search direct"),
    "three visits": _sample([9, 5, 0.5], "paid_social organic_search email"),
    "five visits and two milestones": _sample(
        [40, 21, 14, 7, 1],
        "paid_social paid_search email organic_search direct",
        mql=20,
        sql=6,
    ),
    "eighty days": _sample(
        [80, 33, 32, 10, 4, 2, 0],
        "display paid_social paid_search paid_search email email referral",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCredit:
    """What one touchpoint of a sample gets, in billionths, and as what."""

    channel: str
    before_ms: int
    credit: int
    role: str


def on_samples(model: Model) -> Mapping[str, Sequence[SampleCredit]]:
    """Return what every touchpoint of every sample gets; 0 where it is not seen."""
    found = {}
    for name, journey in SAMPLES.items():
        credits_ = [0] * len(journey.channels)
        roles = [""] * len(journey.channels)
        division = model.divide(journey)
        if division is not None:
            for place, index in enumerate(division.positions):
                credits_[index] = division.weights.credits[place]
                roles[index] = division.weights.roles[place]
        found[name] = [
            SampleCredit(channel=channel, before_ms=-time_ms, credit=credit, role=role)
            for channel, time_ms, credit, role in zip(
                journey.channels, journey.times_ms, credits_, roles, strict=True
            )
        ]
    return found
