"""The channel report: what each channel earned, under one model or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from mbuzz.server import money
from mbuzz.server.attribution.allocation import in_units
from mbuzz.server.attribution.weights import WHOLE
from mbuzz.server.model import CHANNELS, UNATTRIBUTED, Tenant, channel_label
from mbuzz.server.model_definitions import STANDARD, Models
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
    """All channels of a period, in one currency.

    A model is `incomplete` while it has not credited all of the conversions: it has
    yet to be trained, or its credit is being given anew.
    """

    period: Period
    currency: str
    other_currencies: Mapping[str, int]  # conversions that this report leaves out
    models: Sequence[str]
    labels: Mapping[str, str]  # of the models, for people
    incomplete: Sequence[str]
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
    known: Models = STANDARD,
    by_refund: bool = False,
) -> ChannelReport:
    """Return the report; no models named means all that credit conversions by now.

    Without a *currency* it is the default one, or, where nothing was earned in that,
    the one of most conversions. Amounts of different currencies are never added.
    Refunds are booked on the day of their sale, or *by_refund* on their own.

    Raises:
        ValueError: If a model is not one of *known*, the account's.
    """
    chosen = _chosen(models, known) or _credited(store, tenant, known)
    span = period.from_ms, period.to_ms
    currencies = dict(store.currencies(tenant, *span))
    if currency is None:
        currency = default_currency
        if currencies and currency not in currencies:
            currency = next(iter(currencies))
    totals = store.totals(tenant, *span, currency, by_refund=by_refund)
    crediting = set(store.crediting(tenant))
    sums: dict[str, dict[str, ChannelSum]] = {model: {} for model in chosen}
    for entry in store.channel_sums(
        tenant, *span, currency, chosen, by_refund=by_refund
    ):
        sums[entry.model][entry.channel] = entry
    return ChannelReport(
        period=period,
        currency=currency,
        other_currencies={k: v for k, v in currencies.items() if k != currency},
        models=chosen,
        labels={model: known.definitions[model].name for model in chosen},
        incomplete=[
            model
            for model in chosen
            if model in crediting
            or sum(one.credit for one in sums[model].values())
            != totals.conversions * WHOLE
        ],
        rows=_rows(sums, totals, currency),
        visits=sum(totals.visits.values()),
        visitors=totals.visitors,
        page_views=totals.page_views,
        conversions=totals.conversions,
        revenue_minor=totals.revenue_minor,
        refunds_minor=totals.refunds_minor,
        by_refund=by_refund,
    )


def _chosen(models: Sequence[str], known: Models) -> list[str]:
    """Return each of *models* once."""
    for name in models:
        if name not in known.definitions:
            choices = ", ".join(known.definitions)
            raise ValueError(f"model must be one of {choices}, got {name!r}")
    return list(dict.fromkeys(models))


def _credited(store: ReportStore, tenant: Tenant, known: Models) -> list[str]:
    """Return the models that have credits, or all that give them at once."""
    credited = set(store.credited_models(tenant))
    return [model for model in known.active if model in credited] or [
        model.key for model in known.rules
    ]


def _rows(
    sums: Mapping[str, Mapping[str, ChannelSum]], totals: Totals, currency: str
) -> list[ChannelRow]:
    """Return a row for each channel, by what it earned under the last model."""
    present = {*totals.visits, *chain.from_iterable(sums.values())}
    channels = sorted(present, key=lambda name: _ORDER.get(name, len(_ORDER)))
    shares = {model: _shares(channels, sums[model], currency) for model in sums}
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
    channels: Sequence[str], sums: Mapping[str, ChannelSum], currency: str
) -> dict[str, Share]:
    """Round a model's exact sums once, so that the rows add up to its totals."""
    of = [
        sums.get(name, ChannelSum(model="", channel=name, credit=0, revenue=0))
        for name in channels
    ]
    unit = money.unit(currency)
    counts = in_units([entry.credit for entry in of], WHOLE // 100)
    amounts = in_units([entry.revenue for entry in of], unit)
    refunds = in_units([max(0, -entry.refunds) for entry in of], unit)
    return {
        name: Share(conversions=count, revenue_minor=amount, refunds_minor=-refund)
        for name, count, amount, refund in zip(
            channels, counts, amounts, refunds, strict=True
        )
    }


def amount(report: ChannelReport, minor: int) -> str:
    """Return an amount of the report as decimal text."""
    return money.text(minor, report.currency)


def hundredths(count: int) -> str:
    """Return a count in hundredths as decimal text."""
    return f"{count // 100}.{count % 100:02d}"
