"""What browsers do besides opening pages, and what of it counts."""

import pytest

from tests.browser.stacks import ONE_OF_EACH
from tests.processes import wait_for

pytestmark = pytest.mark.browser

anywhere = pytest.mark.parametrize("site", ONE_OF_EACH, indirect=True)


@anywhere
def test_frame_does_not_count_beside_its_page(site, somebody):
    tab = somebody.open("/iframe-holder")

    assert tab.frames[1].title() == "Framed"
    assert [view.path for view in site.views()] == ["/iframe-holder"]


@anywhere
def test_download_does_not_count(site, somebody):
    tab = somebody.open("/downloads")
    landed = somebody.ids
    with tab.expect_download() as download:
        tab.click("#save")

    assert "Saved" in download.value.path().read_text()
    assert [view.path for view in site.views()] == ["/downloads"]
    assert somebody.ids == landed


@anywhere
def test_page_fetched_ahead_does_not_count(site, somebody):
    somebody.open("/prefetch-link")

    wait_for(lambda: site.asked("/page2"), "what is fetched ahead")
    (ahead,) = site.asked("/page2")
    assert ahead["purpose"] == "prefetch"
    assert [view.path for view in site.views()] == ["/prefetch-link"]


@anywhere
@pytest.mark.parametrize("how", ["prefetch", "prerender"])
def test_page_fetched_ahead_counts_when_it_is_opened_if_it_has_the_script(
    how, site, somebody
):
    tab = somebody.open(f"/{how}")
    wait_for(lambda: site.asked("/scripted"), "what is fetched ahead")
    assert [view.path for view in site.views()] == [f"/{how}"]

    with somebody.context.expect_event(
        "response", lambda response: response.url.endswith("/_mbuzz/session")
    ):
        tab.click("#next")
        tab.wait_for_url("**/scripted")

    (ahead,) = site.asked("/scripted")
    assert ahead["purpose"].startswith("prefetch")
    views = site.views()
    assert [view.path for view in views] == [f"/{how}", "/scripted"]
    assert len({(view.visitor, view.session) for view in views}) == 1


@anywhere
def test_page_fetched_ahead_makes_no_visitor(site, somebody):
    tab = somebody.open("/")
    somebody.context.clear_cookies()
    tab.evaluate(
        "document.head.append(Object.assign(document.createElement('link'),"
        " {rel: 'prefetch', href: '/page2'}))"
    )

    wait_for(lambda: site.asked("/page2"), "what is fetched ahead")
    assert len(site.views()) == 1
    assert somebody.cookies == {}


@anywhere
@pytest.mark.parametrize("start", ["/", "/no-store"])
def test_going_back_counts_if_the_server_is_asked(start, site, somebody):
    tab = somebody.open(start)
    tab.click("#next")
    tab.wait_for_url("**/page2")
    tab.go_back()
    assert tab.url == site.url + start

    navigations = [one["path"] for one in site.asked(mode="navigate")]
    assert [view.path for view in site.views()] == navigations
    if start == "/no-store":
        assert navigations == [start, "/page2", start]


@anywhere
def test_reload_counts_also_where_the_page_has_not_changed(site, somebody):
    tab = somebody.open("/revalidated")
    landed = somebody.ids
    tab.goto(f"{site.url}/revalidated")

    assert [one["status"] for one in site.asked("/revalidated")] == [200, 304]
    assert [view.path for view in site.views()] == ["/revalidated"] * 2
    assert somebody.ids == landed


@anywhere
def test_page_that_a_service_worker_passes_on_counts_once(site, somebody):
    tab = somebody.open("/worker")
    tab.evaluate(
        "navigator.serviceWorker.register('/worker.js')"
        ".then(() => navigator.serviceWorker.ready)"
    )
    tab.wait_for_function("navigator.serviceWorker.controller !== null")
    tab.goto(f"{site.url}/page2")

    assert site.asked("/page2", mode="navigate")
    assert [view.path for view in site.views()] == ["/worker", "/page2"]
    assert len({view.session for view in site.views()}) == 1
