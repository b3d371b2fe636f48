"""Journeys as lines of JSON, right and wrong."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.cli.attribution.journey_lines import KEYS, parse
from mbuzz.cli.attribution.line_values import Channels, LineError

T = 1_780_272_000
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def line(**said):
    return json.dumps({"id": 1, "touches": [["email", T]], **said})


def test_everything_a_line_may_say():
    said = parse(
        line(
            touches=[["email", T], ["direct", T + 1.5]],
            converted_at=T + 2,
            revenue="9.99",
            mql_at=T,
            sql_at=None,
            milestones={"trial": T + 0.25, "demo": None},
            shoe_size=44,
        ),
        Channels(),
    )

    assert said._asdict() == {
        "id": "1",
        "channels": ["email", "direct"],
        "times_ms": [T * 1000, T * 1000 + 1500],
        "converted_at_ms": T * 1000 + 2000,
        "revenue": 9_990_000,
        "milestones": {"mql": T * 1000, "trial": T * 1000 + 250},
        "unknown": {"shoe_size"},
    }


def test_touches_are_all_a_line_must_have():
    said = parse('{"touches": []}', Channels())

    assert (said.id, said.channels, said.converted_at_ms, said.revenue) == (
        None,
        [],
        None,
        None,
    )


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ('{"id":', "this is not JSON"),
        ("[]", "a journey must be an object"),
        ("5", "a journey must be an object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"touches": [["a", NaN]]}', "NaN is not a number"),
        ('{"touches": [["a", -Infinity]]}', "-Infinity is not a number"),
        ('{"touches": [["a", 1e400]]}', "the time of touch 1"),
        ('{"touches": [["a", ' + "9" * 5000 + "]]}", "too many digits"),
        ('{"id": 1}', "touches must be a list .*got none"),
        (line(touches=None), "touches must be a list .*got null"),
        (line(touches={}), "touches must be a list"),
        (line(touches=["ab"]), "touch 1 must be a channel and a time"),
        (line(touches=[["a", T], ["a"]]), "touch 2 must be a channel and a time"),
        (line(touches=[["a", T, 1]]), "touch 1 must be"),
        (line(touches=[{"a": 1, "b": 2}]), "touch 1 must be"),
        (line(touches=[5]), "touch 1 must be"),
        (line(touches=[[5, T]]), "a channel must be text, got 5"),
        (line(touches=[[[], T]]), "a channel must be text"),
        (line(touches=[["a", T], ["a", "x"]]), "touch 2 .*times are numbers"),
        (line(touches=[["a", True]]), "got true; times are numbers"),
        (line(touches=[["a", None]]), "got null; times are numbers"),
        (line(touches=[["a", T * 1000]]), "divide milliseconds by 1000"),
        (line(converted_at=T * 1000), "converted_at .*divide milliseconds by 1000"),
        (line(converted_at="2026-06-01"), "converted_at .*times are numbers"),
        (line(mql_at=True), "mql_at .*got true"),
        (line(revenue="5.00"), "there is revenue of '5.00' but no converted_at"),
        (line(converted_at=T, revenue="x"), "revenue must be a number"),
        (line(milestones=[T]), "milestones must be an object"),
        (line(milestones=0), "milestones must be an object"),
        (line(milestones={"demo": "x"}), "milestone 'demo' must be in seconds"),
        (line(mql_at=T, milestones={"mql": T + 1}), "two times of mql"),
        (line(id=True), "id must be text or a whole number"),
        (line(id=1.5), "id must be text or a whole number"),
        (line(id="\x1b[2J"), "id must be at most 255 printable"),
    ],
)
def test_a_wrong_line_says_what_is_wrong(wrong, complaint):
    with pytest.raises(LineError, match=complaint):
        parse(wrong, Channels())


def test_no_revenue_may_be_said_of_no_conversion():
    assert parse(line(revenue=0), Channels()).revenue is None
    assert parse(line(revenue=None), Channels()).revenue is None


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), ANY) | ANY)
@settings(deadline=None)
def test_no_json_breaks_it(said):
    with suppress(LineError):
        parse(json.dumps(said), Channels())


@given(st.lists(st.tuples(ANY, ANY), max_size=3))
@settings(deadline=None)
def test_no_touches_break_it(touches):
    with suppress(LineError):
        parse(line(touches=touches), Channels())


@given(st.text())
@settings(deadline=None)
def test_no_text_breaks_it(text):
    with suppress(LineError):
        parse(text, Channels())
