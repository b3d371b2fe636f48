"""Leaving: log-out, a refusal, and a banner that nobody has answered yet."""

import pytest

from tests.browser.stacks import DIRECT

pytestmark = pytest.mark.browser

unproxied = pytest.mark.parametrize("site", DIRECT, indirect=True)


def choose(tab, site, button):
    tab.goto(f"{site.url}/consent")
    tab.click(f"button:text-is('{button}')")
    tab.wait_for_url("**/")


@unproxied
def test_who_comes_after_a_log_out_is_somebody_new(site, somebody):
    tab = somebody.open("/logout")
    before = somebody.ids
    tab.click("button")
    tab.wait_for_url("**/")
    after = somebody.ids
    tab.click("#next")
    tab.wait_for_url("**/page2")

    first, second, third = site.views()
    assert (first.visitor, first.proposed) == before
    assert (second.visitor, second.proposed) == after
    assert (third.visitor, third.session) == (second.visitor, second.session)
    assert first.session != second.session
    assert not set(before) & set(after)
    assert somebody.ids == after


@unproxied
def test_refusal_ends_the_cookies_and_the_recording(site, somebody):
    tab = somebody.open("/")
    assert len(somebody.cookies) == 2
    choose(tab, site, "no")
    assert somebody.cookies == {}
    tab.click("#next")
    tab.wait_for_url("**/page2")

    assert somebody.cookies == {}
    assert [view.path for view in site.views()] == ["/", "/consent"]


@unproxied
def test_who_is_forgotten_comes_back_as_somebody_new(site, somebody):
    tab = somebody.open("/")
    before = somebody.ids
    choose(tab, site, "forget")
    after = somebody.ids

    assert not set(before) & set(after)
    assert [(view.path, view.visitor, view.proposed) for view in site.views()] == [
        ("/", *before),
        ("/consent", *before),
        ("/", *after),
    ]
    assert site.backend.rows("SELECT 1 FROM events WHERE event_type = 'Refused'") == []


@unproxied
def test_who_has_not_answered_yet_is_not_recorded(site, somebody):
    somebody.context.add_cookies(
        [{"name": "consent", "value": "ask", "url": site.url}],
    )
    tab = somebody.open("/?utm_source=news")
    assert somebody.cookies == {}
    assert site.views() == []

    choose(tab, site, "yes")

    (view,) = site.views()
    assert view.path == "/"
    assert (view.visitor, view.proposed) == somebody.ids
