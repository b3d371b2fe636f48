"""Libraries that swap pages by script: whole pages count, parts of them do not."""

import pytest

from tests.browser.stacks import OTHERS_OF_EACH
from tests.processes import wait_for

anywhere = pytest.mark.parametrize("site", OTHERS_OF_EACH, indirect=True)
pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("scripts")]


@anywhere
@pytest.mark.parametrize("version", [2, 4])
def test_htmx_counts_a_boosted_link_and_no_part(version, site, somebody):
    start = f"/htmx{version}"
    tab = somebody.open(start)
    landed = somebody.ids

    tab.click("button")
    tab.wait_for_selector("em")
    tab.click("#boosted")
    tab.wait_for_selector("h1:text('Page 2')")
    tab.wait_for_url("**/page2")

    assert site.asked("/part")
    assert not site.asked("/page2", mode="navigate")
    views = site.views()
    assert [view.path for view in views] == [start, "/page2"]
    assert views[1].referrer == site.url + start
    assert len({view.session for view in views}) == 1
    assert somebody.ids == landed


@anywhere
def test_turbo_counts_a_visit_and_no_frame(site, somebody):
    tab = somebody.open("/turbo")
    landed = somebody.ids

    tab.click("#within")
    tab.wait_for_selector("em")
    tab.click("#drive")
    tab.wait_for_url("**/turbo2")
    tab.wait_for_selector("h1:text('Turbo 2')")

    assert site.asked("/turbo-part")
    assert not site.asked("/turbo2", mode="navigate")
    views = site.views()
    assert [view.path for view in views] == ["/turbo", "/turbo2"]
    assert len({view.session for view in views}) == 1
    assert somebody.ids == landed


@anywhere
def test_turbo_counts_no_link_that_is_hovered(site, somebody):
    tab = somebody.open("/turbo")

    tab.hover("#hover")
    wait_for(lambda: site.asked("/page2"), "what is fetched ahead")

    (ahead,) = site.asked("/page2")
    assert ahead["purpose"] == "prefetch"
    assert [view.path for view in site.views()] == ["/turbo"]
