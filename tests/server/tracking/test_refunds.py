"""Refunds and void conversions: what is taken back, from whom, what stays (CV10)."""

import pytest

from mbuzz.server.tracking.identity import RefusedError


@pytest.fixture
def sold(shop):
    """Return a sale of 10.00 after three visits."""
    shop.visit("v", 0, "G")
    shop.visit("v", 100, "newsletter")
    shop.visit("v", 200)
    return shop.convert(210, "v")


def test_CV10_refund_is_taken_from_the_same_visits_in_the_same_shares(shop, sold):
    done = shop.refund(sold, "4.00", reason="late")

    assert done.refund.amount_minor == 400
    assert done.refund.public_id.startswith("rfnd_")
    assert done.conversion.status == "partially_refunded"
    assert shop.refunded(sold) == [
        ("paid_search", -1_333_334),
        ("email", -1_333_333),
        ("direct", -1_333_333),
    ]
    assert shop.refunded(sold, "last_touch") == [("direct", -4_000_000)]


def test_CV10_without_an_amount_all_that_is_left_is_refunded(shop, sold):
    shop.refund(sold, "4.00", "r1")

    done = shop.refund(sold, None, "r2")

    assert done.refund.amount_minor == 600
    assert done.conversion.status == "refunded"


def test_CV10_sale_given_back_in_instalments_leaves_nothing_anywhere(shop, sold):
    for number in range(10):
        shop.refund(sold, "1.00", f"r{number}")

    left = shop.rows(
        "SELECT position, revenue + (SELECT SUM(r.revenue) FROM refund_credits r"
        " WHERE r.conversion = credits.conversion AND r.model = credits.model"
        " AND r.position = credits.position) FROM credits WHERE $tenant"
        " AND model = 'linear' ORDER BY position"
    )
    assert left == [(0, 0), (1, 0), (2, 0)]


def test_CV10_refund_with_a_known_id_changes_nothing(shop, sold):
    first = shop.refund(sold, "4.00")
    again = shop.refund(sold, "4.00")
    other = shop.refund(sold, "5.00")

    assert (first.duplicate, again.duplicate, other.duplicate) == (False, True, True)
    assert (again.amount_differs, other.amount_differs) == (False, True)
    assert first.refund == again.refund == other.refund
    assert shop.stored(sold).refunded_minor == 400


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("10.01", "at most 10.00 USD"),
        ("0", "at least 0.01 USD"),
        ("0.004", "at least 0.01 USD"),
        ("-1", "amount must be from 0"),
        ("ten", "amount must be a decimal number"),
    ],
)
def test_CV10_refund_of_more_than_there_is_or_of_nothing_is_refused(
    shop, sold, amount, text
):
    with pytest.raises(RefusedError, match=text):
        shop.refund(sold, amount)

    assert shop.stored(sold).status == "complete"


def test_CV10_sum_of_refunds_is_at_most_the_revenue(shop, sold):
    shop.refund(sold, "6.00", "r1")

    with pytest.raises(RefusedError, match=r"at most 4\.00 USD.*got 4\.01"):
        shop.refund(sold, "4.01", "r2")
    shop.refund(sold, "4.00", "r3")
    with pytest.raises(RefusedError, match="refunded already"):
        shop.refund(sold, None, "r4")


@pytest.mark.parametrize("revenue", [None, 0])
def test_CV10_where_nothing_was_earned_nothing_is_refunded(shop, revenue):
    lead = shop.convert(0, "v", revenue=revenue)

    with pytest.raises(RefusedError, match="has no revenue"):
        shop.refund(lead)


def test_CV10_refund_follows_when_the_journey_changes(shop, sold):
    shop.refund(sold, "4.00")

    shop.visit("v", 50, "google")

    assert shop.journey(sold)[1] == "organic_search"
    assert shop.refunded(sold)[1] == ("organic_search", -1_000_000)


def test_CV10_refund_before_its_sale_is_booked_on_the_sale(shop, sold):
    done = shop.refund(sold, minute=-5)

    assert done.refund.refunded_at_ms == sold.conversion.converted_at_ms


def test_CV10_amount_finer_than_the_currency_is_rounded(shop, sold):
    done = shop.refund(sold, "1.005")

    assert done.rounded
    assert done.refund.amount_minor == 100


def test_CV10_void_conversion_has_no_credits_and_is_kept(shop, sold):
    shop.refund(sold, "4.00")

    gone = shop.void(sold, 300, "test order")

    assert (gone.status, gone.void_reason) == ("void", "test order")
    assert not gone.standing.counted
    assert shop.journey(sold) == []
    assert shop.refunded(sold) == []
    assert shop.void(sold, 400, "again") == gone


def test_CV10_void_conversion_cannot_be_refunded_and_repeats_are_still_known(shop):
    sale = {"visitor": "v", "dedupe_key": "order:p:1"}
    sold = shop.convert(0, **sale)
    shop.void(sold)

    with pytest.raises(RefusedError, match="void"):
        shop.refund(sold)
    assert shop.convert(5, **sale).duplicate


def forget(shop, sold):
    """Do as erasure and retention do: visits and person go, credits stay."""

    def work(stores):
        frozen = "UPDATE conversions SET visitor = NULL, frozen = 1"
        for sql in (
            "UPDATE credits SET session = NULL",
            frozen,
            "DELETE FROM sessions",
        ):
            sql = f"{sql} WHERE account_id = :account"
            stores.tracking._db.run(sql, {"account": shop.tenant.account_id})

    shop.write(work)


def test_refund_long_after_takes_back_from_visits_that_are_no_longer_kept(shop, sold):
    before = shop.rows("SELECT * FROM credits WHERE $tenant AND model = 'linear'")
    forget(shop, sold)

    shop.refund(sold, "4.00")

    assert shop.refunded(sold) == [
        ("paid_search", -1_333_334),
        ("email", -1_333_333),
        ("direct", -1_333_333),
    ]
    assert shop.refunded(sold, "first_touch") == [("paid_search", -4_000_000)]
    after = shop.rows("SELECT * FROM credits WHERE $tenant AND model = 'linear'")
    assert [row[6:9] for row in after] == [row[6:9] for row in before]
    assert shop.journey(sold) == ["paid_search", "email", "direct"]
