"""What a model looks at, and the credits that come of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.models import MODEL_LABELS, PRESETS, Model, credited
from mbuzz.server.attribution.rules import first_touch, linear, u_shaped
from mbuzz.server.attribution.weights import WHOLE, weigh
from mbuzz.server.model import UNATTRIBUTED
from tests.server.attribution.journeys import journeys, touchpoints_of

DAY_MS = 86_400_000


def journey_of(*channels, days=None, revenue=100_000_000):
    """Return a journey, a visit a day up to the conversion, or so many days before."""
    before = days or range(len(channels) - 1, -1, -1)
    return Journey(
        channels=channels,
        times_ms=[(1000 - day) * DAY_MS for day in before],
        converted_at_ms=1000 * DAY_MS,
        revenue=revenue,
    )


def credits_of(model, journey, lookback_ms=0):
    return credited(model, journey, touchpoints_of(journey), lookback_ms)


def summary(rows):
    return [(row.position, row.credit, row.revenue) for row in rows]


def channels_of(rows):
    return [row.channel for row in rows]


def test_credits_say_which_touchpoint_and_why():
    journey = journey_of("email", "direct", "email")

    first, *_, last = credits_of(PRESETS["u_shaped"], journey)

    assert first.touchpoint == touchpoints_of(journey)[0]
    assert (first.position, first.length, first.role) == (0, 3, "first_touch")
    assert (last.weight, last.version, last.model) == (0.4, 1, "u_shaped")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("first_touch", [(0, WHOLE, 100_000_000)]),
        ("last_touch", [(2, WHOLE, 100_000_000)]),
        (
            "linear",
            [
                (0, 333_333_334, 33_333_334),
                (1, 333_333_333, 33_333_333),
                (2, 333_333_333, 33_333_333),
            ],
        ),
    ],
)
def test_touchpoints_that_get_nothing_are_left_out(model, expected):
    assert summary(credits_of(PRESETS[model], journey_of("a", "b", "c"))) == expected


@pytest.mark.parametrize("model", PRESETS)
def test_conversion_without_journey_is_unattributed(model):
    (row,) = credits_of(PRESETS[model], journey_of(revenue=99_990_000))

    assert row.channel == UNATTRIBUTED
    assert row.touchpoint is None
    assert summary([row]) == [(0, WHOLE, 99_990_000)]


@pytest.mark.parametrize("channels", [(), ("a", "b")])
@pytest.mark.parametrize("model", PRESETS)
def test_no_revenue_is_not_zero_revenue(model, channels):
    without = credits_of(PRESETS[model], journey_of(*channels, revenue=None))
    zero = credits_of(PRESETS[model], journey_of(*channels, revenue=0))

    assert {row.revenue for row in without} == {None}
    assert {row.revenue for row in zero} == {0}
    assert [row.credit for row in without] == [row.credit for row in zero]


def test_touchpoint_without_credit_keeps_its_row_for_its_revenue():
    tiny = Model(key="tiny", weigh=lambda journey: weigh([1, 3 * WHOLE, 0]))

    with_revenue = credits_of(tiny, journey_of("a", "b", "c", revenue=3 * 10**15))
    without = credits_of(tiny, journey_of("a", "b", "c", revenue=None))

    assert summary(with_revenue) == [
        (0, 0, 1_000_000),
        (1, WHOLE, 3 * 10**15 - 1_000_000),
    ]
    assert summary(without) == [(1, WHOLE, None)]


# -- what it looks at --


@pytest.mark.parametrize(
    ("channels", "seen"),
    [
        (("email", "direct"), ["email"]),
        (("direct", "email", "direct"), ["email"]),
        (("direct", "direct"), ["direct"]),
        (("email", "referral"), ["referral"]),
    ],
)
def test_last_non_direct_takes_direct_only_where_there_is_nothing_else(channels, seen):
    rows = credits_of(PRESETS["last_non_direct"], journey_of(*channels))

    assert channels_of(rows) == seen


def test_direct_goes_before_the_weights_so_that_the_others_share_all():
    model = Model(key="u", weigh=u_shaped, exclude_direct=True)

    rows = credits_of(model, journey_of("direct", "a", "b", "direct"))

    assert channels_of(rows) == ["a", "b"]
    assert [row.credit for row in rows] == [WHOLE // 2] * 2
    assert [(row.position, row.length) for row in rows] == [(0, 2), (1, 2)]


@pytest.mark.parametrize(
    ("own", "conversions", "seen"),
    [
        (None, 0, "abc"),
        (None, 7, "bc"),
        (7, 0, "bc"),
        (0, 7, "abc"),  # its own, even if that is wider
        (0.5, 0, "c"),
    ],
)
def test_models_own_window_counts_before_the_conversions(own, conversions, seen):
    window = None if own is None else int(own * DAY_MS)
    model = Model(key="m", weigh=linear, lookback_ms=window)
    journey = journey_of("a", "b", "c", days=[30, 7, 0])

    rows = credits_of(model, journey, conversions * DAY_MS)

    assert "".join(channels_of(rows)) == seen


def test_nothing_in_the_window_is_unattributed():
    model = Model(key="m", weigh=linear, lookback_ms=DAY_MS)

    rows = credits_of(model, journey_of("a", "b", days=[30, 7]))

    assert channels_of(rows) == [UNATTRIBUTED]


def test_what_is_kept_is_counted_anew():
    model = Model(key="m", weigh=first_touch, keep=lambda journey: [1, 2])

    (row,) = credits_of(model, journey_of("a", "b", "c"))

    assert (row.channel, row.position, row.length) == ("b", 0, 2)


def test_every_preset_has_a_label():
    assert set(PRESETS) < set(MODEL_LABELS)
    assert all(key == model.key for key, model in PRESETS.items())


@settings(deadline=None)
@given(
    key=st.sampled_from(sorted(PRESETS)),
    journey=journeys(least=0),
    lookback_ms=st.integers(0, 10**10),
)
def test_credits_always_sum_exactly(key, journey, lookback_ms):
    rows = credits_of(PRESETS[key], journey, lookback_ms)

    assert sum(row.credit for row in rows) == WHOLE
    assert [row.position for row in rows] == sorted({row.position for row in rows})
    if journey.revenue is None:
        assert {row.revenue for row in rows} == {None}
    else:
        assert sum(row.revenue for row in rows) == journey.revenue


@settings(deadline=None)
@given(key=st.sampled_from(sorted(PRESETS)), journey=journeys(), more=st.integers(0, 9))
def test_what_no_window_shows_changes_nothing(key, journey, more):
    window_ms = 30 * DAY_MS
    old = journey.times_ms[0] - 31 * DAY_MS
    longer = journey._replace(
        channels=("email",) * more + journey.channels,
        times_ms=[min(old, journey.converted_at_ms - 31 * DAY_MS)] * more
        + list(journey.times_ms),
    )

    def seen(one):
        rows = credits_of(PRESETS[key], one, window_ms)
        return [(row.channel, row.credit, row.revenue, row.role) for row in rows]

    assert seen(longer) == seen(journey)
