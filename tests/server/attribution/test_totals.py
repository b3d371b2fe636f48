"""Totals by channel are the sums of the credits of single conversions."""

from __future__ import annotations

import pytest

from mbuzz.server.attribution.models import PRESETS, Model, credited
from mbuzz.server.attribution.totals import channel_totals
from mbuzz.server.model import UNATTRIBUTED, Touchpoint
from tests.server.attribution.journey_worlds import journeys, lift_records


def touchpoints(journey):
    return [
        Touchpoint(
            session_id=index,
            public_id=f"sess_{index}",
            channel=channel,
            started_at_ms=time_ms,
        )
        for index, (channel, time_ms) in enumerate(
            zip(journey.channels, journey.times_ms, strict=True)
        )
    ]


@pytest.mark.parametrize(
    "model",
    [
        *PRESETS.values(),
        Model(key="late", weigh=PRESETS["linear"].weigh, lookback_ms=1),
    ],
    ids=lambda model: model.key,
)
def test_totals_are_sums_of_credits(model):
    given = journeys(lift_records(300, 4))
    given.append(given[0]._replace(channels=(), times_ms=(), converted_at_ms=5))
    wanted = {}
    for journey in given:
        if journey.converted_at_ms is not None:
            for row in credited(model, journey, touchpoints(journey)):
                channel = row.touchpoint.channel if row.touchpoint else UNATTRIBUTED
                before = wanted.get(channel, (0, 0))
                wanted[channel] = (
                    before[0] + row.credit,
                    before[1] + (row.revenue or 0),
                )

    found = channel_totals(model, given)

    assert {name: each for name, each in found.items() if any(each)} == wanted
    assert list(found) == sorted(found)
