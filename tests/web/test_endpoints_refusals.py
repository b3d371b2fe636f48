"""When scripts are refused: who asks, how often, and what cannot be recorded."""

import json

import pytest

from mbuzz import api
from mbuzz.client import Client
from mbuzz.web import endpoints
from tests.web.backends import Hanging, a_backend, says
from tests.web.scripts import CALLS, ORIGIN, SAID, SCRIPT, OverWSGI, configure, cookie
from tests.web.visits import AGENT, KEY

# -- who may ask --

FOREIGN = {
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "subdomain": {"Sec-Fetch-Site": "same-site"},
    "typed": {"Sec-Fetch-Site": "none"},
    "origin": {"Sec-Fetch-Site": None, "Origin": "https://other.example"},
    "null origin": {"Sec-Fetch-Site": None, "Origin": "null"},
    "port": {"Sec-Fetch-Site": None, "Origin": f"{ORIGIN}:8443"},
    "scheme": {"Sec-Fetch-Site": None, "Origin": "http://shop.example"},
    "nothing": {"Sec-Fetch-Site": None, "Origin": None, "Referer": None},
}


@pytest.mark.parametrize("call", SAID)
@pytest.mark.parametrize("changed", FOREIGN.values(), ids=FOREIGN)
def test_other_sites_may_not_ask(ask_one, events, call, changed):
    headers = {k: v for k, v in {**cookie(), **changed}.items() if v is not None}

    answer = ask_one(f"/_mbuzz/{call}", SAID[call], headers=headers)

    assert (answer.status, answer.json["code"]) == (403, "cross_origin")
    assert (answer.cookies, events) == ({}, [])
    assert ask_one.input.closed or ask_one.input.tell() == 0


def test_old_browser_is_known_by_its_origin(ask, events):
    headers = {k: v for k, v in SCRIPT.items() if not k.startswith("Sec-")}

    assert ask("/_mbuzz/track", {"event": "Clicked"}, headers=headers).status == 202
    assert len(events) == 1


METHODS = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "post", "Post")


@pytest.mark.parametrize("method", METHODS)
def test_only_post_is_answered(ask, events, method):
    known = method.isupper()  # to the validator

    answer = ask("/_mbuzz/track", method=method, headers=cookie(), validated=known)

    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert (answer.cookies, events) == ({}, [])
    if method == "HEAD":
        assert answer.body == b""
    else:
        assert answer.json == {"error": "Use POST here.", "code": "method_not_allowed"}


def test_address_of_an_endpoint_that_somebody_opens_is_no_page(ask, events):
    headers = {
        "User-Agent": AGENT,
        "Accept": "text/html",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }

    assert ask("/_mbuzz/session", method="GET", headers=headers).status == 405
    assert events == []


# -- how often --


def test_browser_that_asks_too_often_is_told_when_to_come_back(ask_one, events):
    answers = [ask_one("/_mbuzz/track", SAID["track"]) for _ in range(130)]

    refused = [answer for answer in answers if answer.status != 202]
    another = ask_one("/_mbuzz/track", SAID["track"], peer="203.0.113.8")
    assert {answer.status for answer in refused} == {429}
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json["code"] == "rate_limited"
    assert len(events) - 1 == len(answers) - len(refused) >= 100
    assert another.status == 202


def test_refusals_that_cost_nothing_use_up_nothing(ask_one, events):
    foreign = {**SCRIPT, "Sec-Fetch-Site": "cross-site"}
    for _ in range(130):
        ask_one("/_mbuzz/track", SAID["track"], headers=foreign)

    assert ask_one("/_mbuzz/track", SAID["track"]).status == 202


def test_one_network_of_ipv6_is_one_browser(ask_one, events):
    answers = [
        ask_one("/_mbuzz/track", SAID["track"], peer=f"2001:db8::{n:x}")
        for n in range(1, 131)
    ]

    assert 429 in {answer.status for answer in answers}


def test_all_behind_an_unknown_proxy_are_not_one_browser(ask_one, events):
    headers = {**SCRIPT, "X-Forwarded-For": "198.51.100.1"}
    answers = [
        ask_one("/_mbuzz/track", SAID["track"], headers=headers) for _ in range(130)
    ]

    assert {answer.status for answer in answers} == {202}


