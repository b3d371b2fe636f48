"""The API through HTTP: what is answered to whom, and when it is refused."""

import gzip
import json
import logging
import os
import sqlite3
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbuzz import __version__, protocol
from mbuzz.server.attribution.models import PRESETS
from mbuzz.server.storage import group_commit, sqlite
from mbuzz.server.storage.errors import StorageBusyError
from tests.processes import PATIENCE
from tests.server.calls import AD, SITE, VISITOR, batch, page


def code(answer):
    """Return status and machine word of an error, which is always JSON."""
    said = answer.json()
    assert answer.header("Content-Type") == "application/json; charset=utf-8"
    assert "Traceback" not in said["error"]
    return answer.status, said["code"]


# -- the request --


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body must be JSON: "),
        (b"{", "the body must be JSON: "),
        (b"{'events': []}", "the body must be JSON: "),
        (b'{"events": NaN}', "the body must be JSON: NaN is not JSON"),
        (b"\xff\xfe", "the body must be JSON: "),
        (b"[" * 100_000, "the body must be JSON: it is nested too deeply"),
        (b"[]", "the body must be a JSON object"),
        (b'"events"', "the body must be a JSON object"),
        (b'{"n": ' + b"9" * 5000 + b"}", "the body must be JSON: "),
    ],
)
@pytest.mark.parametrize(
    "path", ["events", "identify", "alias", "group", "conversions"]
)
def test_malformed_json_is_400(shop, path, body, sentence):
    answer = shop.send("POST", f"/api/v1/{path}", body)

    assert code(answer) == (400, "invalid_json")
    assert answer.json()["error"].startswith(sentence)


def test_wrong_envelope_is_400(shop):
    assert shop.post("/events", {}).json() == {
        "error": "Missing 'events' parameter",
        "code": "missing_events",
    }
    answer = shop.post("/events", {"events": {"0": page()}})
    assert answer.json()["error"] == "Events must be an array"
    assert code(answer) == (400, "invalid_events")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/v1/events", "POST"),
        ("PUT", "/api/v1/conversions", "POST"),
        ("POST", "/api/v1/health", "GET, HEAD"),
        ("DELETE", "/api/v1/validate", "GET, HEAD"),
    ],
)
def test_wrong_method_is_405_with_what_is_right(shop, method, path, allow):
    answer = shop.send(method, path)

    assert code(answer) == (405, "method_not_allowed")
    assert answer.header("Allow") == allow


@pytest.mark.parametrize("path", ["/api/v1", "/api/v2/events", "/nowhere", "/\xff"])
def test_unknown_route_is_404(shop, path):
    answer = shop.send("GET", path)

    assert code(answer) == (404, "not_found")
    assert "see /openapi.json" in answer.json()["error"]


def test_oversized_body_is_413_without_reading_it(shop):
    size = str(protocol.MAX_BODY_BYTES + 1)

    answer = shop.send("POST", "/api/v1/events", b"{}", CONTENT_LENGTH=size)

    assert code(answer) == (413, "payload_too_large")


@pytest.mark.parametrize("length", ["x", "-1", "²", "9" * 5000, "1.5"])
def test_length_that_is_no_number_is_400(shop, length):
    answer = shop.send("POST", "/api/v1/events", b"{}", CONTENT_LENGTH=length)

    assert code(answer) == (400, "bad_request")


def test_body_that_ends_early_is_400(shop):
    answer = shop.send("POST", "/api/v1/events", b"{}", CONTENT_LENGTH="10")

    assert answer.json()["error"] == "the body ended before its length"


def zipped(shop, body, coding="gzip"):
    return shop.send("POST", "/api/v1/events", body, HTTP_CONTENT_ENCODING=coding)


def test_gzip_is_unpacked(shop):
    body = gzip.compress(json.dumps(batch(page())).encode())

    assert zipped(shop, body).json()["accepted"] == 1
    assert zipped(shop, body, " GZIP ").json()["accepted"] == 1
    assert zipped(shop, json.dumps(batch(page())).encode(), "identity").status == 202


def test_gzip_bomb_is_413(shop):
    bomb = gzip.compress(b" " * (protocol.MAX_UNPACKED_BYTES + 1))
    assert len(bomb) < 20_000

    assert code(zipped(shop, bomb)) == (413, "payload_too_large")


