"""An account's settings by name: what each may be, and what it is if nobody chose."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from mbuzz.server.conversion_settings import CONVERSION_SETTINGS
from mbuzz.server.privacy.keeping import check_retention
from mbuzz.server.tracking.channel_rules import parse_rules
from mbuzz.server.tracking.hosts import normalize_host

_PARAMETER: Final = re.compile(r"[^\s&=#?]{1,64}")


class SettingError(ValueError):
    """A setting cannot be what was given; the text says what it may be."""


class Setting(NamedTuple):
    """What a setting is for, its default, and how its JSON value is read.

    `read` returns what tracking works with, or raises ValueError with one sentence.
    """

    about: str
    default: object
    read: Callable[[object], object]


def _flag(name: str, about: str, *, default: bool) -> tuple[str, Setting]:
    def read(given: object) -> bool:
        if not isinstance(given, bool):
            raise SettingError(f"{name} must be true or false, got {given!r}")
        return given

    return name, Setting(about, default, read)


def _choice(name: str, about: str, *words: str) -> tuple[str, Setting]:
    """The first of *words* is the default."""

    def read(given: object) -> str:
        if given not in words:
            raise SettingError(
                f"{name} must be one of {', '.join(words)}, got {given!r}"
            )
        return str(given)

    return name, Setting(about, words[0], read)


def _number(
    name: str, about: str, *, default: int, least: int, most: int
) -> tuple[str, Setting]:
    def read(given: object) -> int:
        whole = isinstance(given, int) and not isinstance(given, bool)
        if not whole or not least <= given <= most:  # type: ignore[operator]
            raise SettingError(
                f"{name} must be a whole number from {least} to {most}, got {given!r}"
            )
        return given  # type: ignore[return-value]

    return name, Setting(about, default, read)


def _texts(
    name: str, about: str, most: int, one: Callable[[str], str | None], what: str
) -> tuple[str, Setting]:
    def read(given: object) -> frozenset[str]:
        if not isinstance(given, list):
            raise SettingError(f"{name} must be a list, such as {what}")
        if len(given) > most:
            raise SettingError(f"{name} may have {most} entries, got {len(given)}")
        found = set()
        for text in given:
            clean = one(text) if isinstance(text, str) else None
            if clean is None:
                raise SettingError(
                    f"{name} must be a list, such as {what}, got {text!r}"
                )
            found.add(clean)
        return frozenset(found)

    return name, Setting(about, (), read)


def _host(text: str) -> str | None:
    host = normalize_host(text.strip().removeprefix("*."))
    return host if host and "." in host else None


def _hosts(name: str, about: str, most: int = 500) -> tuple[str, Setting]:
    return _texts(name, about, most, _host, '["shop.example"]')


def _parameter(text: str) -> str | None:
    text = text.strip().lower()
    return text if _PARAMETER.fullmatch(text) else None


def _parameters(name: str, about: str) -> tuple[str, Setting]:
    return _texts(name, about, 100, _parameter, '["state"]')


_ABOUT_CONVERSIONS: Final = {
    "lookback_days": "days before a conversion in which visits get credit, or all",
    "lookback_by_type": "the same by type of conversion",
    "counting": "by type: every, once_per_identity or once_per_session",
}

SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    dict(
        [
            _number(
                "session_timeout",
                "minutes without an event after which a visit is over",
                default=30,
                least=5,
                most=480,
            ),
            _number(
                "max_event_age",
                "days after which an event is refused as too old; a key that may "
                "import sends older ones",
                default=30,
                least=1,
                most=30,
            ),
            _flag(
                "split_on_campaign",
                "another campaign or paid click begins a visit",
                default=True,
            ),
            _choice(
                "split_on_referrer",
                "which referrers begin a visit: of known sites if the visit is direct, "
                "none, of known sites, any",
                *("direct_only", "none", "known", "any"),
            ),
            _hosts("own_domains", "hosts of the same business, never a source"),
            _hosts("excluded_referrers", "more payment and sign-on hosts, no source"),
            _hosts("counted_referrers", "hosts that count although the list says no"),
            _hosts(
                "spam_referrers",
                "hosts whose visits are counted as bots",
                10_000,
            ),
            _flag(
                "source_aliases",
                "ref, source, via, mtm_* and pk_* are read where there is no utm_*",
                default=False,
            ),
            (
                "channel_rules",
                Setting("your own channels, before the table", (), parse_rules),
            ),
            _flag("allow_apps", "okhttp is an app's, not a bot's", default=False),
            _flag(
                "strict_visitors",
                "only page views make visitors; others must be known",
                default=False,
            ),
            _flag(
                "auto_link",
                "an event with visitor_id and user_id links the two",
                default=True,
            ),
            _choice(
                "refused_consent",
                "what becomes of events with consent.analytics false; cookieless: one "
                "visitor of each network and browser, for a day",
                *("drop", "keep", "cookieless"),
            ),
            _flag(
                "respect_gpc",
                "no click ids are kept of who sends Sec-GPC or DNT",
                default=True,
            ),
            _choice(
                "store_ip",
                "what is kept of a property ip",
                *("none", "masked", "full"),
            ),
            _choice(
                "store_user_agent",
                "what is kept of a user agent",
                *("summary", "full", "none"),
            ),
            _parameters(
                "kept_parameters", "parameters of URLs kept although they sound secret"
            ),
            _parameters("dropped_parameters", "more parameters not kept of URLs"),
            (
                "retention",
                Setting(
                    'days things are kept, such as {"events_days": 90}; 0: for ever',
                    {},
                    check_retention,
                ),
            ),
            *(
                (name, Setting(_ABOUT_CONVERSIONS[name], default, read))
                for name, (read, default) in CONVERSION_SETTINGS.items()
            ),
            _choice(
                "erase_conversions",
                "what becomes of the conversions of who is erased",
                *("anonymise", "full"),
            ),
        ]
    )
)


def read_setting(name: str, given: object) -> object:
    """Return a setting as tracking works with it.

    Raises:
        ValueError: If there is no such setting, or it cannot be that.
    """
    setting = SETTINGS.get(name)
    if setting is None:
        raise SettingError(
            f"there is no setting {name!r}; `mbuzz settings show` lists them"
        )
    return setting.read(given)


def read_leniently(settings: Mapping[str, object]) -> Mapping[str, object]:
    """Return every known setting that is chosen and usable.

    What was written by another version, or by hand, must not stop events.
    """
    found: dict[str, object] = {}
    for name, given in settings.items():
        if name in SETTINGS:
            try:
                found[name] = SETTINGS[name].read(given)
            except ValueError:
                continue
    return found
