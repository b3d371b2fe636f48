"""When it happened: formats, a wrong client clock, and limits (T1-T5)."""

import pytest

from mbuzz.server.ingestion.timing import BadTimeError, Timing, parse

MAX_EVENT_AGE_MS = 30 * 86_400_000
NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21T14:13:20.250Z", NOW + 250),
        ("2026-09-21T14:13:20.250999Z", NOW + 250),
        ("2026-09-21 14:13:20+00:00", NOW),
        ("  2026-09-21T14:13:20  ", NOW),
        ("2026-09-21T19:58:20+05:45", NOW),
        ("2026-09-21T04:13:20-10:00", NOW),
        ("2026-09-21", NOW - 14 * HOUR - 800_000),
        ("2026-09-21 14:13:20.250Z", NOW + 250),
        ("2026-W39-1T14:13:20.250Z", NOW + 250),
        (NOW, NOW),
        (NOW // 1000, NOW),
        (NOW / 1000 + 0.25, NOW + 250),
        (float(NOW), NOW),
        (10**11, 10**11),
        (10**11 - 1, (10**11 - 1) * 1000),
        (0, 0),
        (-1, -1000),
    ],
)
def test_T1_text_seconds_and_milliseconds(value, expected):
    assert parse(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *["", "yesterday", "14:13", "2026-13-01", "1790000000", "2026-09-21T25:00"],
        *[None, True, False, [], {}, float("nan"), float("inf"), 1e300, 10**400],
        *[-(10**17), "0000-00-00T00:00:00Z"],
        # As long as what most clients write, and with its marks at its places.
        *["2026-09-21T14+01:00.250Z", "2026-09-21T14:13+01.250Z"],
        *["2026-09-21T14:13:60.000Z", "2026-09-21T14:13:20.2x0Z"],
    ],
)
def test_T5_anything_else_is_refused(value):
    with pytest.raises(BadTimeError) as refused:
        parse(value)

    assert str(refused.value) == "timestamp must be a valid ISO8601 datetime"


@pytest.mark.parametrize(
    ("sent_at_ms", "skew_ms"),
    [
        (NOW, 0),
        (NOW - 30_000, 0),  # as far as that a delivery may take
        (NOW - 30_001, 30_001),
        (NOW + 30_001, -30_001),
        (NOW - 24 * HOUR + 1, 24 * HOUR - 1),
        (NOW - 24 * HOUR, 0),  # such a clock says nothing
        (NOW + 24 * HOUR, 0),
        (None, 0),
        ("never", 0),
    ],
)
def test_T2_skew_is_read_off_sent_at(sent_at_ms, skew_ms):
    timing = Timing.of_batch(NOW, sent_at_ms, "EUR")

    assert timing.skew_ms == skew_ms
    assert timing.currency == "EUR"


def test_T2_skew_corrects_every_time_of_the_batch():
    timing = Timing.of_batch(NOW, NOW + 2 * HOUR, "USD")

    assert timing.resolve(NOW + 2 * HOUR - 1000) == (
        NOW - 1000,
        NOW + 2 * HOUR - 1000,
        frozenset(),
    )


def test_T5_missing_time_is_now_whatever_the_skew():
    timing = Timing.of_batch(NOW, NOW - 2 * HOUR, "USD")

    assert timing.resolve(None) == (NOW, None, frozenset())


@pytest.mark.parametrize(
    ("at_ms", "expected"),
    [
        (NOW + 300_000, (NOW + 300_000, frozenset())),
        (NOW + 300_001, (NOW, frozenset({"clock_future"}))),
        (NOW - MAX_EVENT_AGE_MS, (NOW - MAX_EVENT_AGE_MS, frozenset())),
    ],
)
def test_T3_future_is_clamped(at_ms, expected):
    kept_ms, flags = expected
    assert Timing(received_at_ms=NOW).resolve(at_ms) == (kept_ms, at_ms, flags)


@pytest.mark.parametrize(("days", "said"), [(1, "1 day ago"), (5, "5 days ago")])
def test_T4_account_may_take_less_old_events(days, said):
    timing = Timing(received_at_ms=NOW, max_age_days=days)
    oldest = NOW - days * 24 * HOUR - HOUR

    assert timing.resolve(oldest).at_ms == oldest
    with pytest.raises(BadTimeError, match=f"too_old: .* more than {said}"):
        timing.resolve(oldest - 1)


def test_T4_older_than_30_days_is_refused():
    with pytest.raises(BadTimeError) as refused:
        Timing(received_at_ms=NOW).resolve(NOW - MAX_EVENT_AGE_MS - HOUR - 1)

    assert str(refused.value) == "too_old: timestamp is more than 30 days ago"
