"""Names and amounts, as people and programs write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.cli.attribution.json_answer import amount
from mbuzz.cli.attribution.line_values import Channels, LineError, count, millionths


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("99.90", 99_900_000),
        (" 5 ", 5_000_000),
        ("-49.99", -49_990_000),
        ("0", 0),
        (12.5, 12_500_000),
        (7, 7_000_000),
        (0.00001, 10),
        ("1e+05", 100_000_000_000),  # as R writes 100000
        ("1.0000000", 1_000_000),
        ("0.000001", 1),
        ("1000000000000", 10**18),
    ],
)
def test_amounts(value, expected):
    assert millionths(value, "revenue") == expected


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("", "revenue must be a number"),
        ("x", "revenue must be a number"),
        ("5,50", "revenue must be a number"),
        ("NaN", "revenue must be a number"),
        ("1e99999999999999999999", "revenue must be a number"),
        (True, "got true"),
        (None, "got null"),
        ([1], "revenue must be a number"),
        ("Infinity", "at most 1000000000000"),
        ("1e400", "at most 1000000000000"),
        ("-1e99999999", "at most 1000000000000"),
        (float("inf"), "at most 1000000000000"),
        ("1000000000000.01", "at most 1000000000000"),
        ("1.0000001", "at most six decimals"),
        ("1e-9999999", "at most six decimals"),
        ("1.0000000000000000000000000000000000000001", "at most six decimals"),
    ],
)
def test_what_is_no_amount(value, complaint):
    with pytest.raises(LineError, match=complaint):
        millionths(value, "revenue")


@given(st.integers(-(10**18), 10**18))
@settings(deadline=None)
def test_amounts_are_read_as_they_are_written(number):
    assert millionths(amount(number), "revenue") == number


@pytest.mark.parametrize(
    ("value", "expected"), [("3", 3), ("3.0", 3), ("1e+05", 100_000), (0, 0)]
)
def test_counts(value, expected):
    assert count(value, "null") == expected


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "1e400", "inf"])
def test_what_is_no_count(value):
    with pytest.raises(LineError, match="null must be"):
        count(value, "null")


def test_a_channel_is_one_text_in_all_journeys():
    channels = Channels()

    first, again = channels["email"], channels["".join(["em", "ail"])]

    assert first is again
    assert list(channels) == ["email"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (5, "must be text, got 5"),
        ("", "has no name"),
        ("  ", "has no name"),
        ("a\nb", "printable"),
        ("\x1b[31m", "printable"),
        ("\ud800", "printable"),
        ("x" * 256, "at most 255"),
        ("unattributed", "give the channel another name"),
        ("(unattributed)", "give the channel another name"),
    ],
)
def test_what_is_no_channel(name, complaint):
    with pytest.raises(LineError, match=complaint):
        Channels()[name]
