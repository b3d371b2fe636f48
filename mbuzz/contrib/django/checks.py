"""System checks: what would keep mbuzz from working as the settings want it."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core import checks

from mbuzz import api
from mbuzz.config import Config
from mbuzz.contrib.django import options, order
from mbuzz.errors import ConfigurationError

_ANY_KEY = "sk_test_" + "0" * 32
_TO_TURN_OFF = 'MBUZZ = {"ENABLED": False} turns it off.'


def check_options(**_: Any) -> list[checks.CheckMessage]:
    """Check that the options work, together with those of the environment."""
    given = _given()
    if isinstance(given, dict):
        keyless = not given.get("api_key") and not os.environ.get("MBUZZ_API_KEY")
        loaded = _load(given | {"api_key": _ANY_KEY} if keyless else given)
        if isinstance(loaded, Config):
            needs = keyless and loaded.enabled and api.current_client() is None
            return [_KEYLESS] if needs else []
    else:
        loaded = given
    # Who has turned it off may leave the rest for later, but should know.
    kind = (
        checks.Warning if isinstance(given, dict) and _is_off(given) else checks.Error
    )
    hint = f"Correct MBUZZ in the settings, or the MBUZZ_* variable. {_TO_TURN_OFF}"
    said = f"mbuzz cannot be set up: {loaded}"
    said += "" if said.endswith("?") else "."
    return [kind(said, hint=hint, id="mbuzz.E001")]


# Not an error: it would keep `runserver`, `migrate` and `test` from starting wherever
# the key is none of a developer's business.
_KEYLESS = checks.Warning(
    "mbuzz has no API key, so that nothing is tracked.",
    hint=(
        'Set MBUZZ = {"API_KEY": ...} or the variable MBUZZ_API_KEY (`mbuzz keys '
        f"create` makes a key). {_TO_TURN_OFF}"
    ),
    id="mbuzz.E001",
)


def _given() -> dict[str, object] | ConfigurationError:
    try:
        return options.read(getattr(settings, "MBUZZ", None))
    except ConfigurationError as error:
        return error


def _load(given: dict[str, object]) -> Config | ConfigurationError:
    try:
        return Config.load(given)
    except ConfigurationError as error:
        return error


def _is_off(given: dict[str, object]) -> bool:
    enabled = {"enabled": given.get("enabled"), "api_key": _ANY_KEY}
    alone = _load(enabled)
    return isinstance(alone, Config) and not alone.enabled


def check_order(**_: Any) -> list[checks.CheckMessage]:
    """Check that the middleware is there, once, and before what answers without it."""
    places = order.ours()
    if not places:
        return [
            checks.Warning(
                "mbuzz.contrib.django is installed, but its middleware is not: there "
                "are no page views and no visitors.",
                hint=f'Put "{order.NAME}" first in MIDDLEWARE.',
                id="mbuzz.W001",
            )
        ]
    found: list[checks.CheckMessage] = [
        checks.Warning(
            before.sentence,
            hint=f'Move "{order.NAME}" to the top of MIDDLEWARE.',
            id="mbuzz.W002",
        )
        for before in order.before_ours()
    ]
    if len(places) > 1:
        found.append(
            checks.Warning(
                f"{order.NAME} is in MIDDLEWARE {len(places)} times; the first does "
                "all the work.",
                hint="Leave only the one at the top.",
                id="mbuzz.W005",
            )
        )
    return found


def check_cookies(**_: Any) -> list[checks.CheckMessage]:
    """Check that cookies are as safe as the rest of the site."""
    config = _config()
    if config is None or config.cookie_secure is not False:
        return []
    if not settings.SECURE_SSL_REDIRECT:
        return []
    return [
        checks.Warning(
            "COOKIE_SECURE of MBUZZ is False, although SECURE_SSL_REDIRECT keeps the "
            "site on https: browsers send mbuzz's cookies unencrypted, too.",
            hint='Leave COOKIE_SECURE out; "auto" does what the site does.',
            id="mbuzz.W004",
        )
    ]


def check_proxy(**_: Any) -> list[checks.CheckMessage]:
    """Check that a proxy which speaks https for the site is known to do so."""
    config = _config()
    behind = (
        settings.USE_X_FORWARDED_HOST
        or settings.USE_X_FORWARDED_PORT
        or (config is not None and bool(config.trusted_proxies))
    )
    https = (
        settings.SECURE_SSL_REDIRECT
        or settings.SECURE_HSTS_SECONDS
        or settings.SESSION_COOKIE_SECURE
        or settings.CSRF_COOKIE_SECURE
    )
    if not behind or not https or settings.SECURE_PROXY_SSL_HEADER:
        return []
    return [
        checks.Warning(
            "The site is on https behind a proxy, but SECURE_PROXY_SSL_HEADER is not "
            "set: unless the proxy sends X-Forwarded-Proto, pages are recorded as "
            "http:// and mbuzz's cookies are not Secure.",
            hint=(
                "Let the proxy set a header, and name it: SECURE_PROXY_SSL_HEADER = "
                '("HTTP_X_FORWARDED_PROTO", "https").'
            ),
            id="mbuzz.W003",
        )
    ]


def _config() -> Config | None:
    """Return the options as the settings give them; None if they are wrong."""
    given = _given()
    if isinstance(given, ConfigurationError):
        return None
    loaded = _load({"api_key": _ANY_KEY, **given})
    return loaded if isinstance(loaded, Config) else None
