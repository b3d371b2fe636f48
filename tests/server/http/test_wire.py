"""The wire to the letter: what clients of all kinds send; rules E1-E6 and T1-T7."""

import gzip
import io
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from mbuzz import protocol
from tests.server.calls import SITE, VISITOR, batch, page

BOM = b"\xef\xbb\xbf"
DAY = 86_400.0


def send(shop, *items, **headers):
    answer = shop.post("/events", batch(*items), **headers)
    assert answer.status == 202, answer.body
    return answer.json()


def raw(shop, body, path="/events", **headers):
    return shop.send("POST", f"/api/v1{path}", body, **headers)


def stored(shop, column):
    """Return a column of all events, in the order in which they arrived."""
    rows = shop.app.storage.read(
        lambda stores: stores.tracking._db.rows(
            f"SELECT {column} FROM events ORDER BY id", {}
        )
    )
    return [value for (value,) in rows]


def totals(shop):
    return shop.get("/reports/channels").json()["totals"]


# -- bodies --


@pytest.mark.parametrize("body", [b"", b"  \r\n", BOM])
def test_empty_body_is_called_empty(shop, body):
    answer = raw(shop, body)

    assert answer.status == 400
    assert answer.json() == {
        "error": "the body must be JSON: it is empty",
        "code": "invalid_json",
    }


def test_byte_order_mark_is_passed_over(shop):
    body = BOM + json.dumps(batch(page())).encode()

    assert raw(shop, body).json()["accepted"] == 1
    packed = raw(shop, gzip.compress(body), HTTP_CONTENT_ENCODING="gzip")
    assert packed.json()["accepted"] == 1


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "",
    ],
)
def test_body_is_json_whatever_the_content_type_says(shop, kind):
    body = json.dumps(batch(page())).encode()

    assert raw(shop, body, CONTENT_TYPE=kind).status == 202


def test_other_charset_than_utf_8_is_400(shop):
    body = '{"events": [], "name": "é"}'.encode("latin-1")

    answer = raw(shop, body, CONTENT_TYPE="application/json; charset=latin-1")

    assert (answer.status, answer.json()["code"]) == (400, "invalid_json")


def test_of_two_fields_with_one_name_the_last_counts(shop):
    body = b'{"events": 5, "events": [{"event_type": "a", "event_type": "b",'
    body += b' "user_id": "1", "user_id": "2"}]}'

    assert raw(shop, body).json()["events"][0]["event_type"] == "b"


def test_body_in_chunks_is_read_where_the_server_tells_its_end(shop):
    body = json.dumps(batch(page())).encode()
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}

    taken = raw(shop, body, **chunked, **{"wsgi.input_terminated": True})
    untold = raw(shop, body, **chunked)
    endless = io.BytesIO(b" " * (protocol.MAX_BODY_BYTES + 1))
    refused = raw(
        shop, b"", **chunked, **{"wsgi.input_terminated": True, "wsgi.input": endless}
    )

    assert taken.json()["accepted"] == 1
    assert untold.json()["error"] == "the body must be JSON: it is empty"
    assert refused.json()["code"] == "payload_too_large"


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400, 1e308, -0.0])
def test_any_number_is_a_property(shop, number):
    assert send(shop, page(properties={"url": SITE, "n": number}))["accepted"] == 1
    assert json.loads(stored(shop, "properties")[0]) == {"n": number}


@pytest.mark.parametrize("given", [2**70, -5])
def test_whole_numbers_of_any_size_are_users(shop, given):
    assert send(shop, {"event_type": "a", "user_id": given})["accepted"] == 1


def test_number_too_long_to_read_is_400(shop):
    body = b'{"events": [], "n": ' + b"9" * 5_000 + b"}"

    assert raw(shop, body).status == 400


def test_half_characters_and_nul_are_replaced(shop):
    body = rb'{"events": [{"event_type": "a\ud800b\u0000", "user_id": "1",'
    body += rb' "properties": {"x\udfff": "\ud800\u0000"}}]}'

    answer = raw(shop, body)

    assert answer.json()["events"][0]["event_type"] == "a?b"
    assert json.loads(stored(shop, "properties")[0]) == {"x?": "?"}


# -- items, as clients of the field send them --


def test_PHPs_empty_array_is_an_empty_object(shop):
    said = send(
        shop,
        page(properties=[]),
        {"type": "identify", "user_id": "1", "traits": []},
        {
            "type": "conversion",
            "conversion_type": "a",
            "user_id": "1",
            "properties": [],
        },
    )

    assert (said["accepted"], said["rejected"]) == (3, [])