@pytest.mark.parametrize("damage", ["cut", "plain", "more"])
def test_broken_gzip_is_400(shop, damage):
    body = gzip.compress(json.dumps(batch(page())).encode())
    body = {"cut": body[:-4], "plain": b"{}", "more": body * 2}[damage]

    assert code(zipped(shop, body)) == (400, "bad_request")


def test_other_packing_is_415(shop):
    assert code(zipped(shop, b"x", "br")) == (415, "unsupported_media_type")


def test_head_is_get_without_the_body(shop):
    full, head = shop.get("/health"), shop.send("HEAD", "/api/v1/health")

    assert (head.status, head.body) == (200, b"")
    assert head.header("Content-Length") == str(len(full.body))


# -- keys --


def test_four_ways_to_fail_have_four_sentences(shop):
    revoked = shop.other()

    def revoke(stores):
        account = stores.accounts.accounts()[0]
        last = stores.accounts.keys(account.id)[-1]
        return stores.accounts.revoke_key(account.id, last.public_id, 1)

    assert revoked.get("/validate").status == 200
    shop.app.storage.write(revoke)
    headers = [None, "sk_test_short", "sk_test_" + "0" * 48, revoked.key]

    answers = []
    for key in headers:
        answers.append(type(shop)(shop.app, key).get("/validate"))

    assert {code(answer) for answer in answers} == {(401, "unauthorized")}
    assert {answer.header("WWW-Authenticate") for answer in answers} == {"Bearer"}
    assert len({answer.json()["error"] for answer in answers}) == 4
    assert not any(key and key in str(answers) for key in headers)


def test_validate_says_whose_the_key_is(shop):
    live = shop.other(live=True)

    assert shop.get("/validate").json() == {
        "valid": True,
        "account": {"id": "acct_1", "name": "Shop"},
        "environment": "test",
    }
    assert live.get("/validate").json()["environment"] == "live"


def test_key_of_another_account_sees_nothing_of_ours(shop):
    other = shop.other(account="Rival")
    mine = shop.post("/events", batch(page(AD, id="evt_same"))).json()
    shop.post("/conversions", {"conversion_type": "p", "visitor_id": VISITOR})

    theirs = other.post("/events", batch(page(AD, id="evt_same"))).json()
    refused = other.post("/conversions", {"conversion_type": "p", "event_id": "evt_2"})

    assert "duplicate" not in theirs["events"][0]
    assert mine["events"][0]["session_id"] != theirs["events"][0]["session_id"]
    assert code(refused) == (404, "not_found")
    assert other.get("/reports/channels").json()["totals"]["conversions"] == 0


# -- events --


def test_event_is_accepted_with_its_ids(shop):
    answer = shop.post("/events", batch(page(AD, id="evt_1", session_id="s-1")))

    assert answer.status == 202
    assert answer.json() == {
        "accepted": 1,
        "rejected": [],
        "events": [
            {
                "id": "evt_1",
                "event_type": "page_view",
                "visitor_id": VISITOR,
                "session_id": "s-1",
                "status": "accepted",
            }
        ],
    }


def test_items_are_rejected_one_by_one(shop):
    answer = shop.post(
        "/events", batch(page(), {"id": "evt_2", "user_id": 7}, None, page())
    )

    said = answer.json()
    assert (answer.status, said["accepted"]) == (202, 2)
    assert said["rejected"] == [
        {
            "index": 1,
            "id": "evt_2",
            "event_type": None,
            "errors": ["event_type is required"],
            "status": "rejected",
        },
        {
            "index": 2,
            "id": None,
            "event_type": None,
            "errors": ["an event must be an object"],
            "status": "rejected",
        },
    ]


def test_item_that_cannot_be_carried_out_is_rejected_alone(shop):
    sale = {"type": "conversion", "conversion_type": "p", "event_id": "evt_nowhere"}

    said = shop.post("/events", batch(sale, page())).json()

    assert said["accepted"] == 1
    assert said["rejected"][0]["errors"] == ["event_id is not known here"]


