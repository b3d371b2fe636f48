"""Consent, GPC and what is kept, through HTTP; and the report on the data's quality."""

import pytest

from tests.server import calls
from tests.server.calls import SITE, VISITOR


def page(query="", properties=None, **fields):
    url = SITE + query
    return calls.page(url, properties={"url": url, **(properties or {})}, **fields)


def post(shop, item, **headers):
    [answer] = shop.post("/events", {"events": [item]}, **headers).json()["events"]
    return answer


def stored(shop, columns="url"):
    sql = f"SELECT {columns} FROM events WHERE account_id = 1 AND live = 0 ORDER BY id"
    found = shop.app.storage.read(lambda stores: stores.tracking._db.rows(sql, {}))
    return [row[0] if len(row) == 1 else row for row in found]


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"gpc": True}, {}),
        ({"consent": {"ads": False}}, {}),
        ({}, {"HTTP_SEC_GPC": "1"}),
        ({}, {"HTTP_DNT": "1"}),
    ],
)
def test_P4_click_ids_are_not_kept_of_who_does_not_want_that(shop, fields, headers):
    post(shop, page("?gclid=SECRET&x=1", **fields), **headers)

    assert stored(shop) == [SITE + "?x=1"]
    rows = shop.get("/reports/channels").json()["rows"]
    assert [row["channel"] for row in rows] == ["paid_search"]


@pytest.mark.parametrize(
    "fields",
    [{}, {"gpc": "1"}, {"consent": True}, {"consent": {"ads": None, "x": False}}],
)
def test_P4_what_is_no_refusal_changes_nothing(shop, fields):
    post(shop, page("?gclid=CLICK", **fields))

    assert stored(shop) == [SITE + "?gclid=CLICK"]


def test_G9_event_without_consent_is_answered_and_not_stored(shop):
    answered = shop.post("/events", {"events": [page(consent={"analytics": False})]})

    [answer] = answered.json()["events"]
    assert (answered.status, answer["status"]) == (202, "accepted")
    assert (answer["visitor_id"], answer["session_id"]) == (None, None)
    assert answer["warnings"] == ["no_consent"]
    assert answered.header("Set-Cookie") is None
    assert stored(shop) == []


def test_P3_who_refuses_needs_no_id_and_is_told_apart_where_the_account_asks(shop):
    item = {**page(consent={"analytics": False}), "visitor_id": None}
    item["properties"] = {
        **item.get("properties", {}),
        "ip": "203.0.113.7",
        "user_agent": "Mozilla/5.0 Chrome/126",
    }

    dropped = post(shop, item)
    shop.app.storage.write(
        lambda stores: stores.accounts.save_settings(
            1, {"refused_consent": "cookieless"}
        )
    )
    shop.clock.advance(3)  # settings are looked up again then
    kept = shop.post("/events", {"events": [item]})

    assert dropped["warnings"] == ["no_consent"]
    [answer] = kept.json()["events"]
    assert (answer["visitor_id"], answer["session_id"]) == (None, None)
    assert "no_consent" not in answer.get("warnings", [])
    assert kept.header("Set-Cookie") is None
    assert stored(shop, "flags") == ["cookieless"]


def test_P1_P6_address_and_agent_are_not_kept_as_they_came(shop):
    agent = "Mozilla/5.0 (Windows NT 10.0) Chrome/126.0.0.0 Safari/537.36"
    post(shop, page(properties={"ip": "203.0.113.77", "user_agent": agent, "n": 1}))

    assert stored(shop, "user_agent, properties") == [
        ("Chrome 126 / Windows / desktop", '{"n":1}')
    ]


def test_B3_webdriver_is_told_as_a_bot(shop):
    assert post(shop, page(properties={"webdriver": True}))["warnings"] == ["bot"]


def test_strict_account_says_that_the_visitor_is_not_found(shop):
    shop.app.storage.write(
        lambda stores: stores.accounts.save_settings(1, {"strict_visitors": True})
    )

    item = {"event_type": "Paid", "visitor_id": VISITOR}
    [refused] = shop.post("/events", {"events": [item]}).json()["rejected"]

    assert refused["errors"] == ["Visitor not found"]


def test_own_channels_are_in_the_reports(shop):
    rule = {
        "channel": "trade_fair",
        "when": [{"field": "landing_path", "operator": "is", "value": "/fair"}],
    }
    shop.app.storage.write(
        lambda stores: stores.accounts.save_settings(1, {"channel_rules": [rule]})
    )
    post(shop, page("fair"))

    [row] = shop.get("/reports/channels").json()["rows"]

    assert (row["channel"], row["label"]) == ("trade_fair", "Trade Fair")


def test_quality_of_the_data_is_reported(shop):
    post(shop, page("?utm_source=x"))

    report = shop.get("/reports/quality").json()

    assert (report["visits"], report["events"], report["one_event_percent"]) == (
        1,
        1,
        100,
    )
    assert report["findings"] == [
        {"flag": "unassigned_channel", "count": 1, "examples": []}
    ]


def test_quality_of_days_that_are_none_is_422(shop):
    refused = shop.get("/reports/quality?from=x")

    assert refused.status == 422
    assert "from must be a date" in refused.json()["error"]
