"""The report page: which channels brought the conversions, by some models at once."""

from __future__ import annotations

from collections.abc import Iterator

from mbuzz.server.dashboard import format as shown
from mbuzz.server.dashboard.channel_table import channel_table
from mbuzz.server.dashboard.getting_started import conversion_code, getting_started
from mbuzz.server.dashboard.header import header
from mbuzz.server.dashboard.html import Html, fill
from mbuzz.server.dashboard.layout import document
from mbuzz.server.dashboard.login import Visit
from mbuzz.server.dashboard.report_query import QUICK_PERIODS, Found
from mbuzz.server.reporting.channels import ChannelReport


def channel_page(visit: Visit, found: Found, server: str) -> str:
    """Return the page; *server* is this server's address as the browser knows it."""
    account = visit.user.account
    if not found.has_events and found.problem is None:
        content = getting_started(server=server, live=found.live)
    else:
        content = fill(
            "{controls}{results}",
            controls=_controls(found),
            results=_results(found, found.report) if found.report else None,
        )
    body = fill(
        """<a class="skip" href="#report">Skip to the report</a>
{header}
<main id="report">
<div class="title"><h1>Channels</h1>{days}</div>
{content}
</main>""",
        header=_header(visit, found),
        days=_days(found.report) if found.report and found.has_events else None,
        content=content,
    )
    return document(f"Channels · {account.name}", body)


def _header(visit: Visit, found: Found) -> Html:
    choice = fill(
        '<nav class="choice" aria-label="Data">{environments}</nav>',
        environments=(
            _choice(
                found.asked.in_environment(live=live).path,
                "Live" if live else "Test",
                current=found.live is live,
            )
            for live in (True, False)
        ),
    )
    return header(visit, choice)


def _choice(path: str, label: str, *, current: bool) -> Html:
    mark = fill(' aria-current="true"') if current else None
    return fill('<a href="{path}"{mark}>{label}</a>', path=path, mark=mark, label=label)


def _days(report: ChannelReport) -> Html:
    period = report.period
    return fill(
        '<p class="days">{days} <span class="zone">{zone}</span></p>',
        days=shown.days(period.first, period.last),
        zone=period.timezone,
    )


def _controls(found: Found) -> Html:
    asked, report = found.asked, found.report
    if report is not None:
        period = report.period
        first, last = period.first.isoformat(), period.last.isoformat()
    else:
        first, last = asked.first, asked.last
    return fill(
        """<form class="controls" method="get" action="/">
{environment}{models}
<p class="field"><label for="from">From</label>
<input id="from" name="from" type="date" value="{first}"{invalid}></p>
<p class="field"><label for="to">To</label>
<input id="to" name="to" type="date" value="{last}"{invalid}></p>
{currency}
<p><button type="submit">Show</button></p>
<nav class="choice" aria-label="Periods">{quick}</nav>
</form>
{problem}""",
        environment=fill(
            '<input type="hidden" name="env" value="{name}">', name=asked.environment
        )
        if asked.environment
        else None,
        models=fill(
            '<input type="hidden" name="models" value="{names}">',
            names=",".join(asked.models),
        )
        if asked.models
        else None,
        first=first,
        last=last,
        invalid=fill(' aria-invalid="true" aria-describedby="problem"')
        if found.problem
        else None,
        currency=_currency_field(report) if report else None,
        quick=_quick_periods(found),
        problem=fill(
            '<p class="problem" id="problem" role="alert">{text}.</p>',
            text=found.problem[:1].upper() + found.problem[1:],
        )
        if found.problem
        else None,
    )


def _quick_periods(found: Found) -> Iterator[Html]:
    period = found.report.period if found.report else None
    for days in QUICK_PERIODS:
        first, last = found.quick_period(days)
        yield _choice(
            found.asked.in_period(first, last).path,
            f"{days} days",
            current=period is not None and (period.first, period.last) == (first, last),
        )


def _currency_field(report: ChannelReport) -> Html | None:
    if not report.other_currencies:
        return None
    return fill(
        '<p class="field"><label for="currency">Currency</label>'
        '<select id="currency" name="currency">{options}</select></p>',
        options=(
            fill(
                "<option{mark}>{code}</option>",
                mark=fill(" selected") if code == report.currency else None,
                code=code,
            )
            for code in sorted([report.currency, *report.other_currencies])
        ),
    )


