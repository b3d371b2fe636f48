"""Conversions over HTTP: credits at once, all of it later, refunds, voids."""

import pytest

from mbuzz.server.attribution.models import PRESETS
from tests.server.calls import AD, VISITOR, batch, page


def visit(shop, url=AD, **fields):
    return shop.post("/events", batch(page(url, **fields))).json()["events"][0]


def sell(shop, **fields):
    sale = {"conversion_type": "purchase", "visitor_id": VISITOR, "revenue": "30.00"}
    return shop.post("/conversions", {**sale, **fields}).json()


def show(shop, sold):
    return shop.get(f"/conversions/{sold['conversion_id']}").json()


def test_CV13_answer_has_the_credits_at_once(shop):
    visit(shop)

    sold = sell(shop)

    assert sold["attribution"] == {
        "status": "complete",
        "models": sorted(PRESETS),
        "pending": ["algorithmic", "markov", "shapley"],
        "lookback_days": 90,
        "touchpoints": 1,
    }
    (credit,) = sold["attribution_credits"]["linear"]
    assert (credit["channel"], credit["revenue_credit"]) == ("paid_search", 30.0)


@pytest.mark.parametrize("whose", ["nobody", "account", "environment"])
def test_CV14_event_of_anybody_else_is_a_404_as_an_unknown_one(shop, whose):
    if whose == "account":
        visit(shop.other(account="Rival"), id="evt_theirs")
    if whose == "environment":
        visit(shop.other(live=True), id="evt_theirs")

    answer = shop.post(
        "/conversions", {"conversion_type": "p", "event_id": "evt_theirs"}
    )

    assert (answer.status, answer.json()) == (
        404,
        {"error": "event_id is not known here", "code": "not_found"},
    )


def test_CV14_in_a_batch_only_that_item_is_rejected(shop):
    items = [
        {"type": "conversion", "conversion_type": "p", "event_id": "evt_unknown"},
        {"type": "conversion", "conversion_type": "p", "user_id": 5},
    ]

    reply = shop.post("/events", {"events": items}).json()

    assert [r["errors"] for r in reply["rejected"]] == [["event_id is not known here"]]
    assert reply["accepted"] == 1


def test_CV17_every_credit_says_why(shop):
    visit(shop, timestamp="2026-11-18T10:35:00Z")
    visit(shop, "https://shop.example/", timestamp="2026-11-19T10:35:00Z")
    visit(shop, timestamp="2026-11-20T10:00:00Z")

    full = show(shop, sell(shop, converted_at="2026-11-20T10:35:00Z"))

    linear = full["attribution_credits"]["linear"]
    assert [credit["why"] for credit in linear] == [
        {
            "position": position,
            "index": index,
            "length": 3,
            "role": None,
            "days_to_conversion": days,
            "weight": 1.0,
            "model": "linear",
            "version": 1,
        }
        for index, (position, days) in enumerate(
            [("first", 2.0), ("middle", 1.0), ("last", 0.024)]
        )
    ]
    assert [one["channel"] for one in full["journey"]] == [
        "paid_search",
        "direct",
        "paid_search",
    ]
    assert full["attribution"]["touchpoints"] == 3


def test_CV17_conversion_can_be_looked_at_with_all_that_was_said(shop):
    sold = sell(
        shop,
        user_id=7,
        funnel="checkout",
        properties={"items": 2, "url": "https://shop.example/thanks"},
        correlation={"request_id": "r1"},
        is_acquisition=True,
    )

    conversion = show(shop, sold)["conversion"]

    assert conversion["user_id"] == "7"
    assert conversion["funnel"] == "checkout"
    assert conversion["properties"]["items"] == 2
    assert conversion["correlation"] == {"request_id": "r1"}
    assert conversion["status"] == "complete"
    assert conversion["is_acquisition"]
    assert conversion["net_revenue"] == "30.00"


@pytest.mark.parametrize("stranger", [{"account": "Rival"}, {"live": True}])
def test_I15_conversion_of_another_tenant_is_not_there(shop, stranger):
    sold = sell(shop)["conversion_id"]
    other = shop.other(**stranger)

    answers = [
        other.get(f"/conversions/{sold}"),
        other.post(f"/conversions/{sold}/refunds", {"refund_id": "r"}),
        other.post(f"/conversions/{sold}/void", {}),
    ]

    unknown = other.get("/conversions/conv_unknown").json()["error"]
    assert [answer.status for answer in answers] == [404] * 3
    assert {a.json()["error"].replace(sold, "conv_unknown") for a in answers} == {
        unknown
    }
    assert show(shop, {"conversion_id": sold})["conversion"]["status"] == "complete"


