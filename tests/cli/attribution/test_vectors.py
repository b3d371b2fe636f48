"""The command gives the figures that other implementations give for the same files."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from tests.server.attribution.journey_worlds import RECORDS

OWN = Path(__file__).parent / "vectors"
EDGE_CASES = json.loads((OWN / "edge_cases.json").read_text("utf-8"))
RULE_TOTALS = json.loads((OWN / "rule_totals.json").read_text("utf-8"))
LEARNED = json.loads(
    (
        Path(__file__).parents[2]
        / "server"
        / "attribution"
        / "vectors"
        / "data_driven.json"
    ).read_text("utf-8")
)
TABLES = {table["name"]: table for table in LEARNED["tables"]}
WORLDS = {world["name"]: world for world in LEARNED["worlds"]}
RULES = list(EDGE_CASES[0]["credits"])


def write_lines(path, records):
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    return path


def write_table(path, rows):
    lines = ["path,conversions,value,null"]
    lines += [
        f"{' > '.join(row['path'])},{row['conversions']},{row['revenue']},{row['null']}"
        for row in rows
    ]
    path.write_text("\n".join(lines), "utf-8")
    return path


def answer(mbuzz, *argv):
    exit_code, out, _ = mbuzz("attribute", *argv, "--json")
    assert exit_code == 0
    return json.loads(out)


def assert_near(found, wanted, tolerance):
    for channel, value in wanted.items():
        assert abs(Fraction(found[channel]) - Fraction(str(value))) < tolerance, channel


@pytest.mark.parametrize("days", [90, 30, None])
def test_credits_of_the_edge_cases(mbuzz, tmp_path, days):
    cases = [case for case in EDGE_CASES if case["lookback_days"] == days]
    keys = "id touches converted_at revenue mql_at sql_at".split()
    file = write_lines(
        tmp_path / "journeys.jsonl",
        [{key: case[key] for key in keys} for case in cases],
    )

    found = answer(mbuzz, file, "--lookback", days or "none", "--credits")

    assert found["conversions"] == len(cases)
    for case in cases:
        for rule in RULES:
            credits_ = [Decimal(c) for c in found["credits"][rule][str(case["id"])]]
            wanted = dict.fromkeys(range(len(case["touches"])), 0.0)
            wanted |= zip(case["eligible"], case["credits"].get(rule, []), strict=True)
            assert sum(credits_) == bool(case["eligible"]), case["name"]
            assert [float(c) for c in credits_] == pytest.approx(
                list(wanted.values()), abs=1e-8
            ), case["name"]


def test_conversions_without_an_eligible_touch_have_a_row(mbuzz, tmp_path):
    cases = [case for case in EDGE_CASES if not case["eligible"]]
    keys = "id touches converted_at revenue".split()
    file = write_lines(
        tmp_path / "journeys.jsonl",
        [{key: case[key] for key in keys} for case in cases],
    )

    found = answer(mbuzz, file, "--model", "linear")["models"]["linear"]

    assert found["conversions"].pop("(unattributed)") == len(cases)
    assert set(found["conversions"].values()) == {0.0}


@pytest.mark.parametrize("name", TABLES)
def test_totals_of_tables_of_paths(mbuzz, tmp_path, name):
    file = write_table(tmp_path / "paths.csv", TABLES[name]["paths"])
    wanted = {**RULE_TOTALS[name], **TABLES[name]["expected"]}

    found = answer(mbuzz, file)["models"]

    assert "time_decay" not in found
    for model in wanted.keys() & found.keys():
        assert_near(found[model]["conversions"], wanted[model]["conversions"], 1e-5)
        assert_near(found[model]["revenue"], wanted[model]["revenue"], 0.01)
    for order in range(1, 4):
        assert_markov(mbuzz, file, order, wanted[f"markov_order{order}"])


@pytest.mark.parametrize("name", WORLDS)
def test_totals_of_worlds(mbuzz, tmp_path, name):
    kind, _, count, seed = WORLDS[name]["generator"]
    file = write_lines(tmp_path / "journeys.jsonl", RECORDS[kind](count, seed))
    wanted = {**RULE_TOTALS[name], **WORLDS[name]["expected"]}

    found = answer(mbuzz, file, "--lookback", "none", "--credits")

    totals = WORLDS[name]["totals"]
    assert [found["journeys"], found["conversions"], float(found["revenue"])] == [
        totals[key] for key in ("journeys", "conversions", "revenue")
    ]
    for model in wanted.keys() & found["models"].keys():
        near = 1e-3 if model == "algorithmic" else 1e-5
        earned = found["models"][model]
        assert_near(earned["conversions"], wanted[model]["conversions"], near)
        assert_near(earned["revenue"], wanted[model]["revenue"], 0.01)
    for case in WORLDS[name]["journey_credits"]:
        for model in ("shapley", "shapley_conversions", "algorithmic"):
            credits_ = map(float, found["credits"][model][str(case["id"])])
            assert [*credits_] == pytest.approx(case[model], abs=1e-8)
    for key, expected in wanted.items():
        if key.startswith("markov_order"):
            assert_markov(mbuzz, file, int(key[-1]), expected)


def assert_markov(mbuzz, file, order, wanted):
    options = ("--model", "markov", "--order", order, "--lookback", "none")
    found = answer(mbuzz, file, *options)["models"]["markov"]

    assert found["order"] == order
    assert_near(found["removal_effects"], wanted["removal_effect"], 1e-9)
    report = found["channel_report"]
    assert_near(report["conversions"], wanted["channel_conversions"], 1e-5)
    assert_near(report["revenue"], wanted["channel_revenue"], 0.01)
    if "credit_conversions" in wanted:
        assert_near(found["conversions"], wanted["credit_conversions"], 1e-5)
        assert_near(found["revenue"], wanted["credit_revenue"], 0.01)
