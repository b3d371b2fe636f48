"""Attribution models: how a conversion's credit is shared along its journey."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from mbuzz.server.attribution.journeys import Journey, within
from mbuzz.server.attribution.rules import RULES, last_touch
from mbuzz.server.attribution.weights import WHOLE, Weigh, Weights
from mbuzz.server.model import DIRECT, Credit, Touchpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as it is applied: what it looks at, and how it weighs that.

    Attributes:
        key: What the API calls it.
        weigh: From the touchpoints it looks at, one at least, to their weights.
        version: Raised when it gives other credits than before; each credit keeps its.
        lookback_ms: Its own window, 0 for no limit; None is the conversion's.
        exclude_direct: Whether direct touchpoints count only where there are no others.
        keep: Which positions of those it looks at it keeps; None is all.
    """

    key: str
    weigh: Weigh
    version: int = 1
    lookback_ms: int | None = None
    exclude_direct: bool = False
    keep: Callable[[Journey], Sequence[int]] | None = None

    @property
    def sees_all(self) -> bool:
        """Tell whether it looks at all that the conversion's window shows."""
        return not (self.lookback_ms or self.exclude_direct or self.keep)

    def sees(self, journey: Journey, lookback_ms: int = 0) -> Sequence[int]:
        """Return the positions of the touchpoints that the model looks at.

        *lookback_ms* is the conversion's own window, which counts where the model has
        none; 0 is no limit.
        """
        if self.lookback_ms is not None:
            lookback_ms = self.lookback_ms
        positions: Sequence[int] = range(len(journey.channels))
        if lookback_ms and journey.converted_at_ms is not None:
            positions = within(journey.times_ms, journey.converted_at_ms, lookback_ms)
        if self.exclude_direct:
            others = [n for n in positions if journey.channels[n] != DIRECT.channel]
            positions = others or positions
        if positions and self.keep is not None:
            kept = self.keep(journey.only(positions))
            positions = [positions[n] for n in kept]
        return positions

    def divide(self, journey: Journey, lookback_ms: int = 0) -> Division | None:
        """Return how the model divides a journey; None if it sees no touchpoint.

        *lookback_ms* is as for `sees`.
        """
        channels = journey.channels
        if self.sees_all and not lookback_ms:
            if not channels:
                return None
            return Division(range(len(channels)), self.weigh(journey))
        positions = self.sees(journey, lookback_ms)
        if not positions:
            return None
        if len(positions) < len(journey.channels):
            journey = journey.only(positions)
        return Division(positions, self.weigh(journey))


class Division(NamedTuple):
    """A model's `weights` of those touchpoints of a journey that it looks at.

    `positions` says which these are, in the order of the weights.
    """

    positions: Sequence[int]
    weights: Weights


# The models that anybody knows; `last_non_direct` is what GA4 and Matomo mean by last.
PRESETS: Final[Mapping[str, Model]] = MappingProxyType(
    {
        **{key: Model(key=key, weigh=weigh) for key, weigh in RULES.items()},
        "last_non_direct": Model(
            key="last_non_direct", weigh=last_touch, exclude_direct=True
        ),
    }
)

MODEL_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "first_touch": "First touch",
        "last_touch": "Last touch",
        "last_non_direct": "Last non-direct touch",
        "linear": "Linear",
        "time_decay": "Time decay",
        "u_shaped": "U-shaped",
        "w_shaped": "W-shaped",
        "z_shaped": "Z-shaped",
        "markov": "Markov chain",
        "shapley": "Shapley value",
        "algorithmic": "Algorithmic",
    }
)


def credited(
    model: Model,
    journey: Journey,
    touchpoints: Sequence[Touchpoint],
    lookback_ms: int = 0,
) -> list[Credit]:
    """Return the credits of one conversion under *model*, the oldest touchpoint first.

    They sum to `WHOLE`, and their revenues to the journey's, both exactly. Touchpoints
    that get neither are left out; `Credit.position` counts all that the model looked
    at. A conversion of which it sees none is one unattributed credit.

    Args:
        model: Which model.
        journey: What is known of *touchpoints*, in the same order.
        touchpoints: What `eligible` returned for the widest of all models' windows.
        lookback_ms: As for `Model.divide`.
    """
    division = model.divide(journey, lookback_ms)
    revenue = journey.revenue
    if division is None:
        return [
            Credit(
                model=model.key,
                position=0,
                credit=WHOLE,
                revenue=revenue,
                touchpoint=None,
                version=model.version,
            )
        ]
    weights, length = division.weights, len(division.positions)
    revenues: Sequence[int | None] = [None] * length
    if revenue is not None:
        revenues = weights.revenues(revenue)
    return [
        Credit(
            model=model.key,
            position=position,
            credit=weights.credits[position],
            revenue=revenues[position],
            touchpoint=touchpoints[index],
            length=length,
            role=weights.roles[position],
            weight=weights.weight(position),
            version=model.version,
        )
        for position, index in enumerate(division.positions)
        if weights.credits[position] or revenues[position]
    ]
