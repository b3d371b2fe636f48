"""Known sites: what a host or a utm_source stands for, from the packaged list.

Tokens match on dot boundaries, and the most specific one wins. The list is read once,
when it is first needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Final, NamedTuple

from mbuzz.server.tracking.hosts import (
    normalize_host,
    registrable_domain,
    split_origin,
    suffixes,
    without_www,
)

_COUNTRY_NAME: Final = re.compile(r"(.+?)\.(?:com|cat|(?:com?\.)?[a-z]{2})")
# What may stand before google.<tld> in the address of the search engine itself.
_GOOGLE_SEARCH: Final = frozenset({"www", "m", "images", "encrypted", "ipv4", "ipv6"})


class Site(NamedTuple):
    """A known site: its kind, and the name that all its hosts share in reports.

    `kind` is one of search, social, video, shopping, email, ai, display, referral
    (a stranger) or excluded (never a source).
    """

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    version: str
    exact: Mapping[str, Site]
    domains: Mapping[str, Site]
    families: Mapping[str, Site]
    aliases: Mapping[str, Site]


def list_version() -> str:
    """Return the version of the list, stored with what it classified."""
    return _tables().version


@lru_cache(maxsize=8192)
def find_host(host: str) -> Site | None:
    """Return what is known about a normalized host or ``app:package``; None if nothing.

    Source: the rules on tokens at the top of ``sources.txt``.
    """
    tables = _tables()
    site = tables.exact.get(host)
    if site is not None or host.startswith("app:"):
        return site
    for domain in suffixes(host):
        site = tables.domains.get(domain)
        if site is None and (country := _COUNTRY_NAME.fullmatch(domain)):
            site = tables.families.get(country[1])
            if site is not None and country[1] == "google":
                labels = host[: -len(domain)].rstrip(".")
                if labels and labels not in _GOOGLE_SEARCH:
                    return Site("referral", host)
        if site is not None:
            break
    if site is not None and site.kind == "referral":
        return Site("referral", without_www(host))
    return site


@lru_cache(maxsize=4096)
def find_source(source: str) -> Site | None:
    """Return what a lower-case utm_source stands for, an alias or a host or URL."""
    if "." not in source:
        return _tables().aliases.get(source)
    origin = split_origin(source if "://" in source else f"//{source}")
    host = normalize_host(origin[1]) if origin else None
    if host is None or origin is None:
        return None
    return find_host(f"app:{host}" if origin[0] == "android-app" else host)


@cache
def _tables() -> _Tables:
    data = resources.files("mbuzz.server.tracking").joinpath("sources.txt")
    return _parse(data.read_text("utf-8"))


def _parse(text: str) -> _Tables:
    version, _, text = text.partition("\n")
    sections = list(_sections(text))
    names = {
        token: title.removeprefix("name ")
        for title, token in sections
        if title.startswith("name ")
    }
    exact: dict[str, Site] = {}
    domains: dict[str, Site] = {}
    families: dict[str, Site] = {}
    aliases: dict[str, Site] = {}
    for title, token in sections:
        kind = title.removeprefix("alias ")
        if title.startswith("name "):
            continue
        if kind != title:
            aliases[token] = Site(kind, names.get(token, token))
        elif token.startswith("app:"):
            exact[token] = Site(kind, names.get(token, token.removeprefix("app:")))
        elif token.endswith(".*"):
            name = token.removesuffix(".*")
            families[name] = Site(kind, names.get(token, name.rpartition(".")[2]))
        else:
            host = token.removeprefix("=")
            label = registrable_domain(host).partition(".")[0]
            table = domains if host == token else exact
            table[host] = Site(kind, names.get(token, label))
    return _Tables(
        version=version.removeprefix("list_version "),
        exact=exact,
        domains=domains,
        families=families,
        aliases=aliases,
    )


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield (title, token) for every token of the list."""
    title = ""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if not line.startswith(" "):
            title, _, line = line.partition(": ")
        for token in line.split():
            yield title, token