def test_batch_carries_every_kind_of_call_in_order(shop):
    said = shop.post(
        "/events",
        batch(
            page(AD),
            {"type": "identify", "user_id": 7, "visitor_id": VISITOR},
            {"type": "alias", "user_id": "7", "previous_id": "old"},
            {"type": "group", "id": "g-1", "group_id": "acme", "user_id": 7},
            {
                "type": "conversion",
                "id": "conv_12345678",
                "conversion_type": "purchase",
                "user_id": 7,
                "revenue": "10.005",
            },
        ),
    ).json()

    viewed, identified, aliased, grouped, bought = said["events"]
    assert viewed["status"] == "accepted"
    assert identified["identity_id"] == aliased["identity_id"]
    assert identified["visitor_linked"]
    assert grouped == {"id": "g-1", "status": "accepted"}
    assert bought["id"] == "conv_12345678"
    assert bought["warnings"] == ["revenue was rounded to the currency's smallest unit"]
    [credit] = bought["attribution_credits"]["linear"]
    assert (credit["channel"], credit["revenue_credit"]) == ("paid_search", 10.0)


def test_repeated_event_is_a_duplicate_and_counts_once(shop):
    first = shop.post("/events", batch(page(id="evt_1"))).json()["events"][0]

    again = shop.post("/events", batch(page(id="evt_1"), page(id="evt_1"))).json()

    assert again["accepted"] == 2
    assert again["events"] == [{**first, "duplicate": True}] * 2
    totals = shop.get("/reports/channels").json()["totals"]
    assert (totals["visits"], totals["page_views"]) == (1, 1)


def test_batch_has_a_most(shop):
    most = [page(id=f"evt_{n}") for n in range(protocol.MAX_BATCH_EVENTS)]

    assert shop.post("/events", batch(*most)).json()["accepted"] == 500
    answer = shop.post("/events", batch(*most, page()))
    assert code(answer) == (413, "batch_too_large")


def test_event_over_its_size_is_rejected_alone(shop):
    big = page(properties={str(n): "x" * 8000 for n in range(5)})

    said = shop.post("/events", batch(big, page())).json()

    assert said["accepted"] == 1
    assert said["rejected"][0]["errors"] == ["an event may have 32768 bytes"]


def test_text_that_was_cut_is_warned_about(shop):
    said = shop.post("/events", batch(page(properties={"a": "x" * 9000}))).json()

    assert said["events"][0]["warnings"] == [
        "properties: text over 8192 characters was cut"
    ]


def test_B5_bots_are_told_in_test_mode_only(shop):
    live = shop.other(live=True)
    crawler = page(properties={"url": SITE, "user_agent": "Googlebot"})

    [told] = shop.post("/events", batch(crawler)).json()["events"]
    [untold] = live.post("/events", batch(crawler)).json()["events"]

    assert told["warnings"] == ["bot"]
    assert "warnings" not in untold
    assert live.get("/reports/channels").json()["totals"]["visits"] == 0


def test_sent_at_corrects_the_clock(shop):
    ahead = {"sent_at": "2026-11-20T12:35:00Z", **batch(page(timestamp=None))}
    ahead["events"][0]["timestamp"] = "2026-11-20T12:34:00Z"

    shop.post("/events", ahead)

    rows = shop.app.storage.read(
        lambda s: s.tracking._db.rows(
            "SELECT received_at_ms - occurred_at_ms FROM events", {}
        )
    )
    assert rows == [(60_000,)]


# -- idempotency of a batch --


def test_E3_key_of_a_batch_replays_its_answer(shop):
    body = batch(page(), page(visitor="w"))
    first = shop.post("/events", body, HTTP_X_IDEMPOTENCY_KEY="K")

    for name in ("HTTP_X_IDEMPOTENCY_KEY", "HTTP_IDEMPOTENCY_KEY"):
        again = shop.post("/events", body, **{name: "K"})

        assert (again.status, again.body) == (first.status, first.body)
    totals = shop.get("/reports/channels").json()["totals"]
    assert (totals["page_views"], totals["visitors"]) == (2, 2)


def test_E3_key_of_a_batch_with_another_body_is_409(shop):
    shop.post("/events", batch(page()), HTTP_X_IDEMPOTENCY_KEY="K")

    answer = shop.post("/events", batch(page(AD)), HTTP_X_IDEMPOTENCY_KEY="K")

    assert code(answer) == (409, "idempotency_conflict")
    assert answer.header("X-RateLimit-Limit") == "500"
    totals = shop.get("/reports/channels").json()["totals"]
    assert totals["page_views"] == 1


def test_I15_idempotency_keys_are_a_tenants_own(shop):
    live = shop.other(live=True)
    shop.post("/events", batch(page()), HTTP_X_IDEMPOTENCY_KEY="K")

    answer = live.post("/events", batch(page(AD)), HTTP_X_IDEMPOTENCY_KEY="K")

    assert answer.status == 202


