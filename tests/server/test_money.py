"""Money: exact in, exact out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server import money

CODES = ["JPY", "USD", "KWD", "CLF", "ZZZ"]


@pytest.mark.parametrize(
    ("code", "decimals"),
    [("JPY", 0), ("USD", 2), ("EUR", 2), ("KWD", 3), ("CLF", 4), ("ZZZ", 2)],
)
def test_CV2_currencies_have_their_own_decimals(code, decimals):
    assert money.exponent(code) == decimals


@pytest.mark.parametrize(
    ("minor", "code", "shown"),
    [
        (0, "USD", "0.00"),
        (0, "JPY", "0"),
        (5, "USD", "0.05"),
        (9990, "USD", "99.90"),
        (10**14, "USD", "1000000000000.00"),
        (12345, "CLF", "1.2345"),
        (-150, "USD", "-1.50"),
    ],
)
def test_amounts_are_told_with_all_decimals(minor, code, shown):
    assert money.text(minor, code) == shown


@given(st.integers(0, 10**12), st.sampled_from(CODES))
def test_text_is_read_back_exactly(minor, code):
    assert money.parse(money.text(minor, code), code) == (minor, False)


@pytest.mark.parametrize(("given", "code"), [(" usd ", "USD"), ("Eur", "EUR")])
def test_codes_are_capitals(given, code):
    assert money.currency_code(given) == code
