"""Reports for programs: plain values for JSON, text for CSV."""

from __future__ import annotations

import csv
import io

from mbuzz.server.reporting.channels import ChannelReport, amount, hundredths
from mbuzz.server.reporting.period import Period
from mbuzz.server.reporting.quality import Quality


def quality_as_dict(quality: Quality) -> dict[str, object]:
    """Return what is known of the data's quality as plain values."""
    return {
        "period": _period(quality.period),
        "visits": quality.visits,
        "events": quality.events,
        "bot_percent": quality.bot_percent,
        "one_event_percent": quality.one_event_percent,
        "direct_percent": quality.direct_percent,
        "visitors_per_1000_visits": quality.visitors_per_1000_visits,
        "findings": [
            {"flag": one.flag, "count": one.count, "examples": list(one.examples)}
            for one in quality.findings
        ],
    }


def _period(period: Period) -> dict[str, str]:
    return {
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "timezone": period.timezone,
    }


def report_as_dict(report: ChannelReport) -> dict[str, object]:
    """Return a channel report as plain values; amounts and shares are decimal text."""
    return {
        "period": _period(report.period),
        "currency": report.currency,
        "other_currencies": dict(report.other_currencies),
        "models": list(report.models),
        "rows": [
            {
                "channel": row.channel,
                "label": row.label,
                "visits": row.visits,
                "credits": {
                    model: {
                        "conversions": hundredths(share.conversions),
                        "revenue": amount(report, share.revenue_minor),
                    }
                    for model, share in row.shares.items()
                },
            }
            for row in report.rows
        ],
        "totals": {
            "visits": report.visits,
            "visitors": report.visitors,
            "page_views": report.page_views,
            "conversions": report.conversions,
            "revenue": amount(report, report.revenue_minor),
        },
    }


def report_as_csv(report: ChannelReport) -> str:
    """Return a channel report as CSV with a line of totals."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    columns = [
        f"{m} {what}" for m in report.models for what in ("conversions", "revenue")
    ]
    writer.writerow(["channel", "visits", *columns, "currency"])
    for row in report.rows:
        cells = []
        for model in report.models:
            share = row.shares[model]
            cells += [
                hundredths(share.conversions),
                amount(report, share.revenue_minor),
            ]
        writer.writerow([row.channel, row.visits, *cells, report.currency])
    total = [hundredths(report.conversions * 100), amount(report, report.revenue_minor)]
    writer.writerow(
        ["total", report.visits, *(total * len(report.models)), report.currency]
    )
    return out.getvalue()
