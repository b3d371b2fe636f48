"""Export: the report as plain values and as CSV."""

import csv
import io
import json
from decimal import Decimal

import pytest

from mbuzz.server.reporting.export import report_as_csv, report_as_dict


@pytest.fixture
def sold(shop):
    shop.sell(10_000, "USD", ["paid_search", "email", "display"])
    shop.sell(1, "USD", ["paid_search", "email", "display"])
    shop.sell(5, "EUR", ["direct"])
    return shop


def test_plain_values_are_json_and_add_up(sold):
    value = json.loads(json.dumps(report_as_dict(sold.report())))

    assert value["period"] == {
        "from": "2025-11-01",
        "to": "2025-11-30",
        "timezone": "UTC",
    }
    assert value["other_currencies"] == {"EUR": 1}
    assert value["totals"] == {
        "visits": 7,
        "visitors": 3,
        "page_views": 7,
        "conversions": 2,
        "revenue": "100.01",
        "refunds": "0.00",
        "net_revenue": "100.01",
    }
    for model in value["models"]:
        shares = [row["credits"][model] for row in value["rows"]]
        assert sum(Decimal(share["revenue"]) for share in shares) == Decimal("100.01")
        assert sum(Decimal(share["conversions"]) for share in shares) == 2


def test_csv_is_a_table_with_a_line_of_totals(sold):
    text = report_as_csv(sold.report(models=["first_touch", "linear"]))

    assert text.endswith("\r\n")
    heads, *rows, total = csv.reader(io.StringIO(text))
    assert heads == [
        "channel",
        "visits",
        "first_touch conversions",
        "first_touch revenue",
        "linear conversions",
        "linear revenue",
        "currency",
        "first_touch refunds",
        "first_touch net revenue",
        "linear refunds",
        "linear net revenue",
    ]
    earned = ["2.00", "100.01", "2.00", "100.01"]
    assert total == ["total", "7", *earned, "USD", *["0.00", "100.01"] * 2]
    for column in [1, 2, 3, 4, 5, 7, 8, 9, 10]:
        cells = sum(Decimal(row[column]) for row in rows)
        assert cells == Decimal(total[column])


def test_CV10_refunds_add_up_in_json_and_csv(sold):
    sold.refund(1, 3_333)
    report = sold.report()

    value = report_as_dict(report)
    heads, *rows, total = csv.reader(io.StringIO(report_as_csv(report)))

    assert value["totals"]["refunds"] == "-33.33"
    assert value["totals"]["net_revenue"] == "66.68"
    for model in value["models"]:
        shares = [row["credits"][model] for row in value["rows"]]
        assert sum(Decimal(share["refunds"]) for share in shares) == Decimal("-33.33")
        assert sum(Decimal(share["net_revenue"]) for share in shares) == Decimal(
            "66.68"
        )
        column = heads.index(f"{model} net revenue")
        assert sum(Decimal(row[column]) for row in rows) == Decimal(total[column])


def test_csv_of_nothing_has_heads_and_totals(shop):
    report = shop.report(models=["first_touch", "last_touch", "linear"])

    heads, total = csv.reader(io.StringIO(report_as_csv(report)))

    assert heads[0] == "channel"
    assert total == ["total", "0", *["0.00"] * 6, "USD", *["0.00"] * 6]
