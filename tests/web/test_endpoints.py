"""What the scripts of a page may ask: cookies for it, and to record something."""

import pytest

from mbuzz import api
from mbuzz.context import current
from tests.web.scripts import ORIGIN, PAGE, SAID, configure, cookie
from tests.web.visits import AGENT, KEY, SESSION, VISITOR

# -- cookies for a page out of a cache --


def test_cached_page_is_counted_and_its_new_visitor_gets_cookies(ask, events):
    said = {"url": f"{PAGE}#top", "referrer": "https://news.example/a"}

    answer = ask("/_mbuzz/session", said)

    view = events.assert_tracked("page_view")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.cookies == {
        "_mbuzz_vid": view["visitor_id"],
        "_mbuzz_sid": view["session_id"],
    }
    assert view["properties"] == {
        "url": PAGE,
        "referrer": "https://news.example/a",
        "user_agent": AGENT,
    }
    assert current() is None


def test_cached_page_slides_the_session_of_a_known_visitor(ask, events):
    answer = ask("/_mbuzz/session", {"url": PAGE}, headers=cookie())

    view = events.assert_tracked("page_view", visitor_id=VISITOR)
    assert view["session_id"] == SESSION
    assert answer.cookies == {"_mbuzz_sid": SESSION}
    assert all("; HttpOnly; SameSite=Lax; Secure" in said for said in answer.said)


def test_page_that_came_from_nowhere_has_no_referrer(ask, events):
    ask("/_mbuzz/session", {"url": PAGE, "referrer": ""})

    assert "referrer" not in events.assert_tracked("page_view")["properties"]


@pytest.mark.parametrize("url", ["missing", None, "", "#top"])
def test_page_must_be_named(ask_one, events, url):
    answer = ask_one("/_mbuzz/session", {} if url == "missing" else {"url": url})

    assert (answer.status, answer.json["code"]) == (400, "url_missing")
    assert (answer.cookies, events) == ({}, [])


# -- what scripts record --


def test_event_of_a_script_is_the_visitors(ask, events):
    said = {"event": "Clicked", "properties": {"where": "top", "n": 3}}

    answer = ask("/_mbuzz/track", said, headers=cookie())

    event = events.assert_tracked("Clicked", visitor_id=VISITOR)
    assert (answer.status, answer.json) == (
        202,
        {"success": True, "event_id": event["id"]},
    )
    assert event["session_id"] == SESSION
    assert event["properties"] == {
        "where": "top",
        "n": 3,
        "url": f"{ORIGIN}/pricing",
        "user_agent": AGENT,
    }
    assert answer.cookies == {}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["cache-control"] == "no-store"


def test_new_visitor_who_does_something_gets_a_cookie(ask, events):
    answer = ask("/_mbuzz/track", {"event": "Clicked"})

    event = events.assert_tracked("Clicked")
    assert answer.cookies == {"_mbuzz_vid": event["visitor_id"]}
    assert "session_id" not in event


def test_change_of_route_begins_a_session(ask, events):
    said = {"event": "page_view", "url": PAGE, "referrer": f"{ORIGIN}/"}

    answer = ask("/_mbuzz/track", said, headers=cookie(f"_mbuzz_vid={VISITOR}"))

    view = events.assert_tracked("page_view", visitor_id=VISITOR)
    assert answer.status == 202
    assert answer.cookies == {
        "_mbuzz_vid": VISITOR,
        "_mbuzz_sid": view["session_id"],
    }
    assert answer.ages == {"_mbuzz_vid": 31_536_000, "_mbuzz_sid": 1_800}
    assert view["properties"]["url"] == PAGE
    assert view["properties"]["referrer"] == f"{ORIGIN}/"


def test_change_of_route_slides_the_session(ask, events):
    answer = ask("/_mbuzz/track", {"event": "page_view"}, headers=cookie())

    view = events.assert_tracked("page_view", visitor_id=VISITOR)
    assert view["session_id"] == SESSION
    assert answer.cookies == {"_mbuzz_sid": SESSION}
    assert view["properties"]["url"] == f"{ORIGIN}/pricing"


