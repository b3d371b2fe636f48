"""Tables of paths: their columns, by any of their names, and their rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.cli.attribution.line_values import Channels, LineError
from mbuzz.cli.attribution.path_lines import Columns


@pytest.mark.parametrize(
    "header",
    [
        ["path", "conversions", "value", "null"],
        ["path", "total_conversions", "total_conversion_value", "total_null"],
        [" Path", "CONV", "conv_value", "nulls"],
        ["path", "conversions", "revenue", "null"],
    ],
)
def test_columns_have_several_names(header):
    columns = Columns.of(header)

    row = columns.row(["a > b>a", "2", "9.98", "3"], Channels())

    assert row == (["a", "b", "a"], 2, 9_980_000, 3)
    assert columns.unknown == frozenset()


def test_columns_may_be_in_any_order_beside_others():
    columns = Columns.of(["country", "conversions", "path"])

    row = columns.row(["fr", "1", "a"], Channels())

    assert row == (["a"], 1, None, 0)
    assert columns.unknown == {"country"}


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (["hello"], "it lacks path and conversions: 'hello'"),
        (["path", "value"], "it lacks conversions"),
        (["path", "conv", "conversions"], r"several columns for conversions \(conv, "),
    ],
)
def test_a_wrong_header_says_what_is_wrong(header, complaint):
    with pytest.raises(LineError, match=complaint):
        Columns.of(header)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["", "2", "5", "1"], ([], 2, 5_000_000, 1)),
        (["a", "", "", "4"], (["a"], 0, None, 4)),
        (["a", "1", "", ""], (["a"], 1, None, 0)),
        (["a", "1", "0", "0"], (["a"], 1, 0, 0)),
        (["a", "0", "0", "0"], (["a"], 0, 0, 0)),
        (["a", "1", "-5", "0"], (["a"], 1, -5_000_000, 0)),
    ],
)
def test_rows(cells, expected):
    columns = Columns.of(["path", "conversions", "value", "null"])

    assert columns.row(cells, Channels()) == expected


def test_separator_is_a_choice():
    columns = Columns.of(["path", "conversions"])

    assert columns.row(["a>b | c", "1"], Channels(), "|").channels == ["a>b", "c"]


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        (["a", "1", "2"], "the header has 4 columns, this row 3"),
        (["a > > b", "1", "2", "0"], "a channel has no name"),
        (["a", "-1", "2", "0"], "conversions must be a whole number, 0 or more"),
        (["a", "1.5", "2", "0"], "conversions must be a whole number"),
        (["a", "1", "5,50", "0"], "value must be a number"),
        (["a", "1", "5", "x"], "null must be a number"),
        (["a", "0", "5", "0"], "there is a value of 5 but no conversion"),
    ],
)
def test_a_wrong_row_says_what_is_wrong(cells, complaint):
    columns = Columns.of(["path", "conversions", "value", "null"])

    with pytest.raises(LineError, match=complaint):
        columns.row(cells, Channels())


@given(st.lists(st.text(), min_size=4, max_size=4))
@settings(deadline=None)
def test_no_cells_break_it(cells):
    columns = Columns.of(["path", "conversions", "value", "null"])

    try:
        row = columns.row(cells, Channels())
    except LineError:
        return
    assert row.conversions >= 0
    assert row.nulls >= 0
