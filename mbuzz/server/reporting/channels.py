"""The channel report: what each channel earned, under one model or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from mbuzz.server import money
from mbuzz.server.attribution.allocation import allocate
from mbuzz.server.attribution.models import MODELS
from mbuzz.server.model import CHANNELS, UNATTRIBUTED, Tenant, channel_label
from mbuzz.server.reporting.period import Period
from mbuzz.server.storage.port import ReportStore
from mbuzz.server.storage.rows.reports import ChannelSum, Totals

_ORDER = {name: index for index, name in enumerate([*CHANNELS, UNATTRIBUTED])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A channel's part under one model; the parts shown add up to the total shown."""

    conversions: int  # in hundredths
    revenue_minor: int
    refunds_minor: int = 0  # 0 or less

    @property
    def net_minor(self) -> int:
        """Return what is left of the revenue."""
        return self.revenue_minor + self.refunds_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """One channel's visits, and its share under each model."""

    channel: str
    visits: int
    shares: Mapping[str, Share]

    @property
    def label(self) -> str:
        """Return the channel's name for people."""
        return channel_label(self.channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelReport:
    """All channels of a period, in one currency."""

    period: Period
    currency: str
    other_currencies: Mapping[str, int]  # conversions that this report leaves out
    models: Sequence[str]
    rows: Sequence[ChannelRow]
    visits: int
    visitors: int
    page_views: int
    conversions: int
    revenue_minor: int
    refunds_minor: int
    by_refund: bool  # refunds are those of the period, not of its conversions

    @property
    def net_minor(self) -> int:
        """Return what is left of the revenue."""
        return self.revenue_minor + self.refunds_minor


def channel_report(
    store: ReportStore,
    tenant: Tenant,
    period: Period,
    *,
    default_currency: str,
    currency: str | None = None,
    models: Sequence[str] = (),
    by_refund: bool = False,
) -> ChannelReport:
    """Return the report; no models named means all of them.

    Without a *currency* it is the default one, or, where nothing was earned in that,
    the one of most conversions. Amounts of different currencies are never added.
    Refunds are booked on the day of their sale, or *by_refund* on their own.

    Raises:
        ValueError: If a model is unknown.
    """
    chosen = _chosen(models)
    span = period.from_ms, period.to_ms
    currencies = dict(store.currencies(tenant, *span))
    if currency is None:
        currency = default_currency
        if currencies and currency not in currencies:
            currency = next(iter(currencies))
    totals = store.totals(tenant, *span, currency, by_refund=by_refund)
    sums: dict[str, dict[str, ChannelSum]] = {model: {} for model in chosen}
    for entry in store.channel_sums(tenant, *span, currency, by_refund=by_refund):
        if entry.model in sums:
            sums[entry.model][entry.channel] = entry
    return ChannelReport(
        period=period,
        currency=currency,
        other_currencies={k: v for k, v in currencies.items() if k != currency},
        models=chosen,
        rows=_rows(sums, totals),
        visits=sum(totals.visits.values()),
        visitors=totals.visitors,
        page_views=totals.page_views,
        conversions=totals.conversions,
        revenue_minor=totals.revenue_minor,
        refunds_minor=totals.refunds_minor,
        by_refund=by_refund,
    )


def _chosen(models: Sequence[str]) -> list[str]:
    """Return each of *models* once, or all that there are."""
    for name in models:
        if name not in MODELS:
            known = ", ".join(MODELS)
            raise ValueError(f"model must be one of {known}, got {name!r}")
    return list(dict.fromkeys(models)) or list(MODELS)


def _rows(
    sums: Mapping[str, Mapping[str, ChannelSum]], totals: Totals
) -> list[ChannelRow]:
    """Return a row for each channel, by what it earned under the last model."""
    present = {*totals.visits, *chain.from_iterable(sums.values())}
    channels = sorted(present, key=lambda name: _ORDER.get(name, len(_ORDER)))
    shares = {model: _shares(channels, sums[model], totals) for model in sums}
    rows = [
        ChannelRow(
            channel=channel,
            visits=totals.visits.get(channel, 0),
            shares={model: shares[model][channel] for model in sums},
        )
        for channel in channels
    ]
    last = [*sums][-1]
    rows.sort(
        key=lambda row: (
            -row.shares[last].net_minor,
            -row.shares[last].conversions,
            -row.visits,
        )
    )
    return rows


def _shares(
    channels: Sequence[str], sums: Mapping[str, ChannelSum], totals: Totals
) -> dict[str, Share]:
    """Round a model's exact sums once, so that the rows add up to the totals."""
    of = [
        sums.get(name, ChannelSum(model="", channel=name, credit=0, revenue=0))
        for name in channels
    ]
    counts = _round(totals.conversions * 100, [entry.credit for entry in of])
    amounts = _round(totals.revenue_minor, [entry.revenue for entry in of])
    refunds = _round(totals.refunds_minor, [max(0, -entry.refunds) for entry in of])
    return {
        name: Share(conversions=count, revenue_minor=amount, refunds_minor=refund)
        for name, count, amount, refund in zip(
            channels, counts, amounts, refunds, strict=True
        )
    }


def _round(total: int, parts: Sequence[int]) -> Sequence[int]:
    return allocate(total, parts) if any(parts) else [0] * len(parts)


def amount(report: ChannelReport, minor: int) -> str:
    """Return an amount of the report as decimal text."""
    return money.text(minor, report.currency)


def hundredths(count: int) -> str:
    """Return a count in hundredths as decimal text."""
    return f"{count // 100}.{count % 100:02d}"
