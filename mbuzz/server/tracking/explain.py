"""One landing explained: its channel, and in words what counted and what did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mbuzz.server.model import Landing
from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.tracking.click_ids import PARAMETERS, rows_of
from mbuzz.server.tracking.landing import Reading, read
from mbuzz.server.tracking.referrers import referrer_host, said_of
from mbuzz.server.tracking.sources import find_host, find_source
from mbuzz.server.tracking.utm import TAGS, decode, query_pairs

_LONGEST = 80  # characters of a value that is shown

_FLAGS = {
    "bad_url": "the URL is not well-formed",
    "missing_host": "the URL has no host; the site is not known",
    "truncated": "a tag is longer than 255 characters and was cut",
    "unexpanded_template": "a tag holds a template that nothing was put into",
    "unassigned_channel": "the tags fit no channel; change utm_medium, or add a rule",
    "paid_medium_unknown_source": "the medium is paid, but the source is not known",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A landing, the rule that made it, and the reasons."""

    landing: Landing
    rule: str
    why: str


def explain(
    url: str | None,
    referrer: str | None = None,
    *,
    host: str | None = None,
    policy: Policy = DEFAULT,
) -> Explanation:
    """Return what a visit would be counted as, and why."""
    reading = read(url, referrer, host=host, policy=policy)
    parts = [
        _evidence(reading, referrer, policy),
        f"{reading.rule} {reading.landing.channel}: {reading.about}",
        *_normalized(url or "", reading.landing),
        *_ignored(url or "", referrer, reading),
        *(_FLAGS.get(flag, flag) for flag in sorted(reading.landing.flags)),
    ]
    return Explanation(landing=reading.landing, rule=reading.rule, why="; ".join(parts))


def _evidence(reading: Reading, referrer: str | None, policy: Policy) -> str:
    """Say what counted, of tags, paid click ids, referrer and unpaid click ids."""
    landing = reading.landing
    match reading.basis:
        case "tags":
            return _tags(landing)
        case "click_id":
            row = rows_of(landing.click_ids)[0]
            return f"no tags; {row.name} is a paid click of {row.platform}"
        case "referrer":
            host = referrer_host(referrer or "") or ""
            site = find_host(host)
            known = site is not None and site.kind != "referral"
            what = f"{_article(site.kind)} site" if site and known else "another site"
            return f"no tags, no paid click id; the referrer {host} is {what}"
        case "hint":
            row = rows_of(landing.click_ids)[0]
            return (
                f"no tags, no paid click id, no referrer that counts; {row.name} is "
                f"of {row.platform}, which adds it to unpaid links, too"
            )
        case "ignored":
            return "the URL asks to ignore its source (utm_nooverride=1, or our own)"
        case _:
            return f"no tags, no click id, {_no_referrer(reading, referrer, policy)}"


def _tags(landing: Landing) -> str:
    source, medium = landing.utm.get("utm_source"), landing.utm.get("utm_medium")
    said = f"the link has tags ({', '.join(landing.utm)})"
    site = find_source(source) if source else None
    if site is not None:
        said += f"; utm_source {source} is known as {_article(site.kind)} site"
    elif source:
        said += f"; utm_source {source} is not a known site"
    elif landing.source:
        said += f"; utm_source is missing, so it is {landing.source}"
    if landing.medium != medium and landing.medium:
        said += f"; the medium is {landing.medium} because of the click id"
    return said


def _no_referrer(reading: Reading, referrer: str | None, policy: Policy) -> str:
    if not referrer:
        return "no referrer"
    host = referrer_host(referrer)
    if host is None:
        return "and the referrer is not a web address or app"
    site = find_host(host)
    if reading.landing.from_own_host:
        return f"and the referrer {host} is the site itself"
    if said_of(host, policy) == "excluded":
        return f"and the referrer {host} is one that the account excludes"
    if site is not None and site.kind == "excluded":
        return f"and the referrer {host} is a payment or sign-on site, no source"
    return f"and the referrer {host} is of the same business"


def _normalized(url: str, landing: Landing) -> Iterator[str]:
    """Say which tags are not as they were sent, or count as absent."""
    seen: set[str] = set()
    for name, raw in query_pairs(url) if "?" in url else []:
        if name not in TAGS:
            if name.startswith("utm_") and name != "utm_nooverride":
                yield f"{name[:_LONGEST]} is no tag that is read"
            continue
        value, kept = decode(raw), landing.utm.get(name)
        if name in seen:
            yield f"{name} is repeated, the first that says something counts"
        elif kept is None:
            yield f"{name} says nothing ({_short(value)})"
        elif value != kept:
            yield f"{name} {_short(value)} was read as {_short(kept)}"
        seen.add(name)


def _ignored(url: str, referrer: str | None, reading: Reading) -> Iterator[str]:
    """Say which evidence lost against better evidence."""
    landing = reading.landing
    if reading.basis == "tags":
        for row in rows_of(landing.click_ids):
            if not _used(row.platform, row.medium, landing):
                yield f"{row.name} changes nothing: the tags count"
    names = [name for name, _ in query_pairs(url)] if "?" in url else []
    if "srsltid" in names:
        yield "srsltid is ignored: it is on free listings and normal results, too"
    for name in dict.fromkeys(names):
        if name in PARAMETERS and name not in map(str.lower, landing.click_ids):
            yield f"{name} is empty or ignored"
    if referrer and reading.basis in ("tags", "click_id"):
        host = referrer_host(referrer)
        if host and landing.source != getattr(find_host(host), "name", None):
            yield f"the referrer {host} does not count beside that"


def _used(platform: str, medium: str, landing: Landing) -> bool:
    utm: Mapping[str, str] = landing.utm
    return (landing.medium == medium and utm.get("utm_medium") != medium) or (
        "utm_source" not in utm and landing.source == platform
    )


def _article(kind: str) -> str:
    words = {"excluded": "a payment or sign-on", "display": "an ad", "ai": "an AI"}
    return words.get(kind) or (f"an {kind}" if kind[0] in "aeiou" else f"a {kind}")


def _short(value: str) -> str:
    return repr(value if len(value) <= _LONGEST else value[:_LONGEST] + "...")