def test_fields_that_are_null_are_as_good_as_absent(shop):
    item = page(
        id=None,
        event_id="evt_1",
        event="page_view",
        event_type=None,
        anonymous_id=None,
        user_id=None,
        session_id=None,
        timestamp=None,
        url=None,
        ip=None,
        identifier=None,
        correlation=None,
    )

    [event] = send(shop, item)["events"]

    assert (event["id"], event["event_type"]) == ("evt_1", "page_view")
    assert "warnings" not in event


def test_alias_of_older_clients_names_a_visitor(shop):
    send(shop, page())
    answer = shop.post("/alias", {"user_id": 7, "visitor_id": f'"{VISITOR}"'})
    sale = {"conversion_type": "p", "user_id": 7}

    assert (answer.status, answer.json()) == (200, {"success": True})
    said = shop.post("/conversions", sale).json()
    assert said["attribution_credits"]["linear"][0]["channel"] == "direct"


def test_alias_with_a_visitor_that_is_none_says_so_once(shop):
    answer = shop.post("/alias", {"user_id": 7, "visitor_id": "a b"})

    assert answer.json()["details"] == [
        "visitor_id must be 1 to 255 letters, digits or . _ : -"
    ]


@pytest.mark.parametrize(
    "identifier",
    [{"email": "a@b.example"}, {"user_id": "x", "email": "a@b.example"}, {"crm": "7"}],
)
def test_identifier_of_older_clients_is_the_user(shop, identifier):
    item = page(identifier=identifier)
    user = identifier.get("email", "7")

    assert send(shop, item)["accepted"] == 1
    sale = {"conversion_type": "p", "user_id": user}
    said = shop.post("/conversions", sale).json()
    assert said["attribution_credits"]["linear"][0]["channel"] == "direct"


@pytest.mark.parametrize("identifier", ["a", 5, [], {}, {"email": "null"}, {"a": []}])
def test_identifier_that_names_nobody_is_passed_over(shop, identifier):
    assert send(shop, page(identifier=identifier))["accepted"] == 1
    alone = send(shop, {"event_type": "a", "identifier": identifier})
    assert alone["rejected"][0]["errors"] == ["visitor_id or user_id is required"]


def test_user_id_beats_identifier(shop):
    send(shop, page(user_id="7", identifier={"email": "a@b.example"}))

    sale = {"conversion_type": "p", "user_id": "a@b.example"}
    said = shop.post("/conversions", sale).json()
    assert said["attribution_credits"]["linear"][0]["channel"] == "unattributed"


def test_same_visitor_under_both_names_may_be_quoted_once(shop):
    item = page(visitor_id=f'"{VISITOR}"', anonymous_id=VISITOR)

    assert send(shop, item)["events"][0]["visitor_id"] == VISITOR


def test_user_agent_beside_the_properties_tells_bots(shop):
    item = page(user_agent="Googlebot", ip="203.0.113.7")

    assert send(shop, item)["events"][0]["warnings"] == ["bot"]


# -- warnings --


def test_fields_that_are_not_known_are_told_in_test_mode_only(shop):
    item = page(utm_sorce="x", **{f"field_{n}": n for n in range(7)})
    sale = {"type": "conversion", "conversion_type": "a", "user_id": "1"}
    items = [item, {**sale, "reveneu": 5}, {"type": "conversion", "conversion": sale}]

    told = [event.get("warnings") for event in send(shop, *items)["events"]]
    untold = [
        event.get("warnings") for event in send(shop.other(live=True), *items)["events"]
    ]

    named = "utm_sorce, field_0, field_1, field_2, field_3 and 3 more"
    assert told[0] == [f"unknown fields were ignored: {named}"]
    assert told[1:] == [["unknown fields were ignored: reveneu"], None]
    assert untold == [None, None, None]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/identify", {"user_id": 1, "trait": {}}),
        ("/alias", {"user_id": 1, "previous_id": 2, "trait": {}}),
        ("/group", {"group_id": 1, "trait": {}}),
        ("/conversions", {"conversion_type": "a", "user_id": 1, "trait": {}}),
    ],
)
def test_single_calls_tell_of_unknown_fields_too(shop, path, body):
    told = shop.post(path, body).json()
    untold = shop.other(live=True).post(path, body).json()

    assert told["warnings"] == ["unknown fields were ignored: trait"]
    assert "warnings" not in untold