# -- cookies --


def cookies(answer):
    return [value for name, value in answer.headers if name == "Set-Cookie"]


def test_cookies_are_set_for_exactly_one_visitor(shop):
    rest = "Path=/; HttpOnly; Secure; SameSite=Lax"

    answer = shop.post("/events", batch(page(session_id="s-1"), page(session_id="s-1")))

    assert cookies(answer) == [
        f"_mbuzz_vid={VISITOR}; Max-Age=31536000; {rest}",
        f"_mbuzz_sid=s-1; Max-Age=1800; {rest}",
    ]


@pytest.mark.parametrize(
    ("items", "names"),
    [
        ([page(), page(visitor="w")], []),
        ([page(), {"type": "identify", "user_id": "7"}], []),
        ([{"event_type": "job", "user_id": "7"}], []),
        ([page(session_id="a"), page(session_id="b")], ["_mbuzz_vid"]),
        ([page(), {"event_type": "job", "user_id": "7"}], ["_mbuzz_vid", "_mbuzz_sid"]),
        ([page(), {"event_type": ""}], ["_mbuzz_vid", "_mbuzz_sid"]),
        ([], []),
    ],
)
def test_no_cookie_where_it_could_be_somebody_elses(shop, items, names):
    answer = shop.post("/events", batch(*items))

    assert [cookie.partition("=")[0] for cookie in cookies(answer)] == names


@pytest.mark.parametrize(
    "header",
    [
        f"_mbuzz_vid={VISITOR}",
        f'theme={{"dark": 1}}; _mbuzz_vid="{VISITOR}"; x',
        f"_mbuzz_vid={VISITOR}; _mbuzz_vid=other",
    ],
)
def test_visitor_comes_from_the_cookie_where_the_event_has_none(shop, header):
    answer = shop.post("/events", batch({"event_type": "Signup"}), HTTP_COOKIE=header)

    assert answer.json()["events"][0]["visitor_id"] == VISITOR
    assert VISITOR in cookies(answer)[0]


def test_cookie_never_contradicts_the_event(shop):
    answer = shop.post("/events", batch(page(visitor="v")), HTTP_COOKIE="_mbuzz_vid=w")

    assert answer.json()["events"][0]["visitor_id"] == "v"


def test_cookie_that_is_no_visitor_is_none(shop):
    answer = shop.post(
        "/events", batch({"event_type": "a"}), HTTP_COOKIE="_mbuzz_vid=<script>"
    )

    assert answer.json()["rejected"][0]["errors"] == [
        "visitor_id or user_id is required"
    ]


# -- the single calls --


def test_identify_answers_who_and_whether(shop):
    said = shop.post("/identify", {"user_id": 7, "visitor_id": VISITOR, "traits": {}})

    assert said.status == 200
    assert said.json()["success"] is True
    assert said.json()["visitor_linked"] is True
    assert not shop.post("/identify", {"user_id": 7}).json()["visitor_linked"]


def test_alias_answers_success(shop):
    answer = shop.post("/alias", {"user_id": 7, "previous_id": VISITOR})

    assert (answer.status, answer.json()) == (200, {"success": True})


@pytest.mark.parametrize(
    "about", [{}, {"user_id": 7}, {"visitor_id": VISITOR}, {"traits": {"seats": 5}}]
)
def test_group_answers_success(shop, about):
    answer = shop.post("/group", {"group_id": "acme", **about})

    assert (answer.status, answer.json()) == (200, {"success": True})


def test_repeated_group_call_is_a_duplicate_in_a_batch(shop):
    call = {"type": "group", "id": "g-1", "group_id": "acme", "user_id": 7}
    first = shop.post("/events", batch(call)).json()["events"]

    again = shop.post("/events", batch(call)).json()["events"]

    assert first == [{"id": "g-1", "status": "accepted"}]
    assert again == [{"id": "g-1", "status": "accepted", "duplicate": True}]


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/identify", {}, "user_id is required"),
        ("/group", {"user_id": 7}, "group_id is required"),
        ("/group", {"group_id": "acme", "traits": [1]}, "traits must be a hash"),
        (
            "/identify",
            {"user_id": "null"},
            "illegal_user_id: user_id is a placeholder, not an id",
        ),
        ("/alias", {"user_id": 7}, "previous_id is required"),
        ("/conversions", {"visitor_id": "v"}, "conversion_type is required"),
        (
            "/conversions",
            {"conversion_type": "p"},
            "visitor_id or user_id is required",
        ),
        (
            "/identify",
            {"user_id": 7, "traits": {str(n): "x" * 8000 for n in range(5)}},
            "an event may have 32768 bytes",
        ),
    ],
)
def test_what_is_not_well_formed_is_422_with_its_reason(shop, path, body, error):
    answer = shop.post(path, body)

    assert code(answer) == (422, "invalid")
    assert answer.json()["error"] == error
    assert answer.json()["details"] == [error]


