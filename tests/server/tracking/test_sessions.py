"""The fold of web events into sessions (S1-S9, S12; V1-V17)."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.model import WebEvent
from mbuzz.server.policy import SESSION_TIMEOUT_MS as TIMEOUT_MS
from mbuzz.server.policy import Policy
from mbuzz.server.tracking.landing import read_landing
from mbuzz.server.tracking.sessions import fold, order_key
from tests.server.tracking.visits import HITS
from tests.server.tracking.visits import VECTORS as SHARED_VECTORS

LANDINGS = {name: read_landing(*hit) for name, hit in HITS.items()}


def hit(minute, name="-", session_id=None, event_id=None):
    """Return a web event; *minute* may be "29:59.999"."""
    if isinstance(minute, str):
        minutes, _, seconds = minute.partition(":")
        at_ms = int(minutes) * 60_000 + round(float(seconds) * 1000)
    else:
        at_ms = round(minute * 60_000)
    url, referrer = HITS[name]
    return WebEvent(
        event_id=event_id or f"{at_ms} {name} {session_id}",
        occurred_at_ms=1_750_000_000_000 + at_ms,
        url=url,
        referrer=referrer,
        client_session_id=session_id,
        landing=LANDINGS[name],
    )


def channels(sessions):
    return [session.first.landing.channel for session in sessions]


VECTORS = [
    *SHARED_VECTORS,
    # The server event at 10 is no web event: the fold never sees it.
    ("V16", [(0, "G"), (35,)], ["paid_search", "direct"]),
    ("S3", [(m, "G" if m == 0 else "-") for m in range(0, 145, 29)], ["paid_search"]),
    ("S4 click", [(0, "gclid=1"), (5, "gclid=1"), (9, "gclid=2")], ["paid_search"] * 2),
    ("S4 after direct", [(0,), (5, "G"), (9, "G")], ["direct", "paid_search"]),
    ("S5 once", [(0,), (5, "google"), (9, "facebook")], ["direct", "organic_search"]),
    ("S6", [(0, "google"), (5, "facebook"), (9, "psp")], ["organic_search"]),
    ("S7 sibling", [(0, "G"), (5, "go banner")], ["paid_search", "other"]),
    ("S7 after direct", [(0,), (5, "own banner")], ["direct", "other"]),
    ("S12", [(0, "G"), (5, "nooverride")], ["paid_search"]),
    ("S12 first", [(0, "nooverride"), (5, "paypal")], ["direct"]),
    ("S8", [(0, "G", "a"), (5, "-", "b")], ["paid_search", "direct"]),
    ("S8 within 10 s", [(0, "G", "a"), ("0:10", "-", "b")], ["paid_search"]),
    ("S8 later", [(0, "G", "a"), ("0:10.001", "-", "b")], ["paid_search", "direct"]),
    ("S8 missing", [(0, "G", "a"), (5,), (9, "-", "b")], ["paid_search"]),
    (
        "S8 equal",
        [(0, "G", "a"), (5, "G2", "a"), (40, "-", "a")],
        [
            "paid_search",
            "paid_search",
            "direct",
        ],
    ),
]


@pytest.mark.parametrize(
    ("rule", "hits", "expected"), VECTORS, ids=[rule for rule, _, _ in VECTORS]
)
def test_V17_every_order_of_arrival_gives_the_same_sessions(rule, hits, expected):
    events = [hit(*args) for args in hits]

    for arrival in permutations(events):
        sessions = fold(arrival)

        assert channels(sessions) == expected
        assert sessions == fold(events)


def test_V13_tagged_internal_link_is_flagged():
    [session] = fold([hit(0, "G"), hit(5, "own banner"), hit(6, "own")])

    assert session.flags == {"internal_utm"}


@pytest.mark.parametrize(
    "hits",
    [
        [(0, "G"), (5, "G")],
        [(0, "own banner"), (5, "own banner")],
        [(0,), (5, "own banner")],
        [(0, "G", "a"), (5, "own banner", "b")],
        [(0, "G"), (5, "own")],
    ],
)
def test_S7_flag_needs_a_source_that_the_link_would_have_replaced(hits):
    assert [s.flags for s in fold(hit(*args) for args in hits) if s.flags] == []


def test_S1_source_first_then_url_then_event_id():
    events = [
        hit(0, "own", event_id="a"),
        hit(0, "-", event_id="c"),
        hit(0, "-", event_id="b"),
        hit(0, "G", event_id="d"),
    ]

    [session] = fold(events)

    assert [event.event_id for event in session.events] == ["d", "b", "c", "a"]
    assert list(session.events) == sorted(events, key=order_key)


def test_S2_timeout_is_a_setting():
    events = [hit(0), hit(5)]

    assert len(fold(events, Policy(session_timeout_ms=300_000))) == 2
    assert len(fold(events, Policy(session_timeout_ms=300_001))) == 1


def test_S9_source_is_that_of_the_first_event():
    [session] = fold([hit(0), hit(5, "psp"), hit(6)])

    assert (session.first, session.last) == (hit(0), hit(6))
    assert session.first.landing.utm == {}


def test_no_events_no_sessions():
    assert fold([]) == []


TIMELINES = st.lists(
    st.builds(
        hit,
        st.integers(0, 40).map(lambda step: step * 7.5),
        st.sampled_from(sorted(HITS)),
        st.sampled_from([None, "a", "b"]),
        st.uuids().map(str),
    ),
    max_size=14,
    unique_by=lambda event: event.event_id,
)


def window_around(event, events):
    """Return *events* and *event* between the nearest gaps of 30 minutes (S11)."""
    line = sorted([*events, event], key=order_key)
    low = high = line.index(event)
    at = [e.occurred_at_ms for e in line]
    while low > 0 and at[low] - at[low - 1] < TIMEOUT_MS:
        low -= 1
    while high < len(line) - 1 and at[high + 1] - at[high] < TIMEOUT_MS:
        high += 1
    return line[low : high + 1]


@given(TIMELINES)
def test_S11_folding_around_each_new_event_equals_the_full_fold(arrivals):
    seen, sessions = [], []
    for event in arrivals:
        window = window_around(event, seen)
        sessions = [s for s in sessions if s.first not in window] + fold(window)
        seen.append(event)

    by_start = sorted(sessions, key=lambda session: order_key(session.first))
    assert by_start == fold(arrivals)


@given(TIMELINES, st.randoms(use_true_random=False))
def test_V17_order_of_arrival_does_not_matter(events, random):
    shuffled = list(events)
    random.shuffle(shuffled)

    assert fold(shuffled) == fold(events)


@given(TIMELINES)
def test_S2_sessions_hold_every_event_once_and_in_order(events):
    sessions = fold(events)

    flat = [event for session in sessions for event in session.events]
    assert flat == sorted(events, key=order_key)
