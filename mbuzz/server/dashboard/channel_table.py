"""The table of the report: channels down, attribution models across."""

from __future__ import annotations

from collections.abc import Iterator

from mbuzz.server.attribution.journeys import LOOKBACK_DAYS
from mbuzz.server.dashboard import format as shown
from mbuzz.server.dashboard.html import Html, fill
from mbuzz.server.model import UNATTRIBUTED
from mbuzz.server.reporting.channels import ChannelReport, ChannelRow, Share

_EXPLANATIONS = {
    "first_touch": "gives a conversion to the visit that began its journey.",
    "last_touch": "gives it to the latest visit before it, direct visits included.",
    "last_non_direct": "gives it to the latest visit that was not direct, if any.",
    "linear": "shares it equally among all visits of the journey.",
    "time_decay": "gives a visit half as much for every 7 days before the last one.",
    "u_shaped": "gives 40 % to the first, 40 % to the last, 20 % to those between.",
    "w_shaped": "gives 30 % to the first, to the one before an event `mql` and to the"
    " last, 10 % to the others.",
    "z_shaped": "gives 22.5 % to the first, to those before `mql` and `sql` and to the"
    " last, 10 % to the others.",
    "markov": "asks how many conversions would be lost without the channel.",
    "shapley": "asks how much more often journeys with the channel convert.",
    "algorithmic": "asks by how much the channel raises the odds of a conversion.",
}
_BAR = 4  # height; a width of 100 is the largest share in the table


def channel_table(report: ChannelReport) -> Html:
    """Return the table and what explains it; its totals are the sums of its rows."""
    return fill(
        """<div class="scroll" role="region" aria-labelledby="channels" tabindex="0">
<table>
<caption id="channels"><span>Conversions and revenue in {currency}, as each model
shares them among the channels</span></caption>
<colgroup><col><col></colgroup>{groups}<colgroup><col></colgroup>
<thead>
<tr><th scope="col" rowspan="2">Channel</th>
<th scope="col" rowspan="2" class="number">Visits</th>{models}
<th scope="col" rowspan="2" class="bars">Share of {basis}</th></tr>
<tr>{columns}</tr>
</thead>
<tbody>
{rows}</tbody>
<tfoot>{totals}</tfoot>
</table>
</div>
{explanations}""",
        currency=report.currency,
        groups=(fill('<colgroup span="2"></colgroup>') for _ in report.models),
        models=_model_headings(report),
        basis="revenue" if report.net_minor else "conversions",
        columns=(
            fill(
                '<th scope="col" class="number group">Conversions</th>'
                '<th scope="col" class="number">Revenue</th>'
            )
            for _ in report.models
        ),
        rows=(_row(report, row) for row in report.rows),
        totals=_totals(report),
        explanations=_explanations(report),
    )


def _model_headings(report: ChannelReport) -> Iterator[Html]:
    for index, model in enumerate(report.models):
        yield fill(
            '<th scope="colgroup" colspan="2" class="group">{swatch}{label}</th>',
            swatch=_swatch(index),
            label=report.labels[model],
        )


def _row(report: ChannelReport, row: ChannelRow) -> Html:
    cells = []
    for model in report.models:
        share = row.shares[model]
        cells.append(
            fill(
                '<td class="number group">{conversions}</td>'
                '<td class="number">{revenue} <span class="share">{part}</span></td>',
                conversions=_conversions(report, model, share.conversions),
                revenue=shown.amount(share.net_minor, report.currency),
                part=shown.percentage(share.net_minor, report.net_minor),
            )
        )
    return fill(
        '<tr><th scope="row">{label}</th><td class="number">{visits}</td>{cells}'
        '<td class="bars">{bars}</td></tr>\n',
        label=row.label,
        visits=shown.whole(row.visits),
        cells=cells,
        bars=_bars(report, row),
    )


def _totals(report: ChannelReport) -> Html:
    """Add up what the rows show, so that nobody finds another sum by hand."""
    cells = []
    for model in report.models:
        shares = [row.shares[model] for row in report.rows]
        cells.append(
            fill(
                '<td class="number group">{conversions}</td>'
                '<td class="number">{revenue}</td>',
                conversions=_conversions(
                    report, model, sum(share.conversions for share in shares)
                ),
                revenue=shown.amount(
                    sum(share.net_minor for share in shares), report.currency
                ),
            )
        )
    return fill(
        '<tr><th scope="row">Total</th><td class="number">{visits}</td>{cells}'
        "<td></td></tr>",
        visits=shown.whole(sum(row.visits for row in report.rows)),
        cells=cells,
    )


def _conversions(report: ChannelReport, model: str, count: int) -> str:
    """Return a count; a column has decimals as soon as one of its rows needs them."""
    decimals = any(row.shares[model].conversions % 100 for row in report.rows)
    return shown.hundredths(count, decimals=decimals)


def _part(report: ChannelReport, share: Share) -> int:
    """Return what shares are of: revenue, or conversions where nothing was earned."""
    return share.net_minor if report.net_minor else share.conversions


def _bars(report: ChannelReport, row: ChannelRow) -> Html:
    total = report.net_minor or report.conversions * 100
    longest = max(_part(report, s) for r in report.rows for s in r.shares.values())
    bars, words = [], []
    for index, model in enumerate(report.models):
        part = _part(report, row.shares[model])
        words.append(f"{report.labels[model]} {shown.percentage(part, total)}")
        bars.append(
            fill(
                '<rect class="{name}" y="{y}" width="{width}" height="{height}"/>',
                name=f"model-{index}",
                y=index * (_BAR + 1),
                width=f"{100 * part / longest:.2f}" if longest else "0",
                height=_BAR,
            )
        )
    return fill(
        '<svg role="img" viewBox="0 0 100 {height}" preserveAspectRatio="none">'
        "<title>{words}</title>{bars}</svg>",
        height=len(report.models) * (_BAR + 1) - 1,
        words=", ".join(words),
        bars=bars,
    )


def _swatch(index: int) -> Html:
    return fill(
        '<svg class="swatch" viewBox="0 0 8 8" aria-hidden="true">'
        '<rect class="{name}" width="8" height="8" rx="2"/></svg>',
        name=f"model-{index}",
    )


def _explanations(report: ChannelReport) -> Html:
    shown_unattributed = any(row.channel == UNATTRIBUTED for row in report.rows)
    return fill(
        """<div class="explained"><ul>{models}</ul>
<p>A journey is the visits of one person in the {days} days before a conversion.
{unattributed}</p></div>""",
        days=LOOKBACK_DAYS,
        models=(
            fill(
                "<li>{swatch}<b>{label}</b> {text}</li>",
                swatch=_swatch(index),
                label=report.labels[model],
                text=_EXPLANATIONS.get(model, "is a model of this account's own."),
            )
            for index, model in enumerate(report.models)
        ),
        unattributed="Unattributed are conversions without any visit before them."
        if shown_unattributed
        else None,
    )
