"""Tables for people: what is shown adds up to the total that is shown."""

import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.cli.attribution.chosen_models import Fitted
from mbuzz.cli.attribution.earnings import Earnings
from mbuzz.cli.attribution.sample import Conversion, Sample
from mbuzz.cli.attribution.text_answer import lines
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.models import PRESETS

LINEAR = Fitted(model=PRESETS["linear"])
MILLIONTHS = st.integers(-(10**12), 10**12)


def shown(credits_, revenues, models=("linear",)):
    """Return the tables of what channels got, as if it were of one conversion."""
    earned = Earnings(fitted=LINEAR, credits=credits_, revenues=revenues)
    revenue = sum(revenues.values()) if revenues else None
    one = Conversion("1", Journey(("a",), (0,), 0, revenue), (0,), 1)
    sample = Sample(timed=True, lookback_ms=0, conversions=[one])
    return "\n".join(lines(sample, dict.fromkeys(models, earned)))


def amounts(text):
    cells = re.findall(r"(\S+)$", text.replace(",", ""), re.MULTILINE)
    return [Decimal(cell) for cell in cells if re.fullmatch(r"-?\d+\.\d\d", cell)]


@given(st.dictionaries(st.sampled_from("abcdef"), MILLIONTHS, min_size=1))
@settings(deadline=None)
def test_rows_add_up_to_the_total(revenues):
    text = shown(dict.fromkeys(revenues, 0), revenues).partition("Revenue")[2]

    *rows, total = amounts(text)

    exact = Decimal(sum(revenues.values())) / 10**6
    assert sum(rows) == total
    assert abs(total - exact) <= Decimal("0.005")
    for name in revenues:
        (row,) = re.findall(rf"^{name} +(\S+)$", text, re.MULTILINE)
        exact = Decimal(revenues[name]) / 10**6
        assert abs(Decimal(row.replace(",", "")) - exact) < Decimal("0.02")


def test_thirds_go_to_those_that_lost_most_and_of_equals_to_the_first():
    third = 333_333_333
    text = shown({"a": third + 1, "b": third, "c": third}, {})

    assert amounts(text) == [Decimal(n) for n in ("0.34", "0.33", "0.33", "1.00")]


@pytest.mark.parametrize(("columns", "tables"), [("200", 1), ("45", 2), ("10", 4)])
def test_models_that_do_not_fit_beside_each_other_follow(monkeypatch, columns, tables):
    monkeypatch.setenv("COLUMNS", columns)
    models = [f"model_number_{n}" for n in range(4)]

    text = shown({"a": 0}, {}, models)

    assert text.count("Conversions\n") == tables
    assert all(text.count(model) == 1 for model in models)
