"""Programs as JSON, for visual builders."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.server.attribution.dsl.errors import ProgramError
from mbuzz.server.attribution.dsl.formatter import format_program
from mbuzz.server.attribution.dsl.json_form import from_json, to_json
from mbuzz.server.attribution.dsl.parser import parse
from tests.server.attribution.dsl.programs import (
    ACCEPTED,
    REJECTED,
    model,
    programs,
)

FIRST = {"kind": "first_touch"}
CREDIT = {"kind": "credit", "selector": FIRST, "weight": "1"}


def program(*statements, **more):
    return {"name": "M", "statements": list(statements), **more}


def weight(condition, by="2"):
    return program(
        {"kind": "weight", "condition": condition, "weight": by},
        {"kind": "distribute", "sharing": {"kind": "proportionally"}},
    )


def refused(value):
    with pytest.raises(ProgramError) as caught:
        from_json(value)
    return caught.value


def nested(depth, *kinds):
    condition = FIRST
    for index in range(depth):
        kind = kinds[index % len(kinds)]
        condition = (
            {"kind": "not", "condition": condition}
            if kind == "not"
            else {"kind": kind, "conditions": [condition, FIRST]}
        )
    return condition


def test_json_form():
    source = model(
        "lookback 30 days # a month",
        'credit middle_touches where channel("a") and age < 7 days with 1/3 '
        "by recency(1 week)",
        "credit touch(-2) with 2/3",
        "otherwise last_touch",
    )

    value = to_json(parse(source))

    none = {"leading": [], "trailing": None}
    assert value == {
        "name": "M",
        **none,
        "statements": [
            {
                "kind": "lookback",
                "duration": {"amount": "30", "unit": "day"},
                "leading": [],
                "trailing": "a month",
            },
            {
                "kind": "credit",
                "selector": {"kind": "middle_touches"},
                "condition": {
                    "kind": "and",
                    "conditions": [
                        {"kind": "channel", "names": ["a"]},
                        {
                            "kind": "age",
                            "comparison": "<",
                            "duration": {"amount": "7", "unit": "day"},
                        },
                    ],
                },
                "weight": "1/3",
                "sharing": {
                    "kind": "recency",
                    "half_life": {"amount": "1", "unit": "week"},
                },
                **none,
            },
            {
                "kind": "credit",
                "selector": {"kind": "touch", "number": -2},
                "condition": None,
                "weight": "2/3",
                "sharing": None,
                **none,
            },
            {"kind": "otherwise", "share": {"kind": "last_touch"}, **none},
        ],
        "end": none,
        "after": [],
    }


@pytest.mark.parametrize("case", ACCEPTED, ids=[case["name"] for case in ACCEPTED])
def test_recorded_program_survives_json(case):
    given_program = parse(case["source"])

    value = json.loads(json.dumps(to_json(given_program)))

    assert from_json(value) == given_program


@settings(deadline=None)
@given(programs())
def test_program_survives_json(given_program):
    value = json.loads(json.dumps(to_json(given_program)))

    assert from_json(value) == given_program


def test_builder_may_leave_out_comments_and_sharing():
    value = program({**CREDIT, "selector": {"kind": "all_touches"}})

    assert format_program(from_json(value)) == model(
        "credit all_touches with 1 equally"
    )


def test_builder_may_nest_what_needs_no_parentheses():
    inner = {"kind": "or", "conditions": [FIRST, {"kind": "last_touch"}]}
    value = weight(
        {"kind": "or", "conditions": [inner, {"kind": "touch", "number": 2}]}
    )

    found = format_program(from_json(value))

    assert "weight first_touch or last_touch or touch(2) by 2" in found


@pytest.mark.parametrize(
    ("value", "code", "path"),
    [
        (None, "E201", ""),
        ([], "E201", ""),
        ({}, "E201", "name"),
        ({"name": 7}, "E201", "name"),
        ({"name": " "}, "E401", "name"),
        ({"name": "a\nb"}, "E101", "name"),
        ({"name": "\ud800"}, "E101", "name"),
        ({"name": "x" * 129}, "E603", "name"),
        ({"name": "M"}, "E201", "statements"),
        ({"name": "M", "statements": {}}, "E201", "statements"),
        ({"name": "M", "statements": []}, "E505", "statements"),
        (program(CREDIT, extra=1), "E201", ""),
        ({1: 2}, "E201", ""),
        (program(CREDIT, end=[]), "E201", "end"),
        (program(CREDIT, end={"trailing": 1}), "E201", "end.trailing"),
        (program(CREDIT, after=[None]), "E201", "after[0]"),
        (program(CREDIT, leading=["a", "b\r"]), "E101", "leading[1]"),
        (program(7), "E201", "statements[0]"),
        (program({}), "E201", "statements[0].kind"),
        (program({"kind": "give"}), "E205", "statements[0].kind"),
        (program({"kind": []}), "E201", "statements[0].kind"),
        (program({**CREDIT, "by": 1}), "E201", "statements[0]"),
        (program({"kind": "describe", "text": None}), "E201", "statements[0].text"),
        (program({"kind": "lookback"}), "E201", "statements[0].duration"),
        (program({"kind": "exclude"}), "E201", "statements[0].condition"),
        (program({**CREDIT, "weight": "2"}), "E401", "statements[0].weight"),
        (program({**CREDIT, "weight": 1}), "E201", "statements[0].weight"),
        (program({**CREDIT, "weight": "50%"}), "E103", "statements[0].weight"),
        (program({**CREDIT, "weight": "1/0"}), "E401", "statements[0].weight"),
        (program({**CREDIT, "weight": "1/2/3"}), "E103", "statements[0].weight"),
        (program({**CREDIT, "weight": "1/2.5"}), "E201", "statements[0].weight"),
        (program({**CREDIT, "weight": "9" * 13}), "E103", "statements[0].weight"),
        (program({**CREDIT, "weight": "0.1234567"}), "E403", "statements[0].weight"),
        (program({**CREDIT, "weight": "0.5"}), "E402", "statements[0].weight"),
        (program(CREDIT, CREDIT), "E501", "statements[1].selector"),
        (
            program({**CREDIT, "sharing": {"kind": "equally"}}),
            "E306",
            "statements[0].sharing",
        ),
        (
            program({**CREDIT, "selector": {"kind": "middle_touches"}}),
            "E506",
            "statements[0]",
        ),
        (
            program({**CREDIT, "selector": {"kind": "frist"}}),
            "E301",
            "statements[0].selector.kind",
        ),
        (
            program({**CREDIT, "selector": {"kind": "touch", "number": True}}),
            "E303",
            "statements[0].selector.number",
        ),
        (
            program({**CREDIT, "selector": {"kind": "touch", "number": 10**5000}}),
            "E401",
            "statements[0].selector.number",
        ),
        (
            program({**CREDIT, "selector": {"kind": "milestone", "name": 1}}),
            "E303",
            "statements[0].selector.name",
        ),
        (
            program(CREDIT, {"kind": "otherwise", "share": {"kind": "linear"}}),
            "E301",
            "statements[1].share.kind",
        ),
        (
            program({"kind": "distribute", "sharing": {"kind": "linear"}}),
            "E201",
            "statements[0].sharing.kind",
        ),
        (
            program(CREDIT, {"kind": "distribute", "sharing": {"kind": "equally"}}),
            "E502",
            "statements[1]",
        ),
        (weight({"kind": "campaign"}), "E302", "statements[0].condition.kind"),
        (weight({"kind": "other_touches"}), "E302", "statements[0].condition.kind"),
        (
            weight({"kind": "channel", "names": []}),
            "E304",
            "statements[0].condition.names",
        ),
        (
            weight({"kind": "channel", "names": ["a", 7]}),
            "E303",
            "statements[0].condition.names[1]",
        ),
        (
            weight({"kind": "age", "comparison": "="}),
            "E201",
            "statements[0].condition.comparison",
        ),
        (
            weight(
                {
                    "kind": "age",
                    "comparison": "<",
                    "duration": {"amount": "2", "unit": "months"},
                }
            ),
            "E305",
            "statements[0].condition.duration.unit",
        ),
        (
            weight({"kind": "and", "conditions": [FIRST]}),
            "E201",
            "statements[0].condition.conditions",
        ),
        (weight(FIRST, by="1001"), "E401", "statements[0].weight"),
        (
            program(*[{"kind": "describe", "text": "x"}] * 2, CREDIT),
            "E504",
            "statements[1]",
        ),
        (
            program(*[{"kind": "exclude", "condition": FIRST}] * 64, CREDIT),
            "E602",
            "statements[64]",
        ),
        (
            program({"kind": "describe", "text": "x"}, CREDIT, after=["x" * 20_000]),
            "E601",
            "",
        ),
    ],
)
def test_wrong_value_is_named_by_its_path(value, code, path):
    error = refused(value)

    assert (error.code, error.place.path) == (code, path)
    assert "\n" not in str(error)


def test_all_wrong_statements_are_told():
    error = refused(program({"kind": "give"}, CREDIT, {"kind": "describe"}))

    assert [one.place.path for one in (error, *error.others)] == [
        "statements[0].kind",
        "statements[2].text",
    ]


@pytest.mark.parametrize(
    ("condition", "valid"),
    [
        (nested(16, "not"), True),
        (nested(17, "not"), False),
        (nested(33, "or", "and"), True),
        (nested(40, "or", "and"), False),
        (nested(400, "or"), False),
        (nested(400, "and"), False),
        (nested(400, "and", "not"), False),
    ],
)
def test_nesting_is_bounded(condition, valid):
    if valid:
        found = from_json(weight(condition))

        assert parse(format_program(found)) == found
    else:
        assert refused(weight(condition)).code == "E604"


def test_text_and_json_have_the_same_words_for_the_same_mistake():
    source = next(one["source"] for one in REJECTED if one["code"] == "E402")
    with pytest.raises(ProgramError) as caught:
        parse(source)
    shares = [("first_touch", "0.4"), ("last_touch", "0.4"), ("middle_touches", "0.1")]

    error = refused(
        program(
            *(
                {"kind": "credit", "selector": {"kind": kind}, "weight": share}
                for kind, share in shares
            )
        )
    )

    assert (error.code, error.message, error.hint) == (
        caught.value.code,
        caught.value.message,
        caught.value.hint,
    )
    assert error.render().splitlines()[1] == "at statements[2].weight"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value):
    """Yield each container inside of *value*, and its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_json_is_valid_or_refused(data):
    sources = st.sampled_from([case["source"] for case in ACCEPTED])
    value = copy.deepcopy(to_json(parse(data.draw(sources))))
    container, key = data.draw(st.sampled_from(list(places(value))))
    if data.draw(st.booleans()):
        container[key] = data.draw(ANYTHING)
    else:
        del container[key]

    try:
        found = from_json(value)
    except ProgramError as error:
        found = None
        code = error.code
    assert found is None or parse(format_program(found)) == found
    assert found is not None or code.startswith("E")


@settings(deadline=None)
@given(ANYTHING)
def test_any_json_is_refused(value):
    assert refused(value).place.line == 0
