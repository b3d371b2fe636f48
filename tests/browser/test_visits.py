"""One page view where a person saw one page; one visitor, and one session."""

import re

import pytest

from tests.browser.people import SESSION, VISITOR
from tests.browser.stacks import DIRECT, PROXIED
from tests.processes import wait_for

pytestmark = pytest.mark.browser

everywhere = pytest.mark.parametrize("site", DIRECT + PROXIED, indirect=True)
unproxied = pytest.mark.parametrize("site", DIRECT, indirect=True)


@everywhere
def test_first_visit_is_one_view_and_sets_both_cookies(site, somebody):
    somebody.open("/?q=shoes", referrer="https://example.com/list")

    (view,) = site.views()
    visitor, session = somebody.cookies[VISITOR], somebody.cookies[SESSION]
    assert re.fullmatch("[0-9a-f]{64}", visitor["value"])
    assert (view.path, view.referrer) == ("/?q=shoes", "https://example.com/list")
    assert (view.visitor, view.proposed) == somebody.ids
    for cookie, age in ((visitor, 31_536_000), (session, 1_800)):
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        assert (cookie["path"], cookie["secure"]) == ("/", site.is_secure)
        assert cookie["domain"] == "127.0.0.1"
        assert age - 120 < cookie["expires"] - now(somebody) <= age


@everywhere
def test_second_page_belongs_to_the_same_visit(site, somebody):
    tab = somebody.open("/")
    landed, before = somebody.ids, somebody.cookies
    tab.click("#next")
    tab.wait_for_url("**/page2")

    after = somebody.cookies
    first, second = site.views()
    assert [first.path, second.path] == ["/", "/page2"]
    assert second.referrer == f"{site.url}/"
    assert (first.visitor, first.session) == (second.visitor, second.session)
    assert somebody.ids == landed == (second.visitor, second.proposed)
    assert after[SESSION]["expires"] > before[SESSION]["expires"]
    assert after[VISITOR] == before[VISITOR]
    assert site.backend.rows(
        f"SELECT page_view_count FROM sessions WHERE id = {first.session}"
    ) == [(2,)]


@unproxied
def test_tabs_opened_at_once_belong_to_the_same_visit(site, somebody):
    tab = somebody.open("/")
    landed = somebody.ids

    tab.evaluate("['/page2?a', '/page2?b', '/page2?c'].forEach(p => open(p))")
    wait_for(lambda: len(site.asked("/page2")) == 3, "the tabs")
    for other in somebody.context.pages:
        other.wait_for_load_state()

    views = site.views()
    assert sorted(view.path for view in views) == [
        "/",
        "/page2?a",
        "/page2?b",
        "/page2?c",
    ]
    assert len({(view.visitor, view.session) for view in views}) == 1
    assert somebody.ids == landed


@unproxied
def test_two_people_share_no_id(site, meet):
    people = [meet(), meet()]
    tabs = [person.open("/") for person in people]
    for tab in tabs:
        tab.goto(f"{site.url}/page2")

    views = site.views()
    assert len(views) == 4
    assert len({view.session for view in views}) == 2
    assert {(view.visitor, view.proposed) for view in views} == {
        person.ids for person in people
    }
    assert not set(people[0].ids) & set(people[1].ids)


@unproxied
def test_log_in_says_who_the_visitor_is(site, somebody):
    tab = somebody.open("/login")
    user = f"user-{somebody.ids[0][:8]}"
    tab.fill("input", user)
    tab.click("button")
    tab.wait_for_url("**/")

    views = site.views()
    assert [view.path for view in views] == ["/login", "/"]
    assert site.backend.rows(
        "SELECT v.visitor_id FROM links l JOIN visitors v ON v.id = l.visitor"
        f" JOIN identities i ON i.id = l.identity WHERE i.user_id = '{user}'"
    ) == [(somebody.ids[0],)]


@unproxied
def test_campaign_survives_a_redirect(site, somebody):
    tab = somebody.open("/go?utm_source=news&utm_medium=email&utm_campaign=autumn")

    assert tab.url == f"{site.url}/page2"
    views = site.views()
    assert [view.path.partition("?")[0] for view in views] == ["/go", "/page2"]
    assert {view.visitor for view in views} == {somebody.ids[0]}
    (session,) = {view.session for view in views}
    assert site.backend.rows(
        f"SELECT channel, source, medium, campaign FROM sessions WHERE id = {session}"
    ) == [("email", "news", "email", "autumn")]


@unproxied
def test_what_a_page_loads_is_no_view_and_sets_no_cookies(site, somebody):
    tab = somebody.open("/fetching")
    tab.wait_for_selector("text=42")
    assert len(site.views()) == 1
    somebody.context.clear_cookies()

    for path in ("/api.json", "/asset.css"):
        assert tab.evaluate("path => fetch(path).then(r => r.status)", path) == 200

    assert len(site.views()) == 1
    assert somebody.cookies == {}


@pytest.mark.parametrize("site", PROXIED, indirect=True)
def test_page_is_known_by_the_address_in_the_browser(site, somebody):
    somebody.open("/renamed")

    (view,) = site.views()  # their URLs begin with the proxy's address
    assert view.path == "/renamed"
    assert somebody.cookies[VISITOR]["secure"]


def now(somebody):
    """Return the browser's time, in seconds."""
    return somebody.context.pages[0].evaluate("Date.now()") / 1_000