def test_conversion_answers_with_its_credits(shop):
    shop.post("/events", batch(page(AD)))

    answer = shop.post(
        "/conversions",
        {
            "conversion": {
                "id": "conv_12345678",
                "conversion_type": "Purchase",
                "visitor_id": VISITOR,
                "revenue": "99.99",
            }
        },
    )

    said = answer.json()
    assert answer.status == 201
    assert said["conversion_id"] == "conv_12345678"
    assert said["conversion"] == {
        "id": "conv_12345678",
        "conversion_type": "purchase",
        "revenue": "99.99",
        "currency": "USD",
        "converted_at": "2026-11-20T10:35:00.000Z",
        "visitor_id": VISITOR,
    }
    assert said["attribution"] == {
        "status": "complete",
        "models": sorted(PRESETS),
        "pending": ["algorithmic", "markov", "shapley"],
        "lookback_days": 90,
        "touchpoints": 1,
    }
    [credit] = said["attribution_credits"]["first_touch"]
    assert credit["utm"] == {"utm_source": "google", "utm_medium": "cpc"}
    assert (credit["credit"], credit["revenue_credit"]) == (1.0, 99.99)
    assert said["duplicate"] is False


def test_conversion_without_revenue_or_visit(shop):
    said = shop.post("/conversions", {"conversion_type": "lead", "user_id": 7}).json()

    assert said["conversion"]["revenue"] is None
    assert said["attribution_credits"]["linear"] == [
        {
            "session_id": None,
            "channel": "unattributed",
            "credit": 1.0,
            "revenue_credit": None,
            "utm": {},
        }
    ]


@pytest.mark.parametrize("how", ["body", "header", "order"])
def test_E4_repeated_conversion_is_200_and_counts_once(shop, how):
    sale = {"conversion_type": "p", "user_id": 7, "revenue": 5}
    headers = {"HTTP_X_IDEMPOTENCY_KEY": "K"} if how == "header" else {}
    sale |= {"body": {"idempotency_key": "K"}, "order": {"order_id": 3}}.get(how, {})
    first = shop.post("/conversions", sale, **headers)

    again = shop.post("/conversions", sale, **headers)
    other = shop.post("/conversions", {**sale, "revenue": 6}, **headers)

    assert [first.status, again.status, other.status] == [201, 200, 200]
    assert again.json() == {**first.json(), "duplicate": True}
    assert other.json()["warnings"] == ["amount_differs"]
    report = shop.get("/reports/channels").json()
    assert report["totals"]["revenue"] == "5.00"


def test_E5_repeat_in_a_batch_is_warned_about(shop):
    sale = {"type": "conversion", "conversion_type": "p", "user_id": 7, "order_id": 3}

    said = shop.post("/events", batch({**sale, "revenue": 1}, sale)).json()["events"]

    assert [item["duplicate"] for item in said] == [False, True]
    assert said[1]["warnings"] == ["amount_differs"]


# -- reports --


def test_report_is_of_the_keys_environment(shop):
    live = shop.other(live=True)
    for key, revenue in ((shop, 1), (live, 20)):
        key.post("/events", batch(page(AD)))
        key.post(
            "/conversions",
            {"conversion_type": "p", "visitor_id": VISITOR, "revenue": revenue},
        )

    found = [key.get("/reports/channels").json()["totals"] for key in (shop, live)]

    assert [totals["revenue"] for totals in found] == ["1.00", "20.00"]
    assert [totals["visits"] for totals in found] == [1, 1]


def test_report_is_csv_when_asked(shop):
    by_query = shop.get("/reports/channels?format=csv")
    by_header = shop.get("/reports/channels", HTTP_ACCEPT="text/csv")

    assert by_query.header("Content-Type") == "text/csv; charset=utf-8"
    assert by_query.body == by_header.body
    assert by_query.body.startswith(b"channel,visits,")


