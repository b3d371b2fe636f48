"""Django's settings: the options, and tests that change them."""

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, override_settings

import mbuzz
import mbuzz.contrib.django as package
from mbuzz import api
from mbuzz.contrib.django import MbuzzMiddleware
from mbuzz.testing import capture
from tests.contrib.cases import Case, call_wsgi
from tests.contrib.django_site import KEY, answering, quiet_django, serve
from tests.web.visits import NAVIGATION

__all__ = ["quiet_django"]


def middleware(**found):
    """Make the middleware under these settings; return the options then in force."""
    with override_settings(**found):
        MbuzzMiddleware(lambda request: None)
        return api.current_client().config


@pytest.mark.parametrize(
    "options",
    [
        {"API_KEY": KEY, "SKIP_PATHS": ["/admin"], "NETWORK": False},
        {"api_key": KEY, "skip_paths": ["/admin"], "network": False},
    ],
)
def test_settings_are_in_upper_or_lower_case(options):
    config = middleware(MBUZZ=options)

    assert (config.api_key, config.skip_paths) == (KEY, ("/admin",))


def test_key_of_the_environment_does_with_and_without_settings(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)
    monkeypatch.setenv("MBUZZ_NETWORK", "off")

    alone = middleware()
    together = middleware(MBUZZ={"API_KEY": None, "SKIP_PATHS": ["/admin"]})

    assert (alone.api_key, alone.skip_paths) == (KEY, ())
    assert (together.api_key, together.skip_paths) == (KEY, ("/admin",))


def test_client_that_the_project_made_is_kept():
    mbuzz.configure(api_key=KEY, skip_paths=["/admin"], network=False)

    middleware()

    assert api.current_client().config.skip_paths == ("/admin",)


@pytest.mark.parametrize("options", [None, {}, {"API_KEY": None}, {"API_KEY": ""}])
def test_without_a_key_the_middleware_is_left_out(options, caplog):
    for _ in range(2):
        with pytest.raises(MiddlewareNotUsed):
            middleware(MBUZZ=options)

    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("options", ["sk_test", ["API_KEY"]])
def test_settings_of_another_kind_are_an_error(options, caplog):
    with pytest.raises(MiddlewareNotUsed):
        middleware(MBUZZ=options)

    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    "options", [{"ENABLED": False}, {"API_KEY": KEY, "ENABLED": False}]
)
def test_disabled_middleware_is_left_out_without_a_word(options, caplog):
    with pytest.raises(MiddlewareNotUsed):
        middleware(MBUZZ=options)

    assert caplog.records == []


@pytest.mark.parametrize("options", [{"API_KEY": "pk_live_x"}, {"API_KEYS": KEY}])
def test_wrong_settings_are_one_error_and_the_site_works(options, caplog):
    answering["case"] = Case()
    with override_settings(MBUZZ=options):
        handler = WSGIHandler()
        answers = [call_wsgi(handler, Case()) for _ in range(3)]

    assert {answer.body for answer in answers} == {b"hello"}
    assert {len(answer.cookies) for answer in answers} == {0}
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1
    assert "pk_live_x" not in errors[0]


def test_tests_need_no_key(events, caplog):
    with override_settings(MBUZZ={"API_KEY": None, "SKIP_PATHS": ["/admin"]}):
        serve(Case())
        serve(Case(path="/admin"))

    assert len(events.page_views()) == 1
    assert caplog.records == []


def test_package_gives_out_the_middleware_alone():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing


# -- functions by their dotted path, since settings cannot import the site --


def is_shop(request):
    return request.path.startswith("/shop")


def test_function_may_be_given_by_its_path(events):
    with override_settings(MBUZZ={"SHOULD_TRACK": f"{__name__}.is_shop"}):
        serve(Case(path="/shop/1"))
        serve(Case(path="/help"))

    assert [view["properties"]["url"] for view in events.page_views()] == [
        "https://shop.example/shop/1"
    ]


