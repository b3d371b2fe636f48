"""What Django's system checks say of settings that would not work."""

import pytest
from django.core.checks import run_checks
from django.core.handlers.wsgi import WSGIHandler
from django.middleware.common import CommonMiddleware
from django.test import override_settings

import mbuzz
from mbuzz.contrib.django import MbuzzMiddleware
from tests.contrib.django_site import KEY, OURS, quiet_django

__all__ = ["quiet_django"]

CACHE = "django.middleware.cache.UpdateCacheMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"
SECURITY = "django.middleware.security.SecurityMiddleware"
CLASS = "mbuzz.contrib.django.middleware.MbuzzMiddleware"
GOOD = {"API_KEY": KEY}


def found(*, deploy=False, **settings):
    """Return what is found, as (id, level) pairs, and every text of it."""
    with override_settings(**settings):
        messages = run_checks(tags=["mbuzz"], include_deployment_checks=deploy)
    assert all(message.hint for message in messages)
    return (
        [(message.id, type(message).__name__) for message in messages],
        "\n".join(f"{message.msg} {message.hint}" for message in messages),
    )


def test_good_settings_are_not_remarked_upon():
    assert found(MBUZZ=GOOD, deploy=True) == ([], "")


# -- options --


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("sk_test", "the setting MBUZZ must be a dict"),
        ({"API_KEY": "pk_live_x"}, "api_key must be sk_test_ or sk_live_"),
        ({"API_KEYS": KEY}, "unknown option 'api_keys'; did you mean 'api_key'?"),
        ({**GOOD, "SKIP_PATHS": "/help"}, "skip_paths must be a list of paths"),
        ({**GOOD, "CONSENT": "no.where"}, "consent must be a function or the dotted"),
        ({"SKIP_PATHS": "/help"}, "skip_paths"),
    ],
    ids=["no dict", "odd key", "unknown", "wrong", "dotted path", "wrong, no key"],
)
def test_options_that_cannot_work_are_an_error(setting, sentence):
    ids, text = found(MBUZZ=setting)

    assert ids == [("mbuzz.E001", "Error")]
    assert sentence in text
    assert "pk_live_x" not in text


def test_wrong_variable_is_an_error(monkeypatch):
    monkeypatch.setenv("MBUZZ_BATCH_SIZE", "many")

    ids, text = found(MBUZZ=GOOD)

    assert ids == [("mbuzz.E001", "Error")]
    assert "MBUZZ_BATCH_SIZE must be a number" in text


@pytest.mark.parametrize("setting", [None, {}, {"API_KEY": ""}, {"API_KEY": None}])
def test_missing_key_is_a_warning_so_that_runserver_starts(setting):
    ids, text = found(MBUZZ=setting)

    assert ids == [("mbuzz.E001", "Warning")]
    assert "MBUZZ_API_KEY" in text


def test_key_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)

    assert found() == found(MBUZZ={"SKIP_PATHS": ["/help"]}) == ([], "")