def test_page_view_is_of_the_request_whatever_its_properties_say(ask_one, events):
    properties = {
        "url": PAGE,
        "referrer": "https://news.example/",
        "user_agent": "forged",
        "ip": "198.51.100.1",
        "theme": "dark",
    }

    ask_one("/_mbuzz/track", {"event": " page_view ", "properties": properties})

    assert events.assert_tracked("page_view")["properties"] == {
        "url": PAGE,
        "referrer": "https://news.example/",
        "user_agent": AGENT,
        "theme": "dark",
    }


def test_page_view_of_another_site_is_refused_in_properties_too(ask_one, events):
    properties = {"url": "https://other.example/"}

    answer = ask_one("/_mbuzz/track", {"event": "page_view", "properties": properties})

    assert (answer.status, answer.json["code"]) == (400, "foreign_url")
    assert events == []


def test_address_is_part_of_a_page_view_where_the_site_wants_it(ask_one, events):
    configure(send_ip=True, pii="off")  # it is shortened all the same

    ask_one("/_mbuzz/track", {"event": "page_view"})
    ask_one("/_mbuzz/track", {"event": "Clicked"})

    view, click = events
    assert view["properties"]["ip"] == "203.0.113.0"
    assert "ip" not in click["properties"]


def test_user_is_linked_to_the_visitor(ask, events):
    said = {"user_id": "u1", "traits": {"plan": "pro"}}

    answer = ask("/_mbuzz/identify", said, headers=cookie())

    assert (answer.status, answer.json) == (202, {"success": True})
    events.assert_identified("u1", visitor_id=VISITOR, traits={"plan": "pro"})


def test_new_visitor_who_logs_in_gets_a_cookie(ask, events):
    answer = ask("/_mbuzz/identify", {"user_id": 42})

    (said,) = events.identified()
    assert said["user_id"] == "42"
    assert answer.cookies == {"_mbuzz_vid": said["visitor_id"]}


def test_group_is_linked_to_the_visitor(ask, events):
    answer = ask(
        "/_mbuzz/group", {"group_id": "g1", "traits": {"seats": 5}}, headers=cookie()
    )

    (said,) = events
    assert (answer.status, said["type"]) == (202, "group")
    assert (said["group_id"], said["visitor_id"]) == ("g1", VISITOR)
    assert said["traits"] == {"seats": 5}


def test_user_of_one_request_is_nobodys_in_the_next(ask_one, events):
    ask_one("/_mbuzz/identify", {"user_id": "u1"}, headers=cookie())
    ask_one("/_mbuzz/track", {"event": "Clicked"}, headers=cookie())

    assert "user_id" not in events.assert_tracked("Clicked")


# -- which paths are ours --


@pytest.mark.parametrize("call", SAID)
def test_endpoints_do_not_exist_unless_they_are_wanted(ask, events, call):
    api.configure(api_key=KEY)

    answer = ask(f"/_mbuzz/{call}", SAID[call])

    assert (answer.status, answer.body, events) == (200, b"the site's own", [])


OTHERS = (
    "/_mbuzz",
    "/_mbuzz/",
    "/_mbuzz/track/",
    "/_mbuzz/track/x",
    "/_mbuzz/alias",
    "/_mbuzz/Track",
    "/_MBUZZ/track",
    "//_mbuzz/track",
    "/x/_mbuzz/track",
    "/_mbuzz/./track",
)


@pytest.mark.parametrize("path", OTHERS)
def test_other_paths_are_the_sites(ask, events, path):
    assert ask(path, {"event": "Clicked"}).body == b"the site's own"
    assert events == []


def test_each_call_is_wanted_by_itself(ask_one, events):
    configure(session_endpoint=False, collect=("identify",))

    answers = {call: ask_one(f"/_mbuzz/{call}", SAID[call]).status for call in SAID}

    assert answers == {"session": 200, "track": 200, "identify": 202, "group": 200}


@pytest.mark.parametrize(
    ("prefix", "mount", "path", "status"),
    [
        ("/t/x/", "", "/t/x/track", 202),
        ("/shop/_mbuzz", "/shop", "/_mbuzz/track", 202),
        ("/_mbuzz", "/shop", "/_mbuzz/track", 200),
        ("/_mbuzz", "/_mbuzz", "/track", 202),
    ],
    ids=["moved", "mounted", "mounted elsewhere", "prefix is the mount"],
)
def test_prefix_is_the_path_that_the_browser_asks_for(
    ask, events, prefix, mount, path, status
):
    configure(endpoint_prefix=prefix)

    assert ask(path, {"event": "Clicked"}, mount=mount).status == status
