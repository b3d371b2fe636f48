"""`mbuzz report`: the report in the terminal."""

import csv
import io
import json
import urllib.request

import pytest

from mbuzz.cli.report import grouped, render
from mbuzz.server.attribution.models import PRESETS
from mbuzz.server.http.wsgi_server import WSGIServer

AD = "https://shop.example/?utm_source=google&utm_medium=cpc"


@pytest.fixture
def report(mbuzz, backend):
    def call(*argv, url=None):
        return mbuzz(
            *["report", "channels", "--api-key", backend.api_key],
            *["--api-url", url or f"{backend.url}/api/v1"],
            *argv,
        )

    return call


@pytest.fixture
def sold(backend):
    """Sell one thing to somebody who came by an ad, and one in another currency."""
    sale = {"type": "conversion", "conversion_type": "purchase", "visitor_id": "v"}
    items = [
        {"event_type": "page_view", "visitor_id": "v", "properties": {"url": AD}},
        {**sale, "revenue": "1234.50"},
        {**sale, "revenue": "7", "currency": "EUR"},
    ]
    request = urllib.request.Request(
        f"{backend.url}/api/v1/events",
        json.dumps({"events": items}).encode(),
        {"Authorization": f"Bearer {backend.api_key}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["accepted"] == 3


def test_amounts_are_what_refunds_leave(report, backend):
    def post(path, body):
        request = urllib.request.Request(
            f"{backend.url}/api/v1{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {backend.api_key}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    sale = {"conversion_type": "purchase", "user_id": "5", "revenue": "1234.50"}
    sold = post("/conversions", sale)["conversion_id"]
    post(f"/conversions/{sold}/refunds", {"refund_id": "r1", "amount": "34.50"})

    _, out, _ = report()

    lines = out.splitlines()
    total = next(line for line in lines if line.startswith("Total"))
    assert total.split()[1:] == ["0", *["1.00", "1,200.00"] * 3]
    assert lines[-1] == "Amounts are what is left of 1,234.50 after refunds of 34.50."


def test_table_shows_models_side_by_side(report, sold):
    exit_code, out, err = report()

    assert (exit_code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("What the channels earned, ")
    assert lines[2].split("  ")[0] == "channel"
    row = next(line for line in lines if line.startswith("Paid Search"))
    assert row.split()[2:] == ["1", *["1.00", "1,234.50"] * 3]
    total = next(line for line in lines if line.startswith("Total"))
    assert total.split()[1:] == ["1", *["1.00", "1,234.50"] * 3]
    assert lines[-2:] == [
        "1 conversions in EUR are not in this table:",
        "  mbuzz report channels --currency EUR",
    ]


def test_options_are_passed_on(report, sold):
    _, out, _ = report(
        *["--model", "linear", "--model", "first_touch", "--currency", "eur"],
        *["--from", "2020-01-01", "--to", "2030-01-01", "--format", "json"],
    )

    said = json.loads(out)
    assert said["models"] == ["linear", "first_touch"]
    assert (said["currency"], said["totals"]["revenue"]) == ("EUR", "7.00")
    assert said["period"]["from"] == "2020-01-01"


def test_all_models_are_those_that_credit(report, sold):
    _, out, _ = report("--model", "all", "--format", "json")

    assert set(json.loads(out)["models"]) == set(PRESETS)


def test_csv_is_the_servers(report, sold):
    _, out, _ = report("--format", "csv")

    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0][:2] == ["channel", "visits"]
    assert rows[-1][0] == "total"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--from", "soon"], "from must be a date such as 2026-11-20, got 'soon'"),
        (["--from", "2020-02-01", "--to", "2020-01-01"], "from must not be after to"),
        (["--model", "magic"], "model must be one of first_touch, last_touch"),
        (["--currency", "x"], "currency must be a code of three letters"),
    ],
)
def test_what_the_server_refuses_is_one_sentence(report, argv, said):
    exit_code, out, err = report(*argv)

    assert (exit_code, out) == (1, "")
    assert err.startswith(f"mbuzz report: {said}")
    assert err.endswith("(HTTP 422)\n")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"models": 1}'])
def test_answer_of_somebody_else_is_one_sentence(report, body):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]

    with WSGIServer(app) as server:
        server.start()
        found = report(url=server.url)

    assert found == (
        1,
        "",
        "mbuzz report: the answer is not an mbuzz backend's; check --api-url\n",
    )


def test_model_that_is_newer_than_this_command_is_shown_by_its_name():
    text = render(
        {
            "models": ["markov"],
            "currency": "USD",
            "rows": [],
            "totals": {"visits": 0, "conversions": 0, "revenue": "0.00"},
            "period": {"from": "a", "to": "b", "timezone": "UTC"},
            "other_currencies": {},
        }
    )

    assert "markov" in text


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0.00", "0.00"), ("1234567.5", "1,234,567.5"), ("1000", "1,000")],
)
def test_thousands_are_set_off(amount, shown):
    assert grouped(amount) == shown
