"""Journeys and touchpoints for tests of attribution."""

import json
from decimal import Decimal
from pathlib import Path

from hypothesis import strategies as st

from mbuzz.server.attribution.journeys import Journey, lookback_ms, within
from mbuzz.server.model import Touchpoint

EDGE_CASES = json.loads(
    (Path(__file__).parent / "vectors" / "edge_cases.json").read_text("utf-8")
)
CHANNELS = ("direct", "email", "paid_search", "referral")


def touchpoints_of(journey):
    """Return a touchpoint for each of a journey."""
    return [
        Touchpoint(
            session_id=index,
            public_id=f"sess_{index}",
            channel=channel,
            started_at_ms=at_ms,
        )
        for index, (channel, at_ms) in enumerate(
            zip(journey.channels, journey.times_ms, strict=True)
        )
    ]


def journey_of_case(case):
    """Return the journey of an edge case as its window shows it."""
    times_ms = [seconds * 1000 for _, seconds in case["touches"]]
    at_ms = case["converted_at"] * 1000
    seen = within(times_ms, at_ms, lookback_ms(case["lookback_days"] or 0))
    assert seen == case["eligible"]
    revenue = case["revenue"]
    return Journey(
        channels=tuple(case["touches"][index][0] for index in seen),
        times_ms=[times_ms[index] for index in seen],
        converted_at_ms=at_ms,
        revenue=None if revenue is None else int(Decimal(revenue) * 10**6),
        milestones={
            name: case[f"{name}_at"] * 1000
            for name in ("mql", "sql")
            if case[f"{name}_at"] is not None
        },
    )


@st.composite
def journeys(draw, least=1, most=12):
    """Return any journey of a conversion, with ties, milestones and any revenue."""
    length = draw(st.integers(least, most))
    times = st.integers(0, 200 * 86_400_000) | st.sampled_from([0, 1, 86_400_000])
    times_ms = sorted(draw(st.lists(times, min_size=length, max_size=length)))
    at_ms = (times_ms[-1] if times_ms else 0) + draw(st.integers(0, 10**9))
    names = draw(st.lists(st.sampled_from(["mql", "sql", "demo"]), unique=True))
    return Journey(
        channels=tuple(draw(st.sampled_from(CHANNELS)) for _ in times_ms),
        times_ms=times_ms,
        converted_at_ms=at_ms,
        revenue=draw(st.none() | st.integers(-(10**15), 10**15)),
        milestones={name: draw(st.integers(-1, at_ms + 1)) for name in names},
    )