def test_CV10_refund_is_answered_with_what_it_takes_back(shop):
    visit(shop)
    sold = sell(shop)["conversion_id"]
    path = f"/conversions/{sold}/refunds"
    part = {"refund_id": "re_1", "amount": 12, "reason": "late"}

    first = shop.post(path, part)
    again = shop.post(path, part)
    rest = shop.post(path, {"refund_id": "re_2"})

    assert [a.status for a in (first, again, rest)] == [201, 200, 201]
    body = first.json()
    assert body["refund"]["amount"] == "12.00"
    assert body["refund"]["reason"] == "late"
    assert body["conversion"]["net_revenue"] == "18.00"
    assert body["attribution_credits"]["linear"] == [
        {"position": 0, "channel": "paid_search", "revenue_credit": -12.0}
    ]
    assert again.json() == {**body, "duplicate": True}
    assert rest.json()["conversion"]["status"] == "refunded"
    totals = shop.get("/reports/channels").json()["totals"]
    assert (totals["revenue"], totals["refunds"], totals["net_revenue"]) == (
        "30.00",
        "-30.00",
        "0.00",
    )
    assert totals["conversions"] == 1
    assert len(show(shop, {"conversion_id": sold})["refunds"]) == 2


def test_CV10_idempotency_key_of_the_header_is_the_refunds_id(shop):
    path = f"/conversions/{sell(shop)['conversion_id']}/refunds"

    answers = [shop.post(path, {}, HTTP_X_IDEMPOTENCY_KEY="k") for _ in range(2)]

    assert [answer.status for answer in answers] == [201, 200]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "refund_id is required"),
        ({"refund_id": "r", "amount": True}, "amount must be a number"),
        ({"refund_id": "r", "amount": [1]}, "amount must be a number"),
        ({"refund_id": "r", "amount": "1e99"}, "amount must be from 0"),
        ({"refund_id": "r", "amount": "31"}, "amount must be at most 30.00 USD"),
        ({"refund_id": "r", "reason": "x" * 501}, "reason must be text"),
        ({"refund_id": "r", "refunded_at": "soon"}, "timestamp must be"),
    ],
)
def test_CV10_refund_that_cannot_be_is_a_422(shop, body, error):
    answer = shop.post(f"/conversions/{sell(shop)['conversion_id']}/refunds", body)

    assert answer.status == 422
    assert error in answer.json()["error"]


def test_CV10_void_conversion_is_in_no_total_and_still_there(shop):
    visit(shop)
    sold = sell(shop, order_id="A-1")
    path = f"/conversions/{sold['conversion_id']}/void"

    gone = shop.post(path, {"reason": "test order"})
    again = shop.send("POST", f"/api/v1{path}")

    assert gone.status == 200
    assert gone.json() == again.json()
    assert gone.json()["conversion"]["status"] == "void"
    assert gone.json()["conversion"]["void_reason"] == "test order"
    assert gone.json()["attribution_credits"] == {}
    totals = shop.get("/reports/channels").json()["totals"]
    assert (totals["conversions"], totals["revenue"]) == (0, "0.00")
    assert sell(shop, order_id="A-1")["duplicate"]
    assert shop.post(path, {"reason": 5}).status == 422


def test_CV10_who_made_a_conversion_void_is_in_the_audit_log_once(shop):
    sold = sell(shop)["conversion_id"]
    for _ in range(2):
        shop.post(f"/conversions/{sold}/void", {"reason": "private words"})

    entries = shop.app.storage.read(
        lambda stores: stores.accounts.audit_entries(
            stores.accounts.accounts()[0].id, 50
        )
    )

    (entry,) = [entry for entry in entries if entry.action == "conversion.void"]
    assert entry.details == {"conversion": sold, "live": False}
    assert entry.actor.startswith("key key_")  # as `mbuzz keys list` shows it
    assert "private" not in repr(entries)


def test_E5_corrections_are_not_made_by_repeats(shop):
    sold = sell(shop, order_id="A-1")
    sell(shop, order_id="A-1", revenue=5)

    conversion = show(shop, sold)["conversion"]

    assert conversion["revenue"] == "30.00"
    assert conversion["flags"] == ["amount_differs"]


def test_I3_identify_says_that_a_former_link_was_closed(shop):
    said = [
        shop.post("/identify", {"user_id": user, "visitor_id": VISITOR}).json()
        for user in ("u1", "u1", "u2")
    ]

    assert [answer.get("previous_link_closed") for answer in said] == [None, None, True]
    item = {"type": "identify", "user_id": "u1", "visitor_id": VISITOR}
    reply = shop.post("/events", {"events": [item]}).json()
    assert reply["events"][0]["previous_link_closed"] is True
