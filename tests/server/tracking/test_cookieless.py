"""Visitors who refused, told apart for a day (P3)."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from mbuzz.server.policy import Policy
from mbuzz.server.tracking.recorded import Refused

DAILY = Policy(refused_consent="cookieless", store_ip="full", store_user_agent="full")
REFUSED = frozenset({"analytics"})
AGENT = "Mozilla/5.0 (Windows NT 10.0) Chrome/126.0.0.0 Safari/537.36"
HOME = "203.0.113.77"
DAY = 24 * 60


@pytest.fixture(params=["one by one", "in a batch"])
def track(shop, request):
    """Return a function that tracks an event of somebody who refused."""

    def one(minute, policy=DAILY, *, ip=HOME, visitor=None, **fields):
        properties = {**({"ip": ip} if ip else {}), "n": 1}
        call = shop.event(
            visitor or "x",
            minute,
            fields.pop("name", "-"),
            **{
                "properties": properties,
                "user_agent": AGENT,
                "refused": REFUSED,
                **fields,
            },
        )._replace(visitor_id=visitor)
        return shop.take(call, policy, request.param)

    return one


def visitors_of_events(shop):
    """Return a number for each event's visitor, in the order of their coming."""
    seen = {}
    return [seen.setdefault(v, len(seen)) for v in shop.column("visitor", "events")]


def test_P3_network_and_browser_are_one_visitor_for_a_day(shop, track):
    track(0, name="G")
    track(5, ip="203.0.113.200")  # the same /24
    track(6, ip="198.51.100.1")
    track(7, user_agent=AGENT.replace("126", "127"))
    track(8, url="https://other.example/")

    assert visitors_of_events(shop) == [0, 0, 1, 2, 3]
    assert shop.sessions()[0] == "paid_search"
    assert shop.column("page_view_count", "sessions") == [2, 1, 1, 1]


def test_P3_such_visitors_are_marked(shop, track):
    track(0)

    assert shop.column("flags", "events") == ["cookieless"]
    (visitor_id,) = shop.column("visitor_id", "visitors")
    assert visitor_id.startswith("cookieless_")


def test_P3_nothing_that_could_tell_who_it_was_is_kept_or_answered(shop, track):
    recorded = track(
        0,
        visitor="v1",
        user_id="u1",
        session_id="s1",
        url="https://a.test/?gclid=CLICK",
    )
    again = track(0, visitor="v1", user_id="u1", event_id=recorded.event_id)

    for answered in (recorded, again):
        assert (answered.visitor_id, answered.session_id) == (None, None)
        assert not answered.dropped
    assert again.duplicate
    assert shop.column("COUNT(*)", "identities") == [0]
    kept = repr(shop.rows("SELECT * FROM events WHERE $tenant"))
    kept += repr(shop.rows("SELECT * FROM sessions WHERE $tenant"))
    kept += repr(shop.rows("SELECT * FROM visitors WHERE $tenant"))
    for secret in ("v1", "u1", "'s1'", "CLICK", "203.0.113", AGENT):
        assert secret not in kept


@pytest.mark.parametrize("timezone", ["UTC", "Pacific/Auckland"])
def test_P3_journey_ends_at_midnight_of_the_account(shop, track, timezone):
    policy = Policy(refused_consent="cookieless", timezone=timezone)
    start_ms = shop.event("v", 0).occurred_at_ms
    zone = ZoneInfo(timezone)
    local = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(zone)
    midnight = DAY - (local.hour * 60 + local.minute)

    for minute in (midnight - 10, midnight - 1, midnight, midnight + 10):
        track(minute, policy)

    assert visitors_of_events(shop) == [0, 0, 1, 1]


def test_P3_every_day_has_a_salt_of_its_own(shop, track):
    track(0)
    track(DAY)

    assert len(set(shop.column("visitor_id", "visitors"))) == 2
    salts = [row[0] for row in shop.rows("SELECT salt FROM daily_salts WHERE $tenant")]
    assert len(set(salts)) == 2
    assert all(len(salt) == 64 for salt in salts)


@pytest.mark.parametrize(
    "fields",
    [
        {"ip": None},
        {"ip": "nobody"},
        {"user_agent": None},
        {"name": "server", "url": None},
        {"url": "/just/a/path"},
    ],
)
def test_P3_event_that_tells_too_little_is_dropped(shop, track, fields):
    recorded = track(0, **fields)

    assert (recorded.dropped, recorded.visitor_id) == (True, None)
    for table in ("events", "visitors", "daily_salts"):
        assert shop.rows(f"SELECT COUNT(*) FROM {table} WHERE $tenant") == [(0,)]


def test_P3_event_that_comes_when_its_day_is_forgotten_is_dropped(shop, track):
    first_ms = shop.event("v", 0).occurred_at_ms

    late = track(0, received_at_ms=first_ms + 2 * DAY * 60_000)
    in_time = track(0, received_at_ms=first_ms + DAY * 30_000)

    assert (late.dropped, in_time.dropped) == (True, False)


def test_P3_off_by_default(shop, track):
    assert track(0, Policy()).dropped


def test_P3_keeping_needs_somebody_to_keep(shop, track):
    keep = Policy(refused_consent="keep")

    assert track(0, keep) == Refused(error="visitor_id or user_id is required")
    assert not track(1, keep, visitor="v1").dropped


def test_P3_many_people_of_one_network_are_no_flood(shop, track):
    for number in range(125):
        last = track(number / 1000)

    assert not last.bot
    assert not any(shop.column("bot_reason", "events"))