def test_name_without_end_does_not_make_an_answer_without_end(shop):
    item = page(**{"x" * 9_000: 1, "\ud800": 2})

    [event] = send(shop, item)["events"]

    assert len(event["warnings"][0]) < 100


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"event_type": "x" * 256}, "event_type: text over 255 characters was cut"),
        (
            {"properties": {"x" * 256: 1}},
            "properties: a name over 255 characters was cut",
        ),
        (
            {"properties": {"a": ["x" * 8_193]}},
            "properties: text over 8192 characters was cut",
        ),
    ],
)
def test_what_was_cut_is_warned_about(shop, fields, warning):
    assert send(shop, page(**fields))["events"][0]["warnings"] == [warning]


def test_traits_that_were_cut_are_warned_about_in_single_calls(shop):
    body = {"user_id": 1, "traits": {"a": "x" * 9_000}}

    said = shop.post("/identify", body).json()

    assert said["warnings"] == ["traits: text over 8192 characters was cut"]


# -- what every answer says --


def test_answers_to_failures_say_what_is_left(caller, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise ZeroDivisionError

    shop = caller(database=str(tmp_path / "mbuzz.db"))
    shop.get("/validate")
    monkeypatch.setattr(shop.app.storage, "write", broken)
    answer = shop.post("/identify", {"user_id": 7})

    assert answer.status == 500
    assert answer.header("X-RateLimit-Remaining") is not None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR  "])
def test_scheme_of_the_key_may_be_of_any_case(shop, scheme):
    key, shop.key = shop.key, None

    answer = shop.get("/validate", HTTP_AUTHORIZATION=f"{scheme} {key}")

    assert answer.status == 200


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "BREW"])
def test_any_other_method_is_405_with_what_is_right(shop, method):
    answer = shop.send(method, "/api/v1/events")

    assert (answer.status, answer.header("Allow")) == (405, "POST")


def test_cookies_never_contradict_what_was_sent(shop):
    send(shop, page(id="evt_1", session_id="s-1"))
    other = "0123cdef" * 8

    def cookies(*items):
        answer = shop.post("/events", batch(*items))
        return [v.partition(";")[0] for k, v in answer.headers if k == "Set-Cookie"]

    assert cookies(page(id="evt_1", visitor_id=other, session_id="s-2")) == []
    assert cookies(page(id="evt_1", session_id="s-2")) == [f"_mbuzz_vid={VISITOR}"]
    assert cookies(page(id="evt_1", session_id="s-1")) == [
        f"_mbuzz_vid={VISITOR}",
        "_mbuzz_sid=s-1",
    ]


# -- E: idempotency --


def test_E1_id_counts_once_and_is_a_tenants_own(shop):
    first = send(shop, page(id="evt_1"))["events"][0]
    other = shop.other(live=True)

    [again] = send(shop, page(id="evt_1", properties={"url": "https://b.example/"}))[
        "events"
    ]

    assert again == {**first, "duplicate": True}
    assert "duplicate" not in send(other, page(id="evt_1"))["events"][0]
    assert stored(shop, "url") == [SITE, SITE]


def test_E1_repeat_after_weeks_is_still_one(shop):
    item = page(id="evt_1", timestamp="2026-11-20T10:30:00Z")
    send(shop, item)
    shop.clock.advance(20 * DAY)

    assert send(shop, item)["events"][0]["duplicate"] is True


def test_E2_without_an_id_the_same_twice_is_two(shop):
    said = send(shop, page(), page())

    assert len({event["id"] for event in said["events"]}) == 2
    assert totals(shop)["page_views"] == 2


def test_E3_answer_is_kept_for_24_hours(shop):
    header = {"HTTP_X_IDEMPOTENCY_KEY": "K"}
    body = batch(page())
    first = shop.post("/events", body, **header).body
    shop.clock.advance(DAY - 1)
    assert shop.post("/events", body, **header).body == first

    shop.clock.advance(2)
    later = shop.post("/events", batch(page(), page()), **header)
    again = shop.post("/events", batch(page(), page()), **header)

    assert (later.status, later.json()["accepted"]) == (202, 2)
    assert later.body == again.body
    assert totals(shop)["page_views"] == 3


def test_E3_retry_may_say_that_it_was_sent_later(shop):
    header = {"HTTP_X_IDEMPOTENCY_KEY": "K"}

    answers = [
        shop.post("/events", batch(page(), sent_at=sent_at), **header)
        for sent_at in ("2026-11-20T10:34:58Z", "2026-11-20T10:34:59Z")
    ]
    other = shop.post(
        "/events", batch(page(), page(), sent_at="2026-11-20T10:34:59Z"), **header
    )

    assert answers[0].body == answers[1].body
    assert (other.status, other.json()["code"]) == (409, "idempotency_conflict")


