"""Reports for programs: plain values for JSON, text for CSV."""

from __future__ import annotations

import csv
import io

from mbuzz.server.reporting.channels import ChannelReport, Share, amount, hundredths
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
        "model_labels": dict(report.labels),
        "incomplete_models": list(report.incomplete),
        "refunds_booked_on": "refund" if report.by_refund else "conversion",
        "rows": [
            {
                "channel": row.channel,
                "label": row.label,
                "visits": row.visits,
                "credits": {
                    model: {
                        "conversions": hundredths(share.conversions),
                        "revenue": amount(report, share.revenue_minor),
                        "refunds": amount(report, share.refunds_minor),
                        "net_revenue": amount(report, share.net_minor),
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
            "refunds": amount(report, report.refunds_minor),
            "net_revenue": amount(report, report.net_minor),
        },
    }


def report_as_csv(report: ChannelReport) -> str:
    """Return a channel report as CSV with a line of totals.

    Columns of refunds stand last, so that those before keep their places.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    models = report.models
    earned = [f"{m} {what}" for m in models for what in ("conversions", "revenue")]
    left = [f"{m} {what}" for m in models for what in ("refunds", "net revenue")]
    writer.writerow(["channel", "visits", *earned, "currency", *left])
    whole = Share(
        conversions=report.conversions * 100,
        revenue_minor=report.revenue_minor,
        refunds_minor=report.refunds_minor,
    )
    lines = [(row.channel, row.visits, row.shares) for row in report.rows]
    lines.append(("total", report.visits, dict.fromkeys(models, whole)))
    for name, visits, shares in lines:
        earned, left = [], []
        for model in models:
            share = shares[model]
            earned += [
                hundredths(share.conversions),
                amount(report, share.revenue_minor),
            ]
            left += [
                amount(report, share.refunds_minor),
                amount(report, share.net_minor),
            ]
        writer.writerow([name, visits, *earned, report.currency, *left])
    return out.getvalue()