@pytest.mark.parametrize("path", ["nowhere.at.all", f"{__name__}.nothing", "nothing"])
def test_path_that_leads_nowhere_is_one_error(path, caplog):
    with pytest.raises(MiddlewareNotUsed):
        middleware(MBUZZ={"API_KEY": KEY, "CONSENT": path})

    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert f"consent must be a function or the dotted path of one, got '{path}'" in (
        record.getMessage()
    )


# -- tests of a project: override_settings --

SKIPPING = {"API_KEY": KEY, "SKIP_PATHS": ["/help"], "NETWORK": False}


@pytest.fixture
def browser():
    answering["case"] = Case()
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        yield Client(headers=NAVIGATION)


def test_override_takes_effect_in_a_client_in_use_and_ends(events, browser):
    browser.get("/help")
    before = api.current_client()
    with override_settings(MBUZZ=SKIPPING):
        browser.get("/help")
        within = api.current_client()
    browser.get("/help")

    assert len(events.page_views()) == 2
    assert api.current_client() is before is not within


def test_client_put_aside_still_works_afterwards(browser):
    mbuzz.configure(api_key=KEY, network=False)
    with override_settings(MBUZZ=SKIPPING):
        browser.get("/")

    with capture() as events:
        browser.get("/help")

    assert len(events.page_views()) == 1


def test_overrides_nest(events, browser):
    browser.get("/")
    events.clear()
    with override_settings(MBUZZ=SKIPPING):
        with override_settings(MBUZZ={**SKIPPING, "SKIP_PATHS": ["/shop"]}):
            browser.get("/help")
            browser.get("/shop")
        browser.get("/help")
        browser.get("/shop")
    urls = [view["properties"]["url"] for view in events.page_views()]

    assert urls == ["http://testserver/help", "http://testserver/shop"]


def test_override_turns_tracking_off_and_on_again(events, browser):
    browser.get("/")
    with override_settings(MBUZZ={"ENABLED": False}):
        off = browser.get("/")
    browser.get("/")

    assert off.cookies == {}
    assert len(events.page_views()) == 2


def test_override_alone_leaves_no_client_behind(browser):
    with override_settings(MBUZZ=SKIPPING):
        browser.get("/")
        assert api.current_client() is not None

    assert api.current_client() is None


def test_override_that_configures_in_the_middle_ends_with_it(browser, events):
    browser.get("/")
    before = api.current_client()
    with override_settings(MBUZZ=SKIPPING):
        mbuzz.configure(api_key=KEY, skip_paths=["/own"])

    assert api.current_client() is before


def test_wrong_override_is_one_error_and_changes_nothing(events, browser, caplog):
    browser.get("/")
    before = api.current_client()
    with override_settings(MBUZZ={"SKIP_PATH": ["/help"]}):
        browser.get("/")
        assert api.current_client() is before

    assert api.current_client() is before
    (record,) = caplog.records
    assert "unknown option 'skip_path'; did you mean" in record.getMessage()


def test_other_settings_leave_the_client_alone(events, browser):
    browser.get("/")
    before = api.current_client()
    with override_settings(DEBUG=True):
        assert api.current_client() is before


def test_module_that_comes_in_with_an_override_leaves_no_client_behind(run_python):
    said = run_python(
        """
        import os
        os.environ["MBUZZ_NETWORK"] = "off"
        from django.conf import settings
        settings.configure(ALLOWED_HOSTS=["testserver"], ROOT_URLCONF="site_urls",
                           MIDDLEWARE=["mbuzz.contrib.django.MbuzzMiddleware"])
        import django, sys, types
        django.setup()
        from django.http import HttpResponse
        from django.test import Client, override_settings
        from django.urls import path
        urls = sys.modules["site_urls"] = types.ModuleType("site_urls")
        urls.urlpatterns = [path("", lambda request: HttpResponse("hello"))]
        from mbuzz import api
        assert "mbuzz.contrib.django.options" not in sys.modules
        with override_settings(MBUZZ={"API_KEY": "sk_test_" + "0" * 32}):
            Client().get("/")
            print(api.current_client() is not None)
        print(api.current_client() is not None)
        """.replace("\n        ", "\n")
    )

    assert said.split() == ["True", "False"]
