"""Time and ids: exact, sortable, and from one place."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz import ids, protocol
from mbuzz.clock import SYSTEM_CLOCK, iso, to_ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_170_600_250, "2026-11-20T10:30:00.250Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_iso(ms, text):
    assert iso(ms) == text


def test_the_clock_tells_the_time_and_never_goes_back():
    before, now = SYSTEM_CLOCK.monotonic(), SYSTEM_CLOCK.now_ms()

    assert abs(now - datetime.now(UTC).timestamp() * 1000) < 60_000
    assert SYSTEM_CLOCK.monotonic() >= before


def test_an_aware_time_keeps_its_instant():
    moment = datetime(2026, 11, 20, 11, 30, tzinfo=timezone(timedelta(hours=1)))

    assert iso(to_ms(moment)) == "2026-11-20T10:30:00.000Z"


def test_a_naive_time_is_local():
    moment = datetime(2026, 11, 20, 10, 30)

    assert to_ms(moment) == round(moment.timestamp() * 1000)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_a_time_survives_the_wire(ms):
    assert to_ms(datetime.fromisoformat(iso(ms))) == ms


@pytest.mark.parametrize(
    ("made", "pattern"),
    [
        (ids.event_id(1), r"evt_[0-9a-f]{32}"),
        (ids.conversion_id(1), r"conv_[0-9a-f]{32}"),
        (ids.time_ordered("acct", 1), r"acct_[0-9a-f]{32}"),
        (ids.visitor_id(), protocol.COOKIE_VISITOR_ID.pattern),
        (ids.session_id(), protocol.COOKIE_SESSION_ID.pattern),
        (ids.token(), r"[0-9a-f]{48}"),
        (ids.token(4), r"[0-9a-f]{8}"),
    ],
    ids="event conversion account visitor session token short_token".split(),
)
def test_ids_look_like_what_they_are(made, pattern):
    assert re.fullmatch(pattern, made)


def test_later_ids_sort_later():
    made = [ids.event_id(ms) for ms in range(1_795_170_600_000, 1_795_170_600_050)]

    assert made == sorted(made)


def test_ids_of_one_moment_differ():
    assert len({ids.event_id(5) for _ in range(1000)}) == 1000
    assert len({ids.visitor_id() for _ in range(1000)}) == 1000
