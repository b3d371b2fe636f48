"""Visits that clients announce: `POST /sessions`, as their middleware sends it."""

import pytest

from tests.server.calls import AD, SITE, VISITOR, batch, page

MINUTE = 60_000


def landing(url=AD, session="s-1", **fields):
    return {"visitor_id": VISITOR, "session_id": session, "url": url, **fields}


def announce(shop, **fields):
    answer = shop.post("/sessions", {"session": landing(**fields)})
    assert answer.status == 202, answer.body
    return answer.json()


def view(shop, url=AD, **fields):
    [event] = shop.post("/events", batch(page(url, **fields))).json()["events"]
    return event


def totals(shop):
    return shop.get("/reports/channels").json()["totals"]


@pytest.mark.parametrize("wrapped", [True, False])
def test_landing_is_answered_with_its_channel(shop, wrapped):
    body = {"session": landing()} if wrapped else landing()

    answer = shop.post("/sessions", body)

    assert (answer.status, answer.json()) == (
        202,
        {
            "status": "accepted",
            "visitor_id": VISITOR,
            "session_id": "s-1",
            "channel": "paid_search",
        },
    )


def test_page_view_joins_the_announced_visit_and_counts_once(shop):
    announce(shop)
    shop.clock.advance(1)
    view(shop)

    found = totals(shop)
    assert (found["visits"], found["visitors"], found["page_views"]) == (1, 1, 1)


def test_event_of_an_announced_visit_is_in_it(shop):
    announce(shop)
    shop.clock.advance(5)
    body = {"event_type": "Signup", "visitor_id": VISITOR}

    [event] = shop.post("/events", {"events": [body]}).json()["events"]

    assert event["session_id"].startswith("sess_")


def test_conversion_is_credited_to_the_announced_visit(shop):
    announce(shop)
    sale = {"conversion_type": "purchase", "visitor_id": VISITOR, "revenue": 5}

    said = shop.post("/conversions", sale).json()

    [credit] = said["attribution_credits"]["linear"]
    assert credit["channel"] == "paid_search"


def test_new_id_for_every_page_does_not_split_the_visit(shop):
    for number in range(4):
        said = announce(shop, url=SITE + f"page/{number}", session=f"uuid-{number}")
        assert said["session_id"] == f"uuid-{number}"
        shop.clock.advance(10 * 60)

    assert totals(shop)["visits"] == 1


def test_later_page_is_of_the_channel_that_the_visit_came_by(shop):
    announce(shop)
    shop.clock.advance(60)

    assert announce(shop, url=SITE, session="s-2")["channel"] == "paid_search"


def test_visit_after_half_an_hour_is_another(shop):
    announce(shop)
    shop.clock.advance(31 * 60)

    assert announce(shop, url=SITE, session="s-2")["channel"] == "direct"
    assert totals(shop)["visits"] == 2


def test_repeated_landing_changes_nothing(shop):
    first = announce(shop, started_at="2026-11-20T10:34:00Z")

    again = announce(shop, started_at="2026-11-20T10:34:00Z")

    assert again == {**first, "duplicate": True}
    assert totals(shop)["visits"] == 1


def test_same_session_id_of_another_visitor_is_another_landing(shop):
    announce(shop)
    other = shop.post("/sessions", landing() | {"visitor_id": "w"}).json()

    assert "duplicate" not in other
    assert totals(shop)["visits"] == 2


def test_started_at_is_when_it_was(shop):
    announce(shop, started_at="2026-11-20T09:00:00Z")
    announce(shop, session="s-2", started_at="2026-11-20T10:00:00+00:00")

    assert totals(shop)["visits"] == 2


def test_fingerprints_addresses_and_pixels_are_not_kept(shop):
    secrets = {
        "device_fingerprint": "d3b07384d113edec",
        "fbp": "fb.1.1700000000000.123456789",
        "ip": "203.0.113.7",
    }

    assert "warnings" not in announce(shop, **secrets)

    def dump(stores):
        db = stores.tracking._db
        tables = db.rows("SELECT name FROM sqlite_master WHERE type = 'table'", {})
        return [db.rows(f'SELECT * FROM "{name}"', {}) for (name,) in tables]

    kept = str(shop.app.storage.read(dump))
    assert VISITOR in kept
    assert not any(secret in kept for secret in secrets.values())


def test_referrer_decides_where_there_are_no_tags(shop):
    said = announce(shop, url=SITE, referrer="https://www.google.com/")

    assert said["channel"] == "organic_search"


def test_bot_is_told_in_test_mode_only_and_is_no_visit(shop):
    live = shop.other(live=True)

    assert announce(shop, user_agent="Googlebot")["warnings"] == ["bot"]
    assert announce(live, user_agent="Googlebot") == {
        "status": "accepted",
        "visitor_id": VISITOR,
        "session_id": "s-1",
        "channel": "paid_search",
    }
    assert [totals(key)["visits"] for key in (shop, live)] == [0, 0]


def test_field_that_is_not_known_is_told(shop):
    said = announce(shop, utm_sorce="x")

    assert said["warnings"] == ["unknown fields were ignored: utm_sorce"]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (
            {},
            ["visitor_id is required", "session_id is required", "url is required"],
        ),
        ({"session": []}, ["session must be an object"]),
        ({"session": landing(url=None)}, ["url is required"]),
        ({"session": landing(url=" ")}, ["url is required"]),
        ({"session": landing(url=5)}, ["url is required"]),
        (landing(session=""), ["session_id is required"]),
        (
            landing(session="a b"),
            ["session_id must be 1 to 255 letters, digits or . _ : -"],
        ),
        (
            {**landing(), "visitor_id": "a b"},
            ["visitor_id must be 1 to 255 letters, digits or . _ : -"],
        ),
        (landing(started_at="x"), ["timestamp must be a valid ISO8601 datetime"]),
        (landing(more="x" * 40_000), ["an event may have 32768 bytes"]),
    ],
)
def test_landing_that_is_none_is_refused_with_every_reason(shop, body, errors):
    answer = shop.post("/sessions", body)

    assert (answer.status, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["details"] == errors
