"""Placement: stored one by one, in any order, events give what the fold says."""

from itertools import pairwise, permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbuzz.server.model import WebEvent
from mbuzz.server.policy import DEFAULT, SESSION_TIMEOUT_MS
from mbuzz.server.tracking.landing import read_landing
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.sessions import fold
from mbuzz.server.tracking.storable import stored_referrer, stored_url
from tests.server.tracking.conftest import at
from tests.server.tracking.visits import VECTORS as SHARED_VECTORS

VECTORS = [
    *SHARED_VECTORS,
    ("V16", [(0, "G"), (10, "server"), (35,)], ["paid_search", "direct"]),
]


def as_web_event(call):
    """Return what the fold should see of a call."""
    return WebEvent(
        event_id=call.event_id,
        occurred_at_ms=call.occurred_at_ms,
        url=stored_url(call.url),
        is_page_view=call.event_type == "page_view",
        client_session_id=call.session_id,
        referrer=stored_referrer(call.referrer) if call.referrer else None,
        landing=read_landing(call.url, call.referrer),
    )


def first_event(session):
    return session[7]


def expected(calls):
    """Return what the sessions of *calls* must be, as `stored` returns them."""
    return sorted(
        (
            (
                session.first.occurred_at_ms,
                session.last.occurred_at_ms,
                session.first.landing.channel,
                sum(event.is_page_view for event in session.events),
                session.first.client_session_id,
                " ".join(sorted(session.flags | session.first.landing.flags)),
                session.first.url,
                session.first.event_id,
                session.last.event_id,
                tuple(sorted(event.event_id for event in session.events)),
            )
            for session in fold(as_web_event(call) for call in calls if call.url)
        ),
        key=first_event,
    )


def stored(rows):
    """Return the sessions in the database, and each one's public id by first event."""
    members = {}
    names = {}
    for row, event_id, session in rows(
        "SELECT id, event_id, session FROM events WHERE $tenant AND url IS NOT NULL"
    ):
        members.setdefault(session, []).append(event_id)
        names[row] = event_id
    found = rows(
        "SELECT id, public_id, started_at_ms, last_event_at_ms, channel,"
        " page_view_count, client_session_id, flags, landing_url, first_event,"
        " last_event FROM sessions WHERE $tenant"
    )
    sessions = sorted(
        (
            (*row[2:9], names[row[9]], names[row[10]], tuple(sorted(members[row[0]])))
            for row in found
        ),
        key=first_event,
    )
    assert len(members) == len(found), "an event is in a session that is not there"
    return sessions, {names[row[9]]: row[1] for row in found}


def homes(rows):
    """Return the session that each server event is in, by its extent."""
    return dict(
        rows(
            "SELECT e.event_id, s.started_at_ms || '-' || s.last_event_at_ms"
            " FROM (SELECT * FROM events WHERE $tenant AND url IS NULL) e"
            " LEFT JOIN sessions s ON s.id = e.session"
        )
    )


def expected_homes(calls):
    sessions = [(row[0], row[1]) for row in expected(calls)]
    return {
        call.event_id: next(
            (
                f"{first}-{last}"
                for first, last in sorted(sessions, reverse=True)
                if first <= call.occurred_at_ms < last + SESSION_TIMEOUT_MS
            ),
            None,
        )
        for call in calls
        if not call.url
    }


def place_one_by_one(shop, calls, look=lambda rows: None):
    """Process *calls* in their order and return what *look* says after each."""

    def work(stores):
        owner = {"account_id": shop.tenant.account_id, "live": int(shop.tenant.live)}

        def rows(sql):
            sql = sql.replace("$tenant", "account_id = :account_id AND live = :live")
            return stores.tracking._db.rows(sql, owner)

        seen = []
        for call in calls:
            process(stores.tracking, shop.tenant, DEFAULT, call)
            seen.append(look(rows))
        return seen, stored(rows)[0], homes(rows)

    return shop.write(work)


@pytest.mark.parametrize(
    ("rule", "hits", "channels"), VECTORS, ids=[rule for rule, _, _ in VECTORS]
)
def test_V17_every_order_of_arrival_stores_the_same_sessions(
    new_shop, rule, hits, channels
):
    for arrival in permutations(range(len(hits))):
        shop = new_shop()
        calls = [shop.event("v", *args) for args in hits]

        _, sessions, places = place_one_by_one(shop, [calls[i] for i in arrival])

        assert sessions == expected(calls)
        assert places == expected_homes(calls)
        assert shop.sessions() == channels


def test_V13_tagged_internal_link_is_flagged_once(shop):
    for minute, name in [(0, "G"), (5, "own banner"), (6, "own banner")]:
        shop.visit("v", minute, name)

    assert shop.rows("SELECT flags FROM sessions WHERE $tenant") == [("internal_utm",)]


def test_V16_server_event_joins_its_visit_and_does_not_extend_it(shop):
    first = shop.visit("v", 0, "G")

    job = shop.visit("v", 10, "server")
    later = shop.visit("v", 35)

    assert job.session_id == first.session_id != later.session_id
    assert shop.sessions() == ["paid_search", "direct"]


def test_S10_server_event_alone_makes_no_session(shop):
    job = shop.visit("v", 0, "server")

    assert job.session_id is None
    assert shop.sessions() == []


MINUTES = st.integers(0, 12).map(lambda step: step * 7.5) | st.sampled_from(
    ["0:10", "0:10.001", "29:59.999", 30, "52:30.001"]
)
HITS = [
    *["-", "G", "G2", "G gclid=2", "google", "facebook", "psp", "paypal", "own"],
    *["own banner", "go banner", "server"],
]
PAGES = st.tuples(
    MINUTES,
    st.sampled_from(HITS),
    st.sampled_from([None, None, "a", "b"]),
    st.sampled_from(["page_view", "page_view", "Signup"]),
)
ARRIVALS = st.lists(PAGES, min_size=1, max_size=12)
PLENTY = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def calls_of(shop, pages):
    return [
        shop.event("v", minute, name, session_id=session, event_type=kind)
        for minute, name, session, kind in pages
    ]


