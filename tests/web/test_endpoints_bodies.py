"""What scripts send: which bodies and which pages are taken, and what is said."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.testing import capture
from mbuzz.web.endpoints import MAX_BODY
from tests.web.scripts import (
    ORIGIN,
    PAGE,
    SAID,
    SCRIPT,
    OverASGI,
    OverWSGI,
    configure,
    cookie,
)

# -- bodies --


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 30])
def test_too_large_a_body_is_not_read(ask, events, length):
    answer = ask("/_mbuzz/track", {"event": "x"}, length=length)

    assert (answer.status, answer.json["code"]) == (413, "too_large")
    if isinstance(ask, OverWSGI):
        assert ask.input.tell() == 0
    else:
        assert ask.read == 0


def test_body_of_unknown_length_is_read_no_further_than_allowed(events):
    configure()
    ask = OverASGI()

    answer = ask("/_mbuzz/track", b" " * 20 * MAX_BODY, length=None)

    assert (answer.status, answer.json["code"]) == (413, "too_large")
    assert ask.read <= MAX_BODY // 5_000 + 1


def test_largest_body_is_read(ask, events):
    said = json.dumps({"event": "Clicked"}).encode().ljust(MAX_BODY)

    assert ask("/_mbuzz/track", said).status == 202


def test_what_comes_after_the_body_is_left_to_the_server(ask_one, events):
    body = b'{"event": "Clicked"}'

    answer = ask_one("/_mbuzz/track", body + b"GET /", length=str(len(body)))

    assert answer.status == 202
    assert ask_one.input.read() == b"GET /"


@pytest.mark.parametrize("length", [None, "-1", "+5", "5.0", "\u0665", "x", " 5"])
def test_length_must_be_known_where_the_server_needs_it(ask_one, events, length):
    answer = ask_one("/_mbuzz/track", {"event": "x"}, length=length, validated=False)

    assert (answer.status, answer.json["code"]) == (411, "length_required")
    assert events == []


def test_length_that_is_no_text_is_answered(ask_one, events, caplog):
    answer = ask_one("/_mbuzz/track", {"event": "x"}, length=5, validated=False)

    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert events == []


BODIES = {
    "empty": b"",
    "text": b"event=x",
    "list": b"[]",
    "word": b'"track"',
    "null": b"null",
    "number": b"1",
    "half": b'{"event":',
    "two": b"{}{}",
    "nan": b'{"event":"x","properties":{"n":NaN}}',
    "infinity": b'{"event":"x","properties":{"n":-Infinity}}',
    "deep": b'{"event":' + b"[" * 30_000,
    "deep objects": b'{"event":' * 7_000,
    "twins": b'{"event":"x","event":"y"}',
    "twins inside": b'{"event":"x","properties":{"a":1,"a":2}}',
    "latin-1": b'{"event":"caf\xe9"}',
    "encoded surrogate": b'{"event":"\xed\xa0\x80"}',
    "utf-16": '{"event":"x"}'.encode("utf-16"),
    "utf-32": '{"event":"x"}'.encode("utf-32-le"),
    "bom": '{"event":"x"}'.encode("utf-8-sig"),
    "huge integer": b'{"event":"x","properties":{"n":' + b"9" * 5_000 + b"}}",
    "nul": b'{"event":"a\0b"}',
    "comment": b'{"event":"x"} // y',
    "single quotes": b"{'event':'x'}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_body_must_be_an_object_of_json(ask_one, events, caplog, body):
    answer = ask_one("/_mbuzz/track", body, headers=cookie())

    assert (answer.status, answer.json) == (
        400,
        {"error": "The body must be a JSON object.", "code": "not_json"},
    )
    assert (events, caplog.records) == ([], [])


ODD = {
    "nul": r'{"event":"a\u0000b","properties":{"\u0000":"\u0000"}}',
    "lone surrogate": r'{"event":"\ud800","properties":{"\udfff":["\ud800"]}}',
    "integer": '{"event":"x","properties":{"n":' + "9" * 4_000 + "}}",
    "float": '{"event":"x","properties":{"n":1e400,"m":-1e400,"k":1e-400}}',
    "deep": '{"event":"x","properties":' + '{"a":' * 90 + "1" + "}" * 90 + "}",
    "wide": json.dumps({"event": "x", "properties": {str(n): n for n in range(2_000)}}),
    "list of properties": '{"event":"x","properties":[1,2]}',
    "long name": json.dumps({"event": "x" * 60_000}),
    "script": '{"event":"</script><script>alert(1)</script>"}',
    "line breaks": r'{"event":"a\r\nSet-Cookie: b=c"}',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_odd_event_is_recorded_in_bounds_or_refused(ask_one, events, caplog, body):
    answer = ask_one("/_mbuzz/track", body.encode(), headers=cookie())

    assert answer.status in (202, 400)
    assert len(events) == (answer.status == 202)
    assert all(len(json.dumps(event)) <= 32_768 for event in events)
    assert "\0" not in "".join(map(str, events))
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    ("call", "said", "code"),
    [
        ("track", {}, "missing_event"),
        ("track", {"event": ""}, "missing_event"),
        ("track", {"event": True}, "missing_event"),
        ("track", {"event": ["x"]}, "missing_event"),
        ("track", {"event": {"x": 1}}, "missing_event"),
        ("track", {"event": None}, "missing_event"),
        ("track", {"event": "x", "url": 5}, "bad_url"),
        ("track", {"event": "x", "referrer": []}, "bad_referrer"),
        ("identify", {}, "invalid_user_id"),
        ("identify", {"user_id": ""}, "invalid_user_id"),
        ("identify", {"user_id": " "}, "invalid_user_id"),
        ("identify", {"user_id": True}, "invalid_user_id"),
        ("identify", {"user_id": 1.5}, "invalid_user_id"),
        ("identify", {"user_id": "x" * 256}, "invalid_user_id"),
        ("identify", {"user_id": 10**300}, "invalid_user_id"),
        ("identify", {"user_id": {"id": 1}}, "invalid_user_id"),
        ("group", {"user_id": "u1"}, "invalid_group_id"),
        ("group", {"group_id": []}, "invalid_group_id"),
    ],
)
def test_answer_says_what_is_wrong_in_a_sentence(ask_one, events, call, said, code):
    answer = ask_one(f"/_mbuzz/{call}", said)

    assert (answer.status, answer.json["code"]) == (400, code)
    assert answer.json["error"].endswith(".")
    assert " " in answer.json["error"]
    assert (events, answer.cookies) == ([], {})


# -- pages --

URLS = (
    "https://other.example/",
    "http://shop.example/",
    "https://shop.example:8443/",
    "https://shop.example.evil.example/",
    "https://shop.example@evil.example/",
    "https://user@shop.example/",
    "https://shop.example\\@evil.example/",
    "https://evil.example\\@shop.example/",
    "//shop.example/",
    "/pricing",
    "pricing",
    "javascript:alert(1)",
    "ftp://shop.example/",
    "https://",
    "https:///pricing",
    "https://shop.example:99999/",
    "https://shop.example:x/",
    "https://[::1/",
    "https://[v1.x]/",
    "https://\u24e2hop.example/",
    "https://shop.example\uff0fevil/",
)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("call", SAID)
def test_page_must_be_the_sites(ask_one, events, caplog, call, url):
    answer = ask_one(f"/_mbuzz/{call}", {**SAID[call], "url": url})

    assert (answer.status, answer.json["code"]) == (400, "foreign_url")
    assert (answer.cookies, events, caplog.records) == ({}, [], [])


@pytest.mark.parametrize(
    ("url", "host", "scheme", "origin"),
    [
        ("https://shop.example:443/x", "shop.example", "https", ORIGIN),
        ("https://SHOP.example/x", "shop.example", "https", ORIGIN),
        ("https://shop.example/x", "10.0.0.1:8000", "http", ORIGIN),
        ("https://shop.example/x", "shop.example", "http", ORIGIN),
        ("http://localhost:8000/x", "localhost:8000", "http", "http://localhost:8000"),
        ("http://[::1]:8000/x", "[::1]:8000", "http", "http://[::1]:8000"),
        ("https://shop.example/x", "shop.example", "https", "https://[::1"),
        ("https://shop.example/x", "shop.example", "https", "null"),
    ],
)
def test_page_is_the_sites_as_asked_for_or_as_the_browser_calls_it(
    ask_one, events, url, host, scheme, origin
):
    answer = ask_one(
        "/_mbuzz/session",
        {"url": url},
        headers={**SCRIPT, "Origin": origin},
        host=host,
        scheme=scheme,
    )

    assert answer.status == 204
    assert events.assert_tracked("page_view")["properties"]["url"] == url


def test_odd_referer_costs_the_page_only(ask_one, events):
    headers = {**SCRIPT, "Referer": "https://other.example/secret"}

    answer = ask_one("/_mbuzz/track", {"event": "Clicked"}, headers=headers)

    assert answer.status == 202
    assert "url" not in events.assert_tracked("Clicked")["properties"]


@pytest.mark.parametrize("referrer", ["android-app://x", "javascript:1", "x"])
def test_referrer_that_is_no_page_is_left_out(ask_one, events, referrer):
    ask_one("/_mbuzz/session", {"url": PAGE, "referrer": referrer})

    assert "referrer" not in events.assert_tracked("page_view")["properties"]


def test_longest_url_is_cut_and_controls_are_left_out(ask_one, events):
    ask_one("/_mbuzz/session", {"url": f"{ORIGIN}/\r\n\ud800a?x={'y' * 9_000}"})

    url = events.assert_tracked("page_view")["properties"]["url"]
    assert url.startswith(f"{ORIGIN}/a?x=yyy")
    assert len(url) <= 4_096


# -- whatever is sent --

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMED = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("event", "url", "referrer", "properties", "user_id", "traits"), ANYTHING
    ),
)


@given(
    call=st.sampled_from(list(SAID)),
    body=st.binary() | NAMED.map(lambda said: json.dumps(said).encode()),
    header=st.sampled_from(["Origin", "Referer", "Sec-Fetch-Site", "Cookie"]),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
)
def test_any_request_is_answered_without_an_error_of_ours(call, body, header, value):
    with capture() as events:
        configure()

        answer = OverWSGI()(f"/_mbuzz/{call}", body, headers={**SCRIPT, header: value})

    assert answer.status in (202, 204, 400, 403)
    assert len(events) <= 1
    assert len(events) == (
        answer.status == 204 or (answer.status == 202 and answer.json["success"])
    )
