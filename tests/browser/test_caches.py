"""Pages that a shared cache keeps: everybody is counted, nobody gets another's id."""

import uuid

import pytest

from tests.browser.stacks import DIRECT, PROXIED

pytestmark = pytest.mark.browser


def key():
    """Return a query that no cache has seen; of letters, as digits may be a card's."""
    return uuid.uuid4().hex.translate(str.maketrans("0123456789", "ghijklmnop"))


def read(site, person, path):
    """Open a page, wait until its script has run; return what the cache said of it."""
    tab = person.context.new_page()
    with tab.expect_response("**/_mbuzz/session") as told:
        shown = tab.goto(site.url + path)
    assert told.value.status == 204
    return shown.header_value("X-Cache")


@pytest.mark.parametrize("site", PROXIED, indirect=True)
def test_cached_page_counts_for_each_who_saw_it(site, meet):
    path = f"/cached?{key()}"
    people = [meet(), meet(), meet()]

    said = [read(site, person, path) for person in people]

    assert said == ["MISS", "HIT", "HIT"]
    assert len(site.asked("/cached")) == 1
    views = site.views()
    assert [view.path for view in views] == [path] * 3
    assert [(view.visitor, view.proposed) for view in views] == [
        person.ids for person in people
    ]
    assert len({view.session for view in views}) == 3


@pytest.mark.parametrize("site", PROXIED, indirect=True)
def test_cached_pages_join_the_visit_of_others(site, somebody):
    landing = f"/cached?utm_source=news&utm_medium=email&{key()}"
    paths = [landing, "/", f"/cached?{key()}"]

    read(site, somebody, paths[0])
    landed = somebody.ids
    somebody.open(paths[1])
    read(site, somebody, paths[2])
    read(site, somebody, paths[0])

    views = site.views()
    assert [view.path for view in views] == [*paths, paths[0]]
    assert len({(view.visitor, view.session) for view in views}) == 1
    assert somebody.ids == landed
    assert site.backend.rows(
        f"SELECT channel, source FROM sessions WHERE id = {views[0].session}"
    ) == [("email", "news")]


@pytest.mark.parametrize("site", PROXIED, indirect=True)
def test_refusal_holds_on_cached_pages(site, somebody):
    somebody.context.add_cookies(
        [{"name": "consent", "value": "no", "url": site.url}],
    )

    read(site, somebody, f"/cached?{key()}")

    assert somebody.cookies == {}
    assert site.views() == []


@pytest.mark.parametrize("site", DIRECT, indirect=True)
def test_page_with_the_script_counts_once_where_no_cache_keeps_it(site, somebody):
    asked = []
    somebody.context.on("request", lambda request: asked.append(request.url))
    tab = somebody.open("/scripted")
    tab.goto(f"{site.url}/")
    tab.goto(f"{site.url}/scripted")

    assert not [url for url in asked if "_mbuzz" in url]
    views = site.views()
    assert [view.path for view in views] == ["/scripted", "/", "/scripted"]
    assert len({view.session for view in views}) == 1


@pytest.mark.parametrize("site", PROXIED, indirect=True)
def test_page_that_is_shared_only_sometimes_counts_once(site, meet):
    meet().open("/sometimes")  # its visitor gets cookies
    site.start_afresh()
    person = meet()

    read(site, person, f"/sometimes?shared={key()}")

    views = site.views()
    assert [(view.visitor, view.proposed) for view in views] == [person.ids]


@pytest.mark.usefixtures("scripts")
@pytest.mark.parametrize("library", ["turbo", "htmx2", "htmx4"])
@pytest.mark.parametrize("site", PROXIED[:1], indirect=True)
def test_boosted_pages_count_once_wherever_they_come_from(library, site, somebody):
    path = f"/{library}-shared?{key()}"
    read(site, somebody, path)
    tab = somebody.context.pages[0]
    tab.click("#go")
    tab.wait_for_selector(f"h1:text('{library} mine')")
    with tab.expect_response("**/_mbuzz/session"):
        tab.click("#go")
        tab.wait_for_selector(f"h1:text('{library} shared')")
    tab.goto(f"{site.url}/page2")

    views = [view.path for view in site.views()]
    assert views == [path, f"/{library}-mine", f"/{library}-shared", "/page2"]