def test_report_takes_days_models_and_currency(shop):
    said = shop.get(
        "/reports/channels?from=2026-11-01&to=2026-11-02&model=linear,&currency=jpy"
    ).json()

    assert said["period"] == {
        "from": "2026-11-01",
        "to": "2026-11-02",
        "timezone": "UTC",
    }
    assert (said["models"], said["currency"]) == (["linear"], "JPY")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("from=x", "from must be a date"),
        ("from=2026-11-21", "from must not be after to"),
        ("model=magic", "model must be one of"),
        ("currency=euro", "currency must be a code of three letters"),
        ("format=xml", "format must be csv or json, got 'xml'"),
    ],
)
def test_report_of_nonsense_is_422(shop, query, error):
    answer = shop.get(f"/reports/channels?{query}")

    assert code(answer) == (422, "invalid")
    assert answer.json()["error"].startswith(error)


def test_query_without_end_is_400(shop):
    query = "&".join(f"a{n}=1" for n in range(200))

    assert code(shop.get(f"/reports/channels?{query}")) == (400, "bad_request")


# -- limits --


def test_every_answer_says_what_is_left(caller):
    shop = caller(rate_limit=1, rate_burst=4)

    answers = [
        shop.get("/validate"),
        shop.post("/events", []),
        shop.post("/identify", {}),
        shop.post("/events", batch()),
        shop.get("/validate"),
    ]

    assert [answer.status for answer in answers] == [200, 400, 422, 202, 429]
    assert [answer.header("X-RateLimit-Remaining") for answer in answers] == [*"32100"]
    assert {answer.header("X-RateLimit-Limit") for answer in answers} == {"4"}
    assert [answer.header("X-RateLimit-Reset") for answer in answers] == [*"12344"]
    assert code(answers[-1]) == (429, "rate_limited")
    assert answers[-1].header("Retry-After") == "1"


def test_one_keys_limit_is_not_anothers(caller):
    shop = caller(rate_limit=1, rate_burst=1)
    other = shop.other()

    assert [key.get("/validate").status for key in (shop, shop, other)] == [
        *[200, 429, 200]
    ]


def test_last_use_of_a_key_is_kept(shop):
    shop.get("/validate")

    [key] = shop.app.storage.read(lambda s: s.accounts.keys(1))
    assert key.last_used_at_ms is not None


# -- when things are broken --


def test_health_needs_no_key(caller):
    shop = caller()
    answer = type(shop)(shop.app, None).get("/health")

    assert (answer.status, answer.json()) == (
        200,
        {"status": "ok", "version": __version__},
    )


def test_health_is_503_when_the_database_is_closed(shop):
    shop.app.storage.close()

    answer = shop.get("/health")

    assert answer.status == 503
    assert answer.header("Retry-After") == "5"
    assert answer.json() == {
        "status": "failing",
        "version": __version__,
        "database": "the database writer has stopped",
    }
    assert code(shop.get("/validate")) == (503, "unavailable")


@pytest.mark.skipif(os.name != "posix", reason="needs open files to be removable")
def test_health_is_503_when_the_database_file_is_gone(caller, tmp_path):
    shop = caller(database=str(tmp_path / "mbuzz.db"))
    assert shop.get("/health").status == 200
    Path(tmp_path / "mbuzz.db").unlink()

    health, event = shop.get("/health"), shop.post("/events", batch(page()))

    assert health.status == 503
    assert "was deleted or replaced" in health.json()["database"]
    assert code(event) == (503, "unavailable")
    assert event.header("Retry-After") == "1"


def test_health_is_503_when_checking_itself_fails(shop, monkeypatch):
    def check():
        raise ZeroDivisionError

    monkeypatch.setattr(shop.app.storage, "check", check)

    assert shop.get("/health").json()["database"] == "ZeroDivisionError"


def test_busy_storage_is_503_with_retry_after(caller, tmp_path, caplog, monkeypatch):
    path = str(tmp_path / "mbuzz.db")
    shop = caller(database=path)
    shop.get("/validate")
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.01)  # seconds
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with caplog.at_level(logging.WARNING, "mbuzz"):
        answer = shop.post("/events", batch(page()))

    assert code(answer) == (503, "unavailable")
    assert answer.header("Retry-After") == "1"
    assert "storage unavailable (error=StorageBusyError)" in caplog.text
    other.execute("ROLLBACK")
    other.close()
    assert shop.post("/events", batch(page())).status == 202