def _results(found: Found, report: ChannelReport) -> Html:
    return fill(
        "{tiles}{notes}{models}{table}{hint}{words}",
        tiles=_tiles(report),
        notes=filter(
            None, [_refunds(report), _other_currencies(report), *_incomplete(report)]
        ),
        models=_models(found, report) if report.rows else None,
        table=channel_table(report) if report.rows else _nothing(found),
        hint=_no_conversions(report),
        words=_words() if report.rows else None,
    )


def _tiles(report: ChannelReport) -> Html:
    revenue = shown.amount(report.net_minor, report.currency)
    tiles = [
        ("Revenue", revenue, report.currency),
        ("Conversions", shown.whole(report.conversions), ""),
        ("Visits", shown.whole(report.visits), ""),
        ("Visitors", shown.whole(report.visitors), ""),
        ("Page views", shown.whole(report.page_views), ""),
    ]
    return fill(
        '<dl class="tiles">{tiles}</dl>',
        tiles=(
            fill(
                '<div><dt>{label}</dt><dd>{number} <span class="unit">{unit}</span>'
                "</dd></div>",
                label=label,
                number=number,
                unit=unit,
            )
            for label, number, unit in tiles
        ),
    )


def _other_currencies(report: ChannelReport) -> Html | None:
    if not report.other_currencies:
        return None
    others = ", ".join(
        f"{shown.whole(count)} in {code}"
        for code, count in report.other_currencies.items()
    )
    return fill(
        '<p class="note">Conversions in {currency} only. Left out: {others}; '
        "amounts of different currencies are never added up.</p>",
        currency=report.currency,
        others=others,
    )


def _refunds(report: ChannelReport) -> Html | None:
    if not report.refunds_minor:
        return None
    return fill(
        '<p class="note">Revenue is what is left of {gross} {currency} after {refunds} '
        "{currency} of refunds, each booked on the day of its sale.</p>",
        gross=shown.amount(report.revenue_minor, report.currency),
        refunds=shown.amount(-report.refunds_minor, report.currency),
        currency=report.currency,
    )


def _models(found: Found, report: ChannelReport) -> Html:
    """Return links that add a model to the table, or take it out."""
    links = []
    for key in found.models.active:
        shown_now = key in report.models
        if shown_now and len(report.models) == 1:
            asked = found.asked
        elif shown_now:
            asked = found.asked.without_model(key)
        else:
            asked = found.asked.with_model(key)
        name = found.models.definitions[key].name
        links.append(_choice(asked.path, name, current=shown_now))
    return fill(
        '<nav class="choice models" aria-label="Models">{links}</nav>', links=links
    )


def _incomplete(report: ChannelReport) -> Iterator[Html]:
    for model in report.incomplete:
        yield fill(
            '<p class="note">{model} has not credited all of these conversions yet: it '
            "is being trained, or its credit is being given anew.</p>",
            model=report.labels[model],
        )


def _nothing(found: Found) -> Html:
    days = QUICK_PERIODS[-1]
    return fill(
        '<p class="nothing">No visits and no conversions in these days. '
        '<a href="{path}">Show the last {days} days</a></p>',
        path=found.asked.in_period(*found.quick_period(days)).path,
        days=days,
    )


def _no_conversions(report: ChannelReport) -> Html | None:
    if report.conversions or not report.rows:
        return None
    return fill(
        '<section class="start"><h2>No conversions in these days</h2>'
        "<p>Record one where an order, a sign-up or another goal is reached:</p>"
        "{code}</section>",
        code=conversion_code(),
    )


def _words() -> Html:
    return fill(
        """<details>
<summary>What the numbers mean</summary>
<dl class="words">
<div><dt>Visit</dt><dd>What one visitor does until a pause of 30 minutes, or until they
come back from elsewhere; its channel is where it came from.</dd></div>
<div><dt>Visitor</dt><dd>A browser, known by its cookie; a person with two browsers is
two visitors.</dd></div>
<div><dt>Conversion</dt><dd>A goal that was reached, such as an order or a sign-up.
</dd></div>
<div><dt>Revenue</dt><dd>What the conversions of the period earned, less
what of it was refunded.</dd></div>
<div><dt>Credit</dt><dd>The part of a conversion that a model gives to a channel; each
model gives away exactly all of it.</dd></div>
</dl>
</details>"""
    )