def test_E3_long_keys_stay_different(shop):
    for end in "ab":
        key = {"HTTP_IDEMPOTENCY_KEY": "k" * 300 + end}
        assert shop.post("/events", batch(page(session_id=end)), **key).status == 202

    assert totals(shop)["page_views"] == 2


def test_E3_same_key_at_once_is_carried_out_once(shop):
    body = batch(*[page() for _ in range(20)])

    with ThreadPoolExecutor(8) as pool:
        posted = [
            pool.submit(shop.post, "/events", body, HTTP_X_IDEMPOTENCY_KEY="K")
            for _ in range(16)
        ]
        answers = {answer.result(10).body for answer in posted}

    assert len(answers) == 1
    assert totals(shop)["page_views"] == 20


def test_E3_refused_batch_leaves_its_key_free(shop):
    header = {"HTTP_X_IDEMPOTENCY_KEY": "K"}

    assert shop.post("/events", {}, **header).status == 400
    assert shop.post("/events", batch(page()), **header).status == 202


def test_E6_same_event_at_once_is_stored_once(shop):
    def post(_):
        return send(shop, page(id="evt_1"))["events"][0]

    with ThreadPoolExecutor(8) as pool:
        events = list(pool.map(post, range(16)))

    assert [event.get("duplicate") for event in events].count(None) == 1
    assert stored(shop, "event_id") == ["evt_1"]


# -- T: time --


def test_T1_every_form_of_a_time_is_the_same_moment(shop):
    moments = [
        "2026-11-20T10:30:00Z",
        "2026-11-20T10:30:00z",
        "2026-11-20T16:15:00+05:45",
        "2026-11-20 10:30:00",
        "2026-11-20T10:30:00.000000000+00:00",
        1_795_170_600,
        1_795_170_600.0,
        1_795_170_600_000,
    ]

    assert send(shop, *[page(timestamp=at) for at in moments])["accepted"] == 8
    assert set(stored(shop, "occurred_at_ms")) == {1_795_170_600_000}


def test_T2_raw_time_of_a_corrected_clock_is_kept(shop):
    items = batch(
        page(timestamp="2026-11-20T12:34:00Z"), sent_at="2026-11-20T12:35:00Z"
    )

    assert shop.post("/events", items).status == 202
    assert stored(shop, "said_at_ms - occurred_at_ms") == [2 * 3_600_000]


def test_T3_time_in_the_future_is_now_and_flagged(shop):
    item = page(timestamp="2026-11-20T11:00:00Z")

    assert send(shop, item)["accepted"] == 1
    assert stored(shop, "received_at_ms - occurred_at_ms") == [0]
    assert "clock_future" in stored(shop, "flags")[0]


def test_T4_event_of_months_ago_is_rejected_alone(shop):
    said = send(shop, page(), page(timestamp="2026-09-01T00:00:00Z"))

    assert said["accepted"] == 1
    assert said["rejected"][0]["errors"] == [
        "too_old: timestamp is more than 30 days ago"
    ]


def test_T4_account_may_take_less_old_events_on_every_route(shop):
    shop.app.storage.write(
        lambda stores: stores.accounts.save_settings(1, {"max_event_age": 2})
    )
    old = {"timestamp": "2026-11-17T10:00:00Z"}
    refused = ["too_old: timestamp is more than 2 days ago"]

    assert send(shop, page(**old))["rejected"][0]["errors"] == refused
    identify = shop.post("/identify", {"user_id": "7", **old})
    landing = {"url": "https://shop.example/", "visitor_id": "a" * 64}
    session = shop.post(
        "/sessions", {**landing, "session_id": "b" * 32, "started_at": old["timestamp"]}
    )
    assert (identify.status, session.status) == (422, 422)
    assert refused[0] in identify.json()["error"]
    assert refused[0] in session.json()["error"]


def test_T5_time_that_is_none_is_never_taken_for_now(shop):
    said = send(shop, page(timestamp="tomorrow"), page(timestamp=True), page())

    assert said["accepted"] == 1
    assert [entry["errors"] for entry in said["rejected"]] == [
        ["timestamp must be a valid ISO8601 datetime"]
    ] * 2


def test_T7_conversion_may_be_dated_before_the_visit_of_its_event(shop):
    send(shop, page(timestamp="2026-11-18T10:00:00Z"))
    send(shop, page(id="evt_1", timestamp="2026-11-20T10:30:00Z"))
    sale = {
        "conversion_type": "p",
        "event_id": "evt_1",
        "timestamp": "2026-11-19T10:00:00Z",
    }

    said = shop.post("/conversions", sale).json()

    assert said["conversion"]["converted_at"] == "2026-11-19T10:00:00.000Z"
    assert said["attribution"]["touchpoints"] == 1