@pytest.fixture
def at_once(clock, monkeypatch):
    """Let no time pass for the limits."""
    monkeypatch.setattr(endpoints, "SYSTEM_CLOCK", clock)


@pytest.mark.usefixtures("at_once")
def test_browser_that_the_server_itself_found_in_the_chain_is_one(ask_one, events):
    headers = {**SCRIPT, "X-Forwarded-For": "203.0.113.7"}  # as ProxyFix leaves it

    statuses = [
        ask_one("/_mbuzz/track", SAID["track"], headers=headers).status
        for _ in range(101)
    ]

    assert statuses == [202] * 100 + [429]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("chain", [{}, {"X-Forwarded-For": "198.51.100.1"}], ids=str)
def test_many_browsers_have_one_limit_together(ask_one, events, chain):
    headers = {**SCRIPT, **chain}

    statuses = [
        ask_one(
            "/_mbuzz/track",
            headers=headers,
            peer=f"203.0.{n // 250}.{n % 250}",
            validated=False,
        ).status
        for n in range(2_001)
    ]

    assert statuses == [400] * 2_000 + [429]


# -- where it cannot be recorded --


def test_queue_that_is_full_is_said_to_be():
    backend, ask = Hanging(), OverWSGI()
    with a_backend(backend, collect=CALLS, queue_size=1):
        try:
            answers = [
                ask(f"/_mbuzz/{call}", SAID[call]) for call in CALLS for _ in range(9)
            ]
        finally:
            backend.answer.set()

    refused = [answer.json for answer in answers if answer.status == 503]
    assert {answer.status for answer in answers} == {202, 503}
    assert {said["error"] for said in refused} == {"Not taken; try again later."}
    assert {said["code"] for said in refused} == {"queue_full", "not_taken"}


def test_network_that_is_off_is_no_fault_of_the_page():
    api.configure(api_key=KEY, collect=CALLS, network=False)
    ask = OverWSGI()

    answers = [ask(f"/_mbuzz/{call}", SAID[call]) for call in CALLS]

    assert [answer.status for answer in answers] == [202, 202, 202]
    assert {answer.json["code"] for answer in answers} == {"network_off"}


def test_backend_that_refuses_is_no_fault_of_the_page():
    refuses = says(status="401 Unauthorized")
    with a_backend(refuses, collect=CALLS, delivery="sync"):
        answer = OverWSGI()("/_mbuzz/track", SAID["track"])

    assert (answer.status, answer.json["error"]) == (503, "Not taken; try again later.")


def test_event_that_is_too_large_is_refused(ask_one, events):
    properties = {f"{n}-{'k' * 200}": "v" * 300 for n in range(100)}

    answer = ask_one("/_mbuzz/track", {"event": "x", "properties": properties})

    assert answer.status in (202, 400)
    assert all(len(json.dumps(event)) <= 32_768 for event in events)


def test_bug_of_ours_is_an_answer(ask_one, events, monkeypatch, caplog):
    monkeypatch.setattr(Client, "track", None)

    answer = ask_one("/_mbuzz/track", SAID["track"])

    assert (answer.status, answer.json) == (
        500,
        {"error": "Something went wrong.", "code": "internal"},
    )
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_event_that_before_send_drops_is_left_out(ask_one, events):
    configure(before_send=lambda event: None)

    answers = [ask_one(f"/_mbuzz/{call}", SAID[call]) for call in CALLS]

    assert [answer.status for answer in answers] == [202, 202, 202]
    assert {answer.json["code"] for answer in answers} == {"before_send"}
    assert events == []


@pytest.mark.parametrize("event", [None, "", "  ", 7, ["Clicked"]])
def test_strangers_do_not_spoil_the_health_of_delivery(ask_one, events, event):
    configure(collect=["track"])

    answer = ask_one("/_mbuzz/track", {"event": event})

    assert (answer.status, json.loads(answer.body)["code"]) == (400, "missing_event")
    assert api.health().status == "ok"
    assert api.stats().refused == {}
