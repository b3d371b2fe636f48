"""`mbuzz report`: the reports, in the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from mbuzz.cli.console import CliError, add_api_arguments, call_api, table

_MODELS = ["first_touch", "last_touch", "linear"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "report", help="show a report", description="Show a report of the backend."
    )
    reports = parser.add_subparsers(dest="report", metavar="REPORT", required=True)
    channels = reports.add_parser(
        "channels",
        help="what each channel earned",
        description="Show what each channel earned, under one model or several.",
    )
    channels.add_argument(
        "--model",
        action="append",
        metavar="MODEL",
        help="attribution model, may be repeated, or `all` "
        f"(default: {', '.join(_MODELS)})",
    )
    channels.add_argument("--from", dest="first", metavar="DATE", help="first day")
    channels.add_argument("--to", dest="last", metavar="DATE", help="last day")
    channels.add_argument("--currency", metavar="CODE", help="such as USD")
    channels.add_argument("--format", choices=["table", "csv", "json"], default="table")
    add_api_arguments(channels)
    channels.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch the report and print it."""
    query = {
        "model": ",".join(_chosen(args.model or _MODELS)),
        "from": args.first,
        "to": args.last,
        "currency": args.currency,
    }
    text = urlencode({name: value for name, value in query.items() if value})
    path = f"/reports/channels?{text}" if text else "/reports/channels"
    accept = "text/csv" if args.format == "csv" else "application/json"
    body = call_api(args, path, accept)
    if args.format != "table":
        sys.stdout.write(body.decode())
        return 0
    try:
        print(render(json.loads(body)))
    except (ValueError, KeyError, TypeError):
        raise CliError(
            "the answer is not an mbuzz backend's; check --api-url"
        ) from None
    return 0


def render(report: Mapping[str, Any]) -> str:
    """Return a channel report as text, models side by side."""
    models: Sequence[str] = report["models"]
    labels = report.get("model_labels", {})
    currency = report["currency"]
    heads = ["channel", "visits"]
    for model in models:
        heads += [labels.get(model, model).lower(), currency]
    rows = [
        [
            row["label"],
            f"{row['visits']:,}",
            *(
                cell
                for model in models
                for cell in (
                    row["credits"][model]["conversions"],
                    grouped(_net(row["credits"][model])),
                )
            ),
        ]
        for row in report["rows"]
    ]
    totals = report["totals"]
    sums = (cell for model in models for cell in _sums(report, model))
    rows.append(["Total", f"{totals['visits']:,}", *sums])
    period = report["period"]
    days = f"{period['from']} to {period['to']} ({period['timezone']})"
    lines = [
        f"What the channels earned, {days}",
        "",
        table(heads, rows, foot=True),
    ]
    refunds = totals.get("refunds", "0").removeprefix("-")
    if refunds.strip("0."):
        gross = grouped(totals["revenue"])
        given = grouped(refunds)
        lines.append(f"\nAmounts are what is left of {gross} after refunds of {given}.")
    lines += [
        f"\n{labels[model]} has not credited all conversions yet."
        for model in report.get("incomplete_models", ())
    ]
    for code, count in report["other_currencies"].items():
        lines.append(f"\n{count} conversions in {code} are not in this table:")
        lines.append(f"  mbuzz report channels --currency {code}")
    return "\n".join(lines)


def _chosen(models: Sequence[str]) -> Sequence[str]:
    """Return the models to ask for; none are all."""
    return [] if "all" in models else models


def _sums(report: Mapping[str, Any], model: str) -> tuple[str, str]:
    """Return what the rows of a model add up to."""
    shares = [row["credits"][model] for row in report["rows"]]
    count = sum((Decimal(share["conversions"]) for share in shares), Decimal(0))
    net = sum((Decimal(_net(share)) for share in shares), Decimal(0))
    return f"{count:,.2f}", grouped(str(net))


def _net(amounts: Mapping[str, str]) -> str:
    """Return the revenue less refunds; an older server knows of none."""
    return amounts.get("net_revenue", amounts["revenue"])


def grouped(amount: str) -> str:
    """Return decimal text with its thousands set off."""
    whole, dot, cents = amount.partition(".")
    return f"{int(whole):,}{dot}{cents}"
