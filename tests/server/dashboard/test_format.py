"""Numbers and days as people read them."""

from datetime import date

import pytest

from mbuzz.server.dashboard import format as shown


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (123_456_789, "USD", "1,234,567.89"),
        (0, "EUR", "0.00"),
        (1_234_567, "JPY", "1,234,567"),
        (1_234_567, "KWD", "1,234.567"),
        (-1_050, "USD", "-10.50"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(minor, currency, text):
    assert shown.amount(minor, currency) == text


def test_counts():
    assert shown.whole(1_234_567) == "1,234,567"
    assert shown.hundredths(123_450, decimals=True) == "1,234.50"
    assert shown.hundredths(123_400, decimals=False) == "1,234"


def test_a_share_of_nothing_is_not_zero_percent():
    assert shown.percentage(1, 3) == "33.3%"
    assert shown.percentage(0, 3) == "0.0%"
    assert shown.percentage(0, 0) == "n/a"


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (date(2026, 10, 22), date(2026, 11, 20), "22 Oct to 20 Nov 2026"),
        (date(2025, 12, 31), date(2026, 1, 1), "31 Dec 2025 to 1 Jan 2026"),
        (date(2026, 5, 3), date(2026, 5, 3), "3 May 2026"),
    ],
)
def test_periods(first, last, text):
    assert shown.days(first, last) == text