@PLENTY
@given(ARRIVALS)
def test_S11_events_stored_one_by_one_in_any_order_equal_the_full_fold(new_shop, pages):
    shop = new_shop()
    calls = calls_of(shop, pages)

    steps, sessions, places = place_one_by_one(shop, calls, lambda rows: stored(rows))

    assert sessions == expected(calls)
    assert places == expected_homes(calls)
    for number, (so_far, _) in enumerate(steps, 1):
        assert so_far == expected(calls[:number])


@PLENTY
@given(ARRIVALS)
def test_S11_sessions_keep_their_ids(new_shop, pages):
    shop = new_shop()
    calls = calls_of(shop, pages)

    steps, _, _ = place_one_by_one(shop, calls, stored)

    for (before, ids_before), (after, ids_after) in pairwise(steps):
        kept = ids_before.keys() & ids_after.keys()
        assert {first: ids_before[first] for first in kept} == {
            first: ids_after[first] for first in kept
        }
        # An id whose first event begins no session goes with the earliest of its
        # events that has no other home; it ends only if there is none.
        homeless = ids_before.keys() - kept
        gone = {ids_before[first] for first in homeless} - {*ids_after.values()}
        members = {row[7]: set(row[9]) for row in before}
        begun = {row[7]: set(row[9]) for row in after if row[7] not in kept}
        fresh = {
            first for first in begun if ids_after[first] not in {*ids_before.values()}
        }
        for first in homeless:
            if ids_before[first] in gone:
                assert not any(members[first] & begun[new] for new in fresh)


def test_S11_late_first_event_takes_the_session_over_with_its_id(shop):
    first = shop.visit("v", 0)

    late = shop.visit("v", -3, "G")

    assert late.session_id == first.session_id
    assert shop.sessions() == ["paid_search"]


def test_S11_late_event_joins_two_sessions(shop):
    first = shop.visit("v", 0)
    second = shop.visit("v", 40)
    assert first.session_id != second.session_id

    between = shop.visit("v", 20)

    assert between.session_id == first.session_id
    assert shop.sessions() == ["direct"]


def test_S11_late_event_splits_a_session(shop):
    first = shop.visit("v", 0, "G")
    shop.visit("v", 10, "G")

    late = shop.visit("v", 5, "G2")

    assert late.session_id != first.session_id
    assert shop.sessions() == ["paid_search"] * 3


def test_sessions_that_began_together_are_told_apart_by_their_ends(shop):
    calls = [
        shop.event("v", 0, "G2", event_id="evt_2"),
        shop.event("v", 20, "G2", event_id="evt_3"),
        shop.event("v", 0, "G", event_id="evt_1"),  # sorts before, but is stored last
        shop.event("v", 45, "G2", event_id="evt_4"),
    ]

    _, sessions, _ = place_one_by_one(shop, calls)

    assert sessions == expected(calls)
    assert len(sessions) == 2


def test_sessions_of_other_visitors_stay_alone(shop):
    mine = shop.visit("v", 0, "G")
    theirs = shop.visit("w", 1)

    again = shop.visit("v", 2)

    assert again.session_id == mine.session_id != theirs.session_id


def test_bots_are_stored_but_make_no_session(shop):
    crawled = shop.visit("v", 0, "G", user_agent="Googlebot/2.1")
    prefetched = shop.visit("v", 0, "G", prefetch=True)
    person = shop.visit("v", 1)

    assert crawled.bot
    assert prefetched.bot
    assert not person.bot
    assert shop.sessions() == ["direct"]
    assert shop.rows(
        "SELECT bot_reason FROM events WHERE $tenant AND session IS NULL ORDER BY id"
    ) == [("user_agent",), ("prefetch",)]


def test_client_knows_the_session_by_its_own_id(shop):
    first = shop.visit("v", 0, session_id="mine")
    job = shop.visit("v", 1, "server")
    page = shop.visit("v", 2)
    other = shop.visit("v", 3, "server", session_id="job's")

    assert [first.session_id, job.session_id, page.session_id] == ["mine"] * 3
    assert other.session_id == "job's"


def test_repeated_event_is_answered_with_the_first_ids_and_counts_once(shop):
    call = shop.event("v", 0, "G")
    first = shop.do(call)

    again = shop.do(call)

    assert again.duplicate
    assert not first.duplicate
    assert (again.visitor_id, again.session_id) == (first.visitor_id, first.session_id)
    assert shop.rows("SELECT page_view_count FROM sessions WHERE $tenant") == [(1,)]


def test_one_id_in_two_hours_is_two_events_whatever_order_they_come_in(shop):
    hour = "53:20"  # begins
    for minute in (54, "53:00", "53:30", "52:50"):
        moment = at(minute)
        done = shop.do(
            shop.event("v", minute, event_id="order-1", said_ms=moment)
            if minute in (54, "53:00")
            else shop.event("v", minute, said_ms=moment)
        )
        assert not done.duplicate, f"around {hour}"

    assert shop.sessions() == ["direct"]
    assert shop.rows(
        "SELECT page_view_count, started_at_ms, last_event_at_ms FROM sessions"
        " WHERE $tenant"
    ) == [(4, at("52:50"), at(54))]
    assert shop.rows("SELECT COUNT(session) FROM events WHERE $tenant") == [(4,)]
