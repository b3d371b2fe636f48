"""The setting `MBUZZ`: read, put in force, and followed where a test changes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.conf import settings
from django.core import mail
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from mbuzz import api, guard
from mbuzz.client import Client
from mbuzz.config import CALLBACKS, Config
from mbuzz.delivery import worker
from mbuzz.errors import ConfigurationError

_logger = logging.getLogger("mbuzz.contrib")

T = TypeVar("T")

_made: Client | None = None  # by the setting
# The clients that the overrides now in force have put aside, the outermost first.
_aside: list[Client | None] = []


def read(setting: object) -> dict[str, object]:
    """Return the options that the setting gives, by their names.

    Keys may be in upper or lower case; None and "" say nothing. Where an option is a
    function, its dotted path does, too: settings cannot import the site's code.

    Raises:
        ConfigurationError: If it is no dict, or such a path leads nowhere.
    """
    if setting is None:
        return {}
    if not isinstance(setting, Mapping):
        raise ConfigurationError(
            'the setting MBUZZ must be a dict such as {"API_KEY": ...}, '
            f"got {type(setting).__name__}"
        )
    given = {
        str(name).lower(): value
        for name, value in setting.items()
        if value is not None and value != ""
    }
    for name, value in given.items():
        if isinstance(value, str) and name in CALLBACKS:
            given[name] = _imported(name, value)
    return given


def _imported(name: str, path: str) -> object:
    def failed(error: Exception) -> object:
        raise ConfigurationError(
            f"{name} must be a function or the dotted path of one, got {path!r} "
            f"({type(error).__name__}: {error})"
        ) from error

    return guard.attempt(lambda: import_string(path), failed)


def apply() -> bool:
    """Put the setting in force; return whether it works.

    Without one, the client that is there, or that the environment asks for, counts.
    """
    global _made
    before = api.current_client()
    given = _given()
    if given is None:
        return False
    if given.get("enabled") is False and worker.intercept is not None:
        return True  # settings for tests, and a test that captures all the same
    works = not given or api.configure_also(given)
    if api.current_client() is not before:
        _made = api.current_client()
    return works


def in_tests() -> bool:
    """Tell whether Django's test runner, or pytest-django, has set up its environment.

    There a middleware is worth keeping without a client: a server or a test client
    outlives the tests that capture events or override the setting.
    """
    return hasattr(mail, "outbox")


def _given() -> dict[str, Any] | None:
    """Return what the setting gives; None, logged, if it is wrong."""
    return _checked(lambda: read(getattr(settings, "MBUZZ", None)))


def _checked(make: Callable[[], T]) -> T | None:
    """Return what *make* makes, or None, logged, if the options cannot work."""

    def failed(error: Exception) -> None:
        _logger.error("not configured, nothing will be tracked: %s", error)

    return guard.attempt(make, failed)


@receiver(setting_changed)  # type: ignore[untyped-decorator]
def _follow(*, setting: str, enter: bool, **_: object) -> None:
    """Follow a test's `override_settings` where the middleware is in use already.

    The client before is put aside, not closed: it is in force again afterwards.
    """
    if setting == "MBUZZ":
        with guard.swallowing("changed settings"):
            _enter() if enter else _leave()


def _enter() -> None:
    before = api.current_client()
    _aside.append(before)
    # Without a client there is no middleware in use, except in tests: see `in_tests`.
    in_use = before is not None or in_tests()
    given = _given() if in_use else None
    if given:
        config = _checked(lambda: Config.load(api.completed(given)))
        if config is not None:
            api.swap(Client(config))


def _leave() -> None:
    global _made
    now = api.current_client()
    if _aside:
        before = _aside.pop()
        if now is not before:
            api.use(before)
    elif now is not None and now is _made:  # this module came in with the override
        api.use(None)
        apply()
    _made = None if _made is now else _made
