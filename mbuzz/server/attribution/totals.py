"""What a model gives to each channel, over many conversions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import repeat

from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.models import Model
from mbuzz.server.attribution.weights import WHOLE
from mbuzz.server.model import UNATTRIBUTED


def channel_totals(
    model: Model, journeys: Iterable[Journey]
) -> dict[str, tuple[int, int]]:
    """Return each channel's conversions, in billionths, and revenue, in millionths.

    These are the sums of what `credited` gives for each of the *journeys* that
    converted, to the last digit; what it leaves unattributed is a channel here. The
    channels are sorted.
    """
    credit_of: defaultdict[str, int] = defaultdict(int)
    revenue_of: defaultdict[str, int] = defaultdict(int)
    weigh, sees_all = model.weigh, model.sees_all
    for journey in journeys:
        if journey[2] is None:  # by its number: most journeys get no further
            continue
        channels, _, _, revenue, _ = journey
        if sees_all and channels:
            weights = weigh(journey)
        else:
            division = model.divide(journey)
            if division is None:
                credit_of[UNATTRIBUTED] += WHOLE
                revenue_of[UNATTRIBUTED] += revenue or 0
                continue
            weights = division.weights
            channels = tuple([channels[position] for position in division.positions])
        if weights.whole == 1:  # all of it to one
            channel = channels[weights.parts.index(1)]
            credit_of[channel] += WHOLE
            revenue_of[channel] += revenue or 0
            continue
        amounts = weights.revenues(revenue) if revenue else repeat(0)
        for channel, credit, amount in zip(
            channels, weights.credits, amounts, strict=False
        ):
            credit_of[channel] += credit
            revenue_of[channel] += amount
    return {
        channel: (credit_of[channel], revenue_of[channel])
        for channel in sorted(credit_of)
    }