def test_full_queue_is_503(shop, monkeypatch):
    entered, leave = threading.Event(), threading.Event()

    def slow(stores):
        entered.set()
        leave.wait(PATIENCE)

    shop.get("/validate")
    shop.app.storage.write(lambda _stores: None)  # the key's use is noted
    monkeypatch.setattr(group_commit, "_MOST_WAITING", 0)
    with pytest.raises(StorageBusyError):
        shop.app.storage.write(slow)
    monkeypatch.setattr(group_commit, "_MOST_WAITING", 1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shop.app.storage.write, slow)
        assert entered.wait(PATIENCE)
        monkeypatch.setattr(group_commit, "_MOST_WAITING", 0)

        answer = shop.post("/events", batch(page()))

        leave.set()
        running.result(PATIENCE)
    assert code(answer) == (503, "unavailable")


def test_bug_in_a_handler_is_500_json_without_traceback(shop, monkeypatch, caplog):
    def broken(*args, **options):
        raise ZeroDivisionError("secret of the database")

    monkeypatch.setattr(shop.app.storage, "write", broken)

    with caplog.at_level(logging.ERROR, "mbuzz"):
        answer = shop.post("/events", batch(page()))

    assert code(answer) == (500, "internal_error")
    assert answer.json()["error"] == "something went wrong here; it was logged"
    assert "call failed (place=request, error=ZeroDivisionError)" in caplog.text
    assert "secret" not in caplog.text


def test_what_was_answered_202_is_on_disk(caller, tmp_path):
    path = str(tmp_path / "mbuzz.db")
    shop = caller(database=path)

    shop.post("/events", batch(page(id="evt_1")))

    with sqlite3.connect(path) as other:
        assert other.execute("SELECT event_id FROM events").fetchall() == [("evt_1",)]
    other.close()


TEXTS = st.text(
    st.characters(codec=None, exclude_categories=()), max_size=8
) | st.sampled_from(["\ud800", "\0", "https://a.example/?utm_source=\ud800&gclid=%00"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner),
    max_leaves=6,
)
ITEMS = st.fixed_dictionaries(
    {"event_type": TEXTS, "visitor_id": st.sampled_from(["v", "w"])},
    optional={
        "type": st.sampled_from(["track", "identify", "alias", "group", "conversion"]),
        "user_id": TEXTS,
        "previous_id": TEXTS,
        "id": TEXTS,
        "session_id": TEXTS,
        "url": TEXTS,
        "referrer": TEXTS,
        "conversion_type": st.sampled_from(["p"]),
        "order_id": TEXTS,
        "revenue": VALUES,
        "properties": st.dictionaries(
            TEXTS | st.sampled_from(["url", "referrer", "utm_source", "order_id"]),
            VALUES | TEXTS,
        ),
        "traits": st.dictionaries(TEXTS, VALUES),
    },
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(ITEMS | VALUES, max_size=4))
def test_whatever_is_sent_is_answered(caller, shops_by_test, items):
    shop = shops_by_test(caller)
    body = json.dumps({"events": items}).replace("NaN", "1").replace("Infinity", "1")

    answer = shop.send("POST", "/api/v1/events", body.encode())

    assert answer.status == 202
    said = answer.json()
    assert said["accepted"] + len(said["rejected"]) == len(items)


@pytest.fixture
def shops_by_test():
    """Return the same shop for all examples of a test."""
    shops = []

    def first(caller):
        if not shops:
            shops.append(caller(rate_limit=10**6, rate_burst=10**6))
        return shops[0]

    return first


# -- over a socket --


def test_through_the_real_server(backend):
    body = gzip.compress(json.dumps(batch(page(AD))).encode())
    request = urllib.request.Request(
        f"{backend.url}/api/v1/events",
        body,
        {"Authorization": f"Bearer {backend.api_key}", "Content-Encoding": "gzip"},
    )

    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 202
        assert len(answer.headers.get_all("Set-Cookie")) == 2
        assert json.load(answer)["accepted"] == 1

    request.remove_header("Authorization")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=PATIENCE)
    with refused.value as answer:
        assert json.load(answer)["code"] == "unauthorized"
