"""What scripts ask for and is not recorded: no consent, bots, pages left out."""

import pytest

from tests.web.scripts import ORIGIN, PAGE, SAID, SCRIPT, configure, cookie
from tests.web.visits import BOTH, RETURNING, VISITOR


def test_who_refuses_is_not_recorded_and_loses_the_cookies(ask, events):
    configure(consent=lambda request: False)

    answers = [ask(f"/_mbuzz/{c}", SAID[c], headers=cookie()) for c in SAID]

    assert [answer.status for answer in answers] == [204, 202, 202, 202]
    assert all(
        answer.json == {"success": False, "code": "no_consent"}
        for answer in answers[1:]
    )
    assert all(answer.ages == dict.fromkeys(BOTH, 0) for answer in answers)
    assert events == []


def test_who_has_not_been_asked_is_not_recorded_and_keeps_the_cookies(ask, events):
    configure(consent=lambda request: None)

    answers = [ask(f"/_mbuzz/{c}", SAID[c], headers=cookie()) for c in SAID]

    assert all(answer.cookies == {} for answer in answers)
    assert events == []


def test_consent_is_asked_of_the_request_with_its_cookies(ask, events):
    configure(consent=lambda request: request.cookies.get("agreed") == "yes")

    ask("/_mbuzz/track", SAID["track"])
    ask("/_mbuzz/track", SAID["track"], headers=cookie(f"agreed=yes; {RETURNING}"))

    assert [event["visitor_id"] for event in events] == [VISITOR]


def test_privacy_control_takes_click_ids_out(ask_one, events):
    clicked = f"{ORIGIN}/?gclid=abc&x=1"
    headers = cookie(**{"Sec-GPC": "1"})
    said = {"url": clicked, "referrer": "https://ads.example/?fbclid=z"}

    ask_one("/_mbuzz/session", said, headers=headers)
    ask_one("/_mbuzz/track", {"event": "page_view", **said}, headers=headers)
    ask_one(
        "/_mbuzz/track",
        {"event": "Clicked", "properties": {**said, "n": 1}},
        headers=headers,
    )

    assert len(events) == 3
    for event in events:
        assert event["properties"]["url"] == f"{ORIGIN}/?gclid=[redacted]&x=1"
        assert "z" not in event["properties"]["referrer"].rpartition("=")[2]


def test_privacy_control_is_a_refusal_where_the_site_says_so(ask_one, events):
    configure(respect_gpc=True)

    answer = ask_one(
        "/_mbuzz/session", {"url": PAGE}, headers=cookie(**{"Sec-GPC": "1"})
    )

    assert answer.ages == dict.fromkeys(BOTH, 0)
    assert events == []


BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.mark.parametrize("call", SAID)
def test_bots_that_run_scripts_are_not_counted(ask_one, events, call):
    answer = ask_one(
        f"/_mbuzz/{call}", SAID[call], headers={**SCRIPT, "User-Agent": BOT}
    )

    assert answer.status == (204 if call == "session" else 202)
    assert (answer.cookies, events) == ({}, [])


def test_bots_are_counted_where_the_site_wants_them(ask_one, events):
    configure(track_bots=True)
    headers = {**SCRIPT, "User-Agent": BOT}

    ask_one("/_mbuzz/session", {"url": PAGE}, headers=headers)
    ask_one("/_mbuzz/track", {"event": "page_view"}, headers=headers)

    assert [view["properties"]["bot"] for view in events] == [True, True]


COUNTING = (
    {"skip_paths": ["/admin"]},
    {"should_track": lambda request: not request.path.startswith("/admin")},
    {"should_track": lambda request: "/admin/" not in request.url},
    {"should_track": lambda request: request.query != "x=1"},
    {"should_track": lambda request: request.cookies.get("staff") != "1"},
)


@pytest.mark.parametrize(
    "options", COUNTING, ids=["paths", "path", "url", "query", "cookie"]
)
@pytest.mark.parametrize("call", ["session", "track"])
def test_pages_that_the_site_leaves_out_are_left_out_here_too(
    ask_one, events, options, call
):
    configure(**options)
    said = {"event": "page_view", "url": f"{ORIGIN}/admin/x?x=1"}

    left_out = ask_one(f"/_mbuzz/{call}", said, headers=cookie("staff=1"))
    ask_one(f"/_mbuzz/{call}", {**said, "url": PAGE}, headers=cookie())

    assert left_out.cookies == {}
    assert [view["properties"]["url"] for view in events] == [PAGE]


def test_should_track_is_about_page_views_only(ask_one, events):
    configure(skip_paths=["/admin"])

    ask_one("/_mbuzz/track", {"event": "Clicked", "url": f"{ORIGIN}/admin/x"})

    assert events.assert_tracked("Clicked")


def test_should_track_sees_the_page_and_not_the_endpoint(ask_one, events):
    seen = []

    def should_track(request):
        if request.method == "GET":
            seen.append((request.path, request.query, request.host, request.referrer))
            seen.append((request.header("referer"), request.secure, request.client_ip))
        return True

    configure(should_track=should_track)
    ask_one("/_mbuzz/session", {"url": f"{ORIGIN}/caf%C3%A9?a=%20", "referrer": PAGE})

    assert seen == [
        ("/caf\xe9", "a=%20", "shop.example", PAGE),
        (PAGE, True, "203.0.113.7"),
    ]


def test_bug_in_should_track_is_no_veto(ask_one, events, caplog):
    configure(should_track=lambda request: 1 / 0)

    answer = ask_one("/_mbuzz/session", {"url": PAGE})

    assert (answer.status, list(answer.cookies)) == (204, BOTH)
    assert len(events.page_views()) == 1
    assert "should_track" in caplog.text


@pytest.mark.parametrize("call", ["session", "track"])
def test_page_that_is_prerendered_is_not_counted(ask_one, events, call):
    headers = {**SCRIPT, "Sec-Purpose": "prefetch;prerender"}

    ask_one(f"/_mbuzz/{call}", {"event": "page_view", "url": PAGE}, headers=headers)

    assert events == []
