"""Campaign tags: the utm_* parameters of a URL, or of an event's properties."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import unquote

from mbuzz.server.model import EMPTY

TAGS: Final[tuple[str, ...]] = (
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "utm_id",
    "utm_source_platform",
    "utm_creative_format",
    "utm_marketing_tactic",
)
MAX_URL: Final = 8192  # characters read
MAX_VALUE: Final = 255  # characters kept of a tag

_NAMES: Final = frozenset(TAGS)
# Grouped by in reports, where "Google" and "google" are one source.
_FOLDED: Final = frozenset({"utm_source", "utm_medium", "utm_campaign"})
_ABSENT: Final = frozenset(
    {
        "",
        "(none)",
        "(not set)",
        "(not provided)",
        "(direct)",
        "direct",
        "null",
        "undefined",
        "none",
    }
)
# Read only where an account asks for it: many sites have a "ref" of another meaning.
# Source: Matomo's and Piwik's names; those of Plausible and Umami.
_ALIASES: Final = MappingProxyType(
    {
        **{
            f"{prefix}_{name}": f"utm_{tag}"
            for prefix in ("mtm", "pk")
            for name, tag in (
                ("source", "source"),
                ("medium", "medium"),
                ("campaign", "campaign"),
                ("cpn", "campaign"),
                ("keyword", "term"),
                ("kwd", "term"),
                ("content", "content"),
                ("cid", "id"),
            )
        },
        "ref": "utm_source",
        "source": "utm_source",
        "via": "utm_source",
    }
)
_PAIR: Final = re.compile(r"(?:^|&)([^&=]+)=?([^&]*)")
# Surrogates cannot be stored as UTF-8.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_TEMPLATE: Final = re.compile(r"\{[^{}]+\}|%%[^%]+%%|^\[[^\[\]]+\]$")
_EMAIL: Final = re.compile(r"[\w.+-](?:@|%40)\w[\w-]*\.\w", re.IGNORECASE)
EMAIL: Final = "[email]"


class Tags(NamedTuple):
    """The tags of one visit, by full name, and what was odd about them."""

    values: Mapping[str, str] = EMPTY
    flags: frozenset[str] = frozenset()


NO_TAGS: Final = Tags()


def query_pairs(url: str) -> list[tuple[str, str]]:
    """Return the query's parameters: lower-case names, values still encoded.

    The fragment does not count. Of a very long URL only the beginning is read.
    """
    query = url[:MAX_URL].partition("#")[0].partition("?")[2]
    return [(parameter_name(name), value) for name, value in _PAIR.findall(query)]


@lru_cache(maxsize=1024)
def parameter_name(raw: str) -> str:
    """Return a parameter's name decoded, in lower case, without HTML's ``amp;``."""
    return decode(raw).strip().lower().removeprefix("amp;")


def decode(raw: str) -> str:
    """Return *raw* percent-decoded once, as forms are; wrong escapes stay as sent."""
    # "%%campaign%%" is a forgotten template, although "%ca" looks like an escape.
    if "%%" in raw and raw.startswith("%%") and raw.endswith("%%"):
        return raw
    if "+" in raw:
        raw = raw.replace("+", " ")
    return unquote(raw) if "%" in raw else raw


def clean(value: str) -> str:
    """Return *value* composed (NFC), with single spaces and no control characters."""
    if not (value.isascii() and value.isprintable()):
        value = unicodedata.normalize("NFC", _CONTROL.sub("", value))
    return " ".join(value.split())


def is_absent(value: str) -> bool:
    """Tell whether a clean value only says that there is none."""
    return value.lower() in _ABSENT


def has_email(value: str) -> bool:
    """Tell whether *value* seems to hold an e-mail address, as is or encoded again."""
    return ("@" in value or "%40" in value) and _EMAIL.search(value) is not None


def read_tags(
    pairs: Iterable[tuple[str, str]],
    properties: Mapping[str, object] | None = None,
    *,
    aliases: bool = False,
) -> Tags:
    """Return the campaign tags of a URL's *pairs* and of an event's *properties*.

    Properties beat the URL; of repeated parameters the first that says something wins.
    With *aliases* other tools' names count where there is no utm_* at all. Flags:
    ``truncated``, ``unexpanded_template``.
    """
    said = [(name, decode(raw)) for name, raw in pairs if name in _NAMES]
    if properties:
        explicit = [
            (name.lower(), str(value))
            for name, value in properties.items()
            if name.lower() in _NAMES and type(value) in (str, int)
        ]
        said = explicit + said
    tags = _tags(said)
    if aliases and not tags.values:
        tags = _tags((_ALIASES[n], decode(raw)) for n, raw in pairs if n in _ALIASES)
    return tags


def _tags(said: Iterable[tuple[str, str]]) -> Tags:
    found: dict[str, str] = {}
    flags: frozenset[str] = frozenset()
    for name, value in said:
        if name not in found:
            kept, odd = _tag_value(value, name)
            if kept:
                found[name] = kept
                flags = flags | odd if odd else flags
    if not found:
        return NO_TAGS
    values = {name: found[name] for name in TAGS if name in found}
    return Tags(MappingProxyType(values), flags)


@lru_cache(maxsize=2048)
def _tag_value(value: str, name: str) -> tuple[str, frozenset[str]]:
    """Return what is kept of a tag, empty for nothing, and its flags."""
    value = clean(value.lower() if name in _FOLDED else value)
    if is_absent(value):
        return "", frozenset()
    flags = set()
    if _TEMPLATE.search(value):
        flags.add("unexpanded_template")
    if has_email(value):
        value = EMAIL
    elif len(value) > MAX_VALUE:
        value = value[:MAX_VALUE].rstrip()
        flags.add("truncated")
    return value, frozenset(flags)
