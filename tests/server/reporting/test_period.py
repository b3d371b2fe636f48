"""Periods: days of the account's zone, in UTC milliseconds."""

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from mbuzz.clock import to_ms
from mbuzz.server.reporting.period import Period

HOUR = 3_600_000


def ms(text):
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


NOW = ms("2026-11-20T10:30:00")


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("UTC", "2026-11-20", "2026-11-20T00:00", 24),
        ("Asia/Kathmandu", "2026-11-20", "2026-11-19T18:15", 24),  # +05:45
        ("Pacific/Kiritimati", "2026-11-20", "2026-11-19T10:00", 24),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00", 25),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00", 25),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30", 23.5),
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00", 23),  # no midnight
        ("America/Havana", "2026-11-01", "2026-11-01T04:00", 25),  # two midnights
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00", 0),  # no such day
    ],
)
def test_T6_days_are_those_of_the_zone(zone, day, begins, hours):
    period = Period.parse(day, day, zone, NOW)

    assert period.from_ms == ms(begins)
    assert period.to_ms - period.from_ms == hours * HOUR


@pytest.mark.parametrize(
    ("zone", "today"),
    [
        ("UTC", "2026-11-20"),
        ("Pacific/Kiritimati", "2026-11-21"),
        ("Pacific/Pago_Pago", "2026-11-19"),
    ],
)
def test_default_is_the_30_days_up_to_today(zone, today):
    period = Period.parse(None, "", zone, NOW)

    assert period.last == date.fromisoformat(today)
    assert (period.last - period.first).days == 29


def test_one_end_may_be_left_out():
    assert Period.parse("2026-11-20", None, "UTC", NOW).last == date(2026, 11, 20)
    assert Period.parse(None, "2026-03-01", "UTC", NOW).first == date(2026, 1, 31)


def test_days_of_a_zone_follow_one_another():
    days = [date(2026, 10, day).isoformat() for day in range(20, 31)]

    periods = [Period.parse(day, day, "Europe/Berlin", NOW) for day in days]

    for before, after in pairwise(periods):
        assert before.to_ms == after.from_ms


@pytest.mark.parametrize(
    ("first", "last", "error"),
    [
        ("x", None, "from must be a date such as 2026-11-20, got 'x'"),
        (None, "2026-02-30", "to must be a date such as 2026-11-20, got '2026-02-30'"),
        ("1970-12-31", None, "from must be a date of the years 1971 to 9998"),
        (None, "9999-01-01", "to must be a date of the years 1971 to 9998"),
        ("2026-11-21", "2026-11-20", "from must not be after to, got 2026-11-21 and"),
        ("2026-11-21", None, "from must not be after to, got 2026-11-21 and 2026-11"),
    ],
)
def test_dates_that_cannot_be_are_refused(first, last, error):
    with pytest.raises(ValueError, match=error):
        Period.parse(first, last, "UTC", NOW)


def test_the_very_last_day_has_an_end():
    assert Period.parse("9998-12-31", "9998-12-31", "UTC", NOW).to_ms == ms(
        "9999-01-01T00:00"
    )
