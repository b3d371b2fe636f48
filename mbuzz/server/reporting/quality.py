"""Data quality: what in a period's data deserves a look, and how much of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from mbuzz.server.model import Tenant
from mbuzz.server.reporting.period import Period
from mbuzz.server.storage.port import ReportStore
from mbuzz.server.storage.rows.reports import QualityRows
from mbuzz.server.tracking.hosts import normalize_host, split_origin
from mbuzz.server.tracking.referrers import read_referrer

_ENOUGH: Final = 50  # visits before a share says anything
_HIGH_DIRECT: Final = 60  # percent of visits
_JUMP: Final = 3  # times as many visits of a visitor as on other days
_EXAMPLES: Final = 10
# Letters that people write or leave out: google-ads, google_ads, Google Ads.
_LOOSE: Final = str.maketrans("", "", "-_. ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One flag, how often it was set, and some of what it is about."""

    flag: str
    count: int
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """A period's findings, and the shares that tell a good day from a bad one."""

    period: Period
    visits: int
    events: int
    bot_percent: int
    one_event_percent: int
    direct_percent: int
    visitors_per_1000_visits: int
    findings: Sequence[Finding]


def data_quality(store: ReportStore, tenant: Tenant, period: Period) -> Quality:
    """Return what deserves a look, the most frequent first."""
    rows = store.quality(tenant, period.from_ms, period.to_ms)
    findings = sorted(_findings(rows), key=lambda one: (-one.count, one.flag))
    return Quality(
        period=period,
        visits=rows.visits,
        events=rows.events,
        bot_percent=_percent(rows.bots, rows.events),
        one_event_percent=_percent(rows.of_one_event, rows.visits),
        direct_percent=_percent(rows.direct, rows.visits),
        visitors_per_1000_visits=rows.visitors * 1000 // max(rows.visits, 1),
        findings=findings,
    )


def _percent(part: int, whole: int) -> int:
    return round(100 * part / whole) if whole else 0


def _findings(rows: QualityRows) -> Iterator[Finding]:
    of_visits, of_events = _by_flag(rows.flags), _by_flag(rows.event_flags)
    of_conversions = _by_flag(rows.conversion_flags)
    for flag in of_visits.keys() | of_events.keys() | of_conversions.keys():
        # An event's flags are its visit's as well, if it began it.
        count = max(of_visits[flag], of_events[flag]) + of_conversions[flag]
        yield Finding(flag=flag, count=count)
    if rows.bots:
        yield Finding(flag="bot", count=rows.bots)
    if rows.relinked:
        yield Finding(flag="visitor_relinked", count=rows.relinked)
    yield from _of_the_whole(rows)
    yield from _case_variants(rows.sources)
    yield from _self_referrals(rows.passed_through)
    yield from _inflation(rows.days)


def _by_flag(flags: Mapping[str, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for names, count in flags.items():
        for name in names.split():
            found[name] += count
    return found


def _of_the_whole(rows: QualityRows) -> Iterator[Finding]:
    if rows.visits >= _ENOUGH:
        if rows.direct * 100 > rows.visits * _HIGH_DIRECT:
            yield Finding(flag="direct_share_high", count=rows.direct)
        if rows.with_referrer == 0:
            yield Finding(flag="no_referrer_ever", count=rows.visits)
    if rows.events and not rows.pages:
        yield Finding(flag="no_url", count=rows.events)


def _case_variants(sources: Mapping[str, int]) -> Iterator[Finding]:
    alike: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        alike[source.casefold().removeprefix("www.").translate(_LOOSE)].append(source)
    groups = [names for names in alike.values() if len(names) > 1]
    if groups:
        count = sum(sources[name] for names in groups for name in names)
        examples = [", ".join(sorted(names)) for names in groups[:_EXAMPLES]]
        yield Finding(flag="case_variants", count=count, examples=examples)


def _self_referrals(passed: Mapping[tuple[str, str], int]) -> Iterator[Finding]:
    """Find sites in the middle of visits: those of payment and sign-on, probably."""
    hosts: Counter[str] = Counter()
    for (referrer, landing_url), count in passed.items():
        origin = split_origin(landing_url)
        site = normalize_host(origin[1]) if origin else None
        came_from = read_referrer(referrer, site)
        if came_from and came_from.site and came_from.site.kind == "referral":
            hosts[came_from.site.name] += count
    if hosts:
        yield Finding(
            flag="self_referral_unlisted",
            count=hosts.total(),
            examples=[name for name, _ in hosts.most_common(_EXAMPLES)],
        )


def _inflation(days: Sequence[tuple[int, int, int]]) -> Iterator[Finding]:
    """Find days with many more visits of each visitor than there were before."""
    jumps = 0
    earlier: list[float] = []
    for _, visits, visitors in days:
        rate = visits / visitors
        if visits >= _ENOUGH and earlier and rate >= _JUMP * median(earlier):
            jumps += 1
        else:
            earlier.append(rate)
    if jumps:
        yield Finding(flag="session_inflation", count=jumps)