def test_odd_key_of_the_environment_is_an_error(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", "pk_live_x")

    assert found()[0] == [("mbuzz.E001", "Error")]


def test_key_may_come_from_the_projects_own_call():
    mbuzz.configure(api_key=KEY, network=False)

    assert found() == ([], "")


def test_who_turned_it_off_hears_of_no_key():
    assert found(MBUZZ={"ENABLED": False}) == ([], "")


def test_who_turned_it_off_is_only_warned(monkeypatch):
    assert found(MBUZZ={"ENABLED": False, "API_KEYS": KEY})[0] == [
        ("mbuzz.E001", "Warning")
    ]
    monkeypatch.setenv("MBUZZ_ENABLED", "no")
    assert found(MBUZZ={"API_KEYS": KEY})[0] == [("mbuzz.E001", "Warning")]


# -- the order of MIDDLEWARE --


@pytest.mark.parametrize("listed", [[], [COMMON], ["nowhere.Middleware"]])
def test_missing_middleware_is_a_warning(listed):
    ids, text = found(MBUZZ=GOOD, MIDDLEWARE=listed)

    assert ids == [("mbuzz.W001", "Warning")]
    assert OURS in text


class Derived(MbuzzMiddleware):
    """What a project may derive."""


class CacheEverything:
    """A cache of somebody else's, known by its name."""


class ShopsCommon(CommonMiddleware):
    """What a project may derive from Django's."""


DERIVED, OTHER_CACHE = f"{__name__}.Derived", f"{__name__}.CacheEverything"
SHOPS_COMMON = f"{__name__}.ShopsCommon"


@pytest.mark.parametrize("ours", [OURS, CLASS, DERIVED])
def test_middleware_is_known_by_all_its_names(ours):
    assert found(MBUZZ=GOOD, MIDDLEWARE=[SECURITY, ours, CACHE, COMMON]) == ([], "")
    assert found(MBUZZ=GOOD, MIDDLEWARE=[CACHE, ours])[0] == [("mbuzz.W002", "Warning")]


@pytest.mark.parametrize("other", [CACHE, OTHER_CACHE])
def test_cache_before_it_is_named_with_its_danger(other):
    ids, text = found(MBUZZ=GOOD, MIDDLEWARE=[SECURITY, other, OURS])

    assert ids == [("mbuzz.W002", "Warning")]
    assert f"comes after {other}, which may keep responses with one visitor's" in text


@pytest.mark.parametrize(
    "other",
    [
        COMMON,
        SHOPS_COMMON,
        "django.middleware.locale.LocaleMiddleware",
        "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
    ],
)
def test_what_answers_before_it_is_named(other):
    ids, text = found(MBUZZ=GOOD, MIDDLEWARE=[other, OURS])

    assert ids == [("mbuzz.W002", "Warning")]
    assert f"comes after {other}, which answers some requests itself" in text


def test_each_middleware_before_it_is_named():
    ids, text = found(MBUZZ=GOOD, MIDDLEWARE=[CACHE, COMMON, OURS])

    assert ids == [("mbuzz.W002", "Warning")] * 2
    assert CACHE in text
    assert COMMON in text


def test_middleware_twice_is_a_warning():
    ids, _ = found(MBUZZ=GOOD, MIDDLEWARE=[OURS, SECURITY, CLASS])

    assert ids == [("mbuzz.W005", "Warning")]


def test_cache_before_it_is_logged_without_the_checks_too(caplog):
    with override_settings(MBUZZ=GOOD, MIDDLEWARE=[CACHE, COMMON, OURS]):
        WSGIHandler()

    (record,) = caplog.records
    assert (record.levelname, record.name) == ("WARNING", "mbuzz.contrib")
    assert CACHE in record.getMessage()


# -- https --


def test_cookies_without_secure_on_an_https_site_are_a_warning():
    plain = {**GOOD, "COOKIE_SECURE": False}

    assert found(MBUZZ=plain)[0] == []
    assert found(MBUZZ=GOOD, SECURE_SSL_REDIRECT=True)[0] == []
    assert found(MBUZZ=plain, SECURE_SSL_REDIRECT=True)[0] == [
        ("mbuzz.W004", "Warning")
    ]


@pytest.mark.parametrize(
    "behind",
    [
        {"MBUZZ": GOOD, "USE_X_FORWARDED_HOST": True},
        {"MBUZZ": GOOD, "USE_X_FORWARDED_PORT": True},
        {"MBUZZ": {**GOOD, "TRUSTED_PROXIES": 1}},
    ],
    ids=["host", "port", "trusted"],
)
@pytest.mark.parametrize(
    "https",
    [
        {"SECURE_SSL_REDIRECT": True},
        {"SECURE_HSTS_SECONDS": 60},
        {"SESSION_COOKIE_SECURE": True},
        {"CSRF_COOKIE_SECURE": True},
    ],
    ids=["redirect", "HSTS", "session", "CSRF"],
)
def test_https_at_a_proxy_that_django_does_not_know_is_a_deployment_warning(
    behind, https
):
    named = {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}

    assert found(**behind, **https)[0] == []
    assert found(**behind, deploy=True)[0] == []
    assert found(**behind, **https, **named, deploy=True)[0] == []
    assert found(MBUZZ=GOOD, **https, deploy=True)[0] == []
    assert found(**behind, **https, deploy=True)[0] == [("mbuzz.W003", "Warning")]


def test_wrong_options_are_told_once():
    ids, _ = found(MBUZZ={"API_KEYS": 1}, SECURE_SSL_REDIRECT=True, deploy=True)

    assert ids == [("mbuzz.E001", "Error")]
