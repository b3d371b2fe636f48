"""`mbuzz attribute`: models over a file of journeys, without a server."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbuzz.cli.attribution.chosen_models import NAMES
from mbuzz.server.attribution import removal
from tests.cli.terminal import on_terminal
from tests.processes import environment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "examples/journeys.jsonl"
T = 1_780_272_000
DAY = 86_400

TWO_TOUCHES = {
    "id": "a",
    "touches": [["email", T], ["direct", T + 7 * DAY]],
    "converted_at": T + 8 * DAY,
    "revenue": "30.00",
}
NOBODY = {"id": "n", "touches": [["email", T]], "converted_at": None}


@pytest.fixture
def attribute(mbuzz, tmp_path):
    """Run `mbuzz attribute` on journeys, or on the text of a table."""

    def call(journeys, *argv):
        if isinstance(journeys, str):
            file = tmp_path / "paths.csv"
            file.write_text(journeys, "utf-8")
        else:
            file = tmp_path / "journeys.jsonl"
            lines = [json.dumps(journey) + "\n" for journey in journeys]
            file.write_text("".join(lines), "utf-8")
        return mbuzz("attribute", file, *argv)

    return call


@pytest.fixture
def models(attribute):
    """Return what the command says, as JSON, of each model."""

    def call(journeys, *argv):
        exit_code, out, err = attribute(journeys, *argv, "--json")
        assert (exit_code, err) == (0, "")
        return json.loads(out)["models"]

    return call


# -- what is printed --


def test_tables_for_people(attribute, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    unseen = {"touches": [], "converted_at": T, "revenue": "0.01"}
    journeys = [TWO_TOUCHES, unseen, NOBODY]

    exit_code, out, err = attribute(
        journeys, "--model", "linear", "--model", "u_shaped"
    )

    assert (exit_code, err) == (0, "")
    assert out == (
        "Journeys: 3. Conversions: 2, of which 1 without a touch in the window.\n"
        "Lookback: 90 days before the conversion.\n"
        "With fewer than 30 conversions chance decides much of what follows.\n"
        "\n"
        "Conversions\n"
        "\n"
        "channel         linear  u_shaped\n"
        "--------------  ------  --------\n"
        "direct            0.50      0.50\n"
        "email             0.50      0.50\n"
        "(unattributed)    1.00      1.00\n"
        "--------------  ------  --------\n"
        "Total             2.00      2.00\n"
        "\n"
        "Revenue\n"
        "\n"
        "channel         linear  u_shaped\n"
        "--------------  ------  --------\n"
        "direct           15.00     15.00\n"
        "email            15.00     15.00\n"
        "(unattributed)    0.01      0.01\n"
        "--------------  ------  --------\n"
        "Total            30.01     30.01\n"
    )


def test_both_totals_of_markov_are_named(attribute):
    _, out, _ = attribute([TWO_TOUCHES, NOBODY], "--model", "markov")

    assert "Markov chain, order 1" in out
    assert "removal effect  credits  report  revenue credits  revenue report" in out


def test_credits_for_people(attribute):
    late = {**TWO_TOUCHES, "id": "late", "converted_at": T + 91 * DAY}
    lost = {**TWO_TOUCHES, "id": "lost", "converted_at": T + 99 * DAY}
    journeys = [TWO_TOUCHES, late, lost]

    _, out, _ = attribute(journeys, "--model", "linear", "--credits")

    assert out.splitlines()[-8:] == [
        "journey  channel              linear",
        "a        email           0.500000000",
        "a        direct          0.500000000",
        "late     email           0.000000000",
        "late     direct          1.000000000",
        "lost     email           0.000000000",
        "lost     direct          0.000000000",
        "lost     (unattributed)  1.000000000",
    ]


def test_one_object_for_programs(attribute):
    exit_code, out, err = attribute(
        [TWO_TOUCHES, NOBODY], "--model", "time_decay", "--json", "--credits"
    )

    assert (exit_code, err) == (0, "")
    assert json.loads(out) == {
        "journeys": 2,
        "conversions": 1,
        "revenue": "30.00",
        "models": {
            "time_decay": {
                "conversions": {"direct": 0.666666667, "email": 0.333333333},
                "revenue": {"direct": "20.00", "email": "10.00"},
            }
        },
        "left_out": {},
        "credits": {"time_decay": {"a": ["0.333333333", "0.666666667"]}},
    }


def test_credits_are_in_the_order_of_the_file(attribute):
    touches = [["late", T + 9 * DAY], ["b", T + 2], ["a", T + 1], ["old", T - 99 * DAY]]
    journey = {"touches": touches, "converted_at": T + DAY}

    _, out, _ = attribute([journey], "--model", "first_touch", "--json", "--credits")

    zero, one = "0.000000000", "1.000000000"
    assert json.loads(out)["credits"] == {"first_touch": {"1": [zero, zero, one, zero]}}


def test_all_are_those_that_need_no_file(models):
    found = models([TWO_TOUCHES, NOBODY])

    assert [*found] == [*NAMES]
    assert models([TWO_TOUCHES, NOBODY], "--model", "all") == found


# -- models and their options --


@pytest.mark.parametrize(
    ("argv", "email"),
    [
        (["--model", "last_touch"], 0.0),
        (["--model", "last_touch", "--exclude-direct"], 1.0),
        (["--model", "last_non_direct"], 1.0),
        (["--model", "time_decay", "--half-life", "3.5"], 0.2),
        (["--model", "linear", "--lookback", "2"], 0.0),
        (["--model", "linear", "--lookback", "none"], 0.5),
    ],
)
def test_options_change_what_channels_earn(models, argv, email):
    (found,) = models([TWO_TOUCHES], *argv).values()

    assert found["conversions"]["email"] == pytest.approx(email, abs=1e-8)


def test_shapley_by_conversions_has_a_name_of_its_own(models):
    by_option = models([TWO_TOUCHES], "--model", "shapley", "--worth", "conversions")

    assert by_option == models([TWO_TOUCHES], "--model", "shapley_conversions")
    assert [*by_option] == ["shapley_conversions"]


@pytest.fixture
def program(tmp_path):
    def write(*statements):
        path = tmp_path / "own.model"
        path.write_text("\n".join(['model "Own"', *statements, "end"]), "utf-8")
        return path

    return write


def test_a_model_of_ones_own(models, program):
    path = program("credit first_touch with 1/4", "credit last_touch with 3/4")

    assert models([TWO_TOUCHES], "--model-file", path) == {
        "custom": {
            "conversions": {"direct": 0.75, "email": 0.25},
            "revenue": {"direct": "22.50", "email": "7.50"},
        }
    }
    assert [*models([TWO_TOUCHES], "--model-file", path, "--model", "linear")] == [
        "linear",
        "custom",
    ]


@pytest.mark.parametrize(
    ("window", "given", "email"),
    [("2 days", "90", 0.0), ("9 days", "2", 0.5), ("2 days", "none", 0.0)],
)
def test_a_model_of_ones_own_has_its_own_window(models, program, window, given, email):
    path = program(f"lookback {window}", "distribute equally")

    found = models([TWO_TOUCHES], "--model-file", path, "--lookback", given)

    assert found["custom"]["conversions"]["email"] == email


def test_what_is_wrong_with_a_program_is_shown(attribute, program):
    path = program("credit first_touch with 0.4")

    exit_code, out, err = attribute([TWO_TOUCHES], "--model-file", path)

    assert (exit_code, out) == (1, "")
    told = err.splitlines()
    assert told[0].endswith("own.model is no valid model")
    assert told[1].startswith("error[E402]")
    assert told[2:4] == ["line 2, column 25", "credit first_touch with 0.4"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff", "byte 1 is not UTF-8"),
        (b"#" * 70_000, "error[E601]"),
        (None, "cannot read"),
    ],
)
def test_a_program_that_cannot_be_read(attribute, tmp_path, content, complaint):
    path = tmp_path / "own.model"
    if content is not None:
        path.write_bytes(content)

    exit_code, out, err = attribute([TWO_TOUCHES], "--model-file", path)

    assert (exit_code, out) == (1, "")
    assert complaint in err


# -- too little to learn from --


def test_without_conversions_rules_give_nothing_and_the_rest_says_why(attribute):
    exit_code, out, err = attribute([NOBODY], "--json")

    said = json.loads(out)
    assert exit_code == 0
    assert said["models"]["linear"] == {
        "conversions": {"email": 0.0},
        "revenue": {"email": "0.00"},
    }
    assert said["left_out"].keys() == {"markov", "shapley", "algorithmic"} - (
        said["models"].keys()
    )
    assert "markov is left out: there are no conversions" in err


def test_a_model_that_was_asked_for_is_not_left_out(attribute):
    exit_code, out, err = attribute([NOBODY], "--model", "markov", "--model", "linear")

    assert (exit_code, out) == (1, "")
    assert "markov cannot be computed: there are no conversions" in err


def test_with_nothing_but_conversions_algorithmic_says_that_it_falls_back(attribute):
    _, out, _ = attribute([TWO_TOUCHES], "--model", "algorithmic", "--json")
    _, text, _ = attribute([TWO_TOUCHES], "--model", "algorithmic")

    assert json.loads(out)["models"]["algorithmic"]["fallback"] is True
    assert "algorithmic had nothing to compare conversions with" in text


def test_one_channel_gets_everything(models):
    journeys = [{**TWO_TOUCHES, "touches": [["email", T]] * 3}, NOBODY]

    for found in models(journeys).values():
        assert found["conversions"] == {"email": 1.0}
        assert found["revenue"] == {"email": "30.00"}


# -- tables of paths --

TABLE = "path,conversions,value,null\nemail > direct,2,30.01,5\n,1,1,0\n"


def test_tables_leave_out_what_needs_times(attribute):
    exit_code, out, err = attribute(TABLE, "--json", "--credits")

    said = json.loads(out)
    needing_times = ["time_decay", "w_shaped", "z_shaped"]
    assert exit_code == 0
    assert [*said["left_out"]] == needing_times
    assert [*said["models"]] == [name for name in NAMES if name not in needing_times]
    assert "time_decay is left out: it needs the times of touches" in err
    assert said["models"]["linear"] == {
        "conversions": {"direct": 1.0, "email": 1.0, "(unattributed)": 1.0},
        "revenue": {"direct": "15.005", "email": "15.005", "(unattributed)": "1.00"},
    }
    assert said["credits"]["last_touch"] == {
        "2": ["0.000000000", "1.000000000"],
        "3": [],
    }


@pytest.mark.parametrize("name", ["time_decay", "w_shaped", "z_shaped"])
def test_tables_refuse_what_needs_times(attribute, name):
    exit_code, out, err = attribute(TABLE, "--model", name)

    assert (exit_code, out) == (1, "")
    assert f"{name} cannot be computed: it needs the time" in err


@pytest.mark.parametrize(
    "statement",
    [
        "lookback 2 days",
        "exclude age > 2 days",
        'exclude channel("a") or not milestone("mql")',
        "distribute by recency(2 days)",
    ],
)
def test_tables_refuse_programs_that_need_times(attribute, program, statement):
    rest = [] if statement.startswith("distribute") else ["distribute equally"]

    exit_code, out, err = attribute(TABLE, "--model-file", program(statement, *rest))

    assert (exit_code, out) == (1, "")
    assert "custom cannot be computed: it needs the times" in err


def test_tables_take_programs_that_need_no_times(attribute, program):
    path = program("credit first_touch with 1/4", "credit last_touch with 3/4")

    _, out, _ = attribute(TABLE, "--model-file", path, "--json")

    found = json.loads(out)["models"]["custom"]["conversions"]
    assert found == {"direct": 1.5, "email": 0.5, "(unattributed)": 1.0}


# -- wrong usage, wrong files --


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--model", "magic"], "there is no model 'magic'; choose from first_touch, "),
        (["--model", "custom"], "custom needs --model-file"),
        (
            ["--model", "linear", "--order", "2"],
            "--order changes none of the chosen models",
        ),
        (["--model", "markov", "--exclude-direct"], "add --model first_touch, or"),
        (["--model", "linear", "--as-of", "5"], "add --model markov, or leave"),
        (["--model", "linear", "--half-life", "2"], "add --model time_decay, or leave"),
        (["--model", "linear", "--worth", "rate"], "add --model shapley, or leave"),
        (["--order", "5"], "invalid choice: 5"),
        (["--lookback", "-1"], "must be a number of days, more than 0"),
        (["--lookback", "0"], "must be a number of days, more than 0"),
        (["--lookback", "nan"], "must be a number of days, more than 0"),
        (["--half-life", "1e9"], "must be a number of days, more than 0"),
        (["--as-of", "soon"], "must be a date such as 2026-06-30"),
        (["--as-of", "inf"], "must be a date such as 2026-06-30"),
        (["--separator", " "], "--separator must have a character"),
    ],
)
def test_wrong_usage_is_2(attribute, argv, complaint):
    exit_code, out, err = attribute([TWO_TOUCHES], *argv)

    assert (exit_code, out) == (2, "")
    assert complaint in err


@pytest.mark.parametrize(
    "moment", ["2026-06-10", "2026-06-10T02:00:00+02:00", "1781049600"]
)
def test_as_of_is_a_date_or_seconds(models, moment):
    old = {"touches": [["old", T]]}
    new = {"touches": [["email", T + 8 * DAY]]}
    options = ("--model", "markov", "--lookback", "5", "--as-of", moment)

    found = models([TWO_TOUCHES, old, new], *options)["markov"]

    assert found["removal_effects"] == {"direct": 1.0, "email": 0.0}


def test_wrong_lines_fail_unless_they_are_left_out(attribute):
    journeys = [TWO_TOUCHES, {"id": "b"}, {"id": "c", "touches": 5}]

    failed = attribute(journeys, "--model", "linear")
    left_out = attribute(journeys, "--model", "linear", "--skip-bad", "--json")

    assert failed[:2] == (1, "")
    assert "journeys.jsonl, line 2: touches must be a list" in failed[2]
    assert left_out[0] == 0
    assert "skipped lines: 2; " in left_out[2]
    assert json.loads(left_out[1])["journeys"] == 1


def test_what_is_ignored_is_said_once(attribute):
    journeys = [{**TWO_TOUCHES, "id": n, "country": "fr"} for n in range(3)]

    exit_code, _, err = attribute(journeys, "--model", "linear")

    assert (exit_code, err) == (0, "mbuzz attribute: ignored keys: 'country'\n")


@pytest.mark.parametrize("name", ["", "nothing.jsonl"])
def test_what_is_no_file_is_1(mbuzz, tmp_path, name):
    exit_code, out, err = mbuzz("attribute", tmp_path / name)

    assert (exit_code, out) == (1, "")
    assert "cannot read" in err


# -- as a user runs it --


def test_the_example_runs_straight_from_the_checkout():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "mbuzz", "attribute", EXAMPLE, "--json"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert_reconciled(json.loads(done.stdout))


def test_there_is_only_one_standard_input(mbuzz):
    exit_code, out, err = mbuzz("attribute", "-", "--model-file", "-")

    assert (exit_code, out) == (2, "")
    assert "- cannot be both journeys and --model-file" in err


def test_standard_input(run):
    exit_code, out, err = run(
        "attribute", "-", "--model", "linear", "--json", piped=json.dumps(TWO_TOUCHES)
    )

    assert (exit_code, err) == (0, "")
    assert json.loads(out)["conversions"] == 1


def test_names_that_a_terminal_cannot_show_are_spelled(run):
    journey = json.dumps({"touches": [["café", T]], "converted_at": T})

    exit_code, out, err = run(
        *("attribute", "-", "--model", "linear"),
        piped=journey,
        PYTHONIOENCODING="ascii",
    )

    assert (exit_code, err) == (0, "")
    assert r"caf\xe9" in out


def test_a_long_file_shows_how_far_it_is(tmp_path):
    path = tmp_path / "journeys.jsonl"
    line = json.dumps({"touches": [["email", T]] * 100_000}).encode()
    path.write_bytes(b"\n".join([line] * 20))

    exit_code, shown = on_terminal(tmp_path, "attribute", path, "--model", "linear")

    assert exit_code == 0
    assert "reading [" in shown
    assert "Journeys: 20." in shown


# -- what holds for every file --

CHANNEL = st.sampled_from(["email", "direct", "paid_search", "push"])
JOURNEY = st.fixed_dictionaries(
    {
        "touches": st.lists(
            st.tuples(CHANNEL, st.integers(T - 100 * DAY, T + 5 * DAY)), max_size=6
        ),
        "converted_at": st.none() | st.integers(T, T + 4 * DAY),
        "mql_at": st.none() | st.integers(T, T + 4 * DAY),
    }
)
AMOUNT = st.none() | st.decimals(-1000, 1000, places=6).map(lambda d: format(d, "f"))


def assert_reconciled(said):
    for name, found in said["models"].items():
        billionths = [round(share * 10**9) for share in found["conversions"].values()]
        assert sum(billionths) == said["conversions"] * 10**9, name
        revenue = sum(map(Decimal, found["revenue"].values()))
        assert revenue == Decimal(said["revenue"]), name


@given(st.lists(st.tuples(JOURNEY, AMOUNT), min_size=1, max_size=12), st.randoms())
@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_model_gives_away_exactly_what_there_was(attribute, drawn, order):
    journeys = [
        {
            **journey,
            "id": number,
            "revenue": amount if journey["converted_at"] else None,
        }
        for number, (journey, amount) in enumerate(drawn)
    ]
    shuffled = order.sample(journeys, len(journeys))

    _, out, _ = attribute(journeys, "--json")
    _, again, _ = attribute(shuffled, "--json")

    assert_reconciled(json.loads(out))
    assert out == again


# -- estimates --


def test_estimated_effects_are_named(attribute, models, monkeypatch):
    monkeypatch.setattr(removal, "_MOST_STEPS", 0)
    options = ("--model", "markov", "--order", "2")

    assert models([TWO_TOUCHES], *options)["markov"]["estimated"] == ["direct", "email"]
    assert "too long: direct, email." in attribute([TWO_TOUCHES], *options)[1]
    assert "estimated" not in models([TWO_TOUCHES], "--model", "markov")["markov"]
