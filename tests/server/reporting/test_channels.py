"""The channel report: rows that add up, in one currency, of one tenant."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbuzz.server.attribution.models import PRESETS
from mbuzz.server.model import CHANNELS, Tenant
from mbuzz.server.reporting.channels import amount, hundredths

HOUR = 3_600_000
MINUTE = 60_000
NOON = 1_763_640_000_000  # 2025-11-20T12:00:00Z
NAMES = ["direct", "paid_search", "email", "display", "affiliates"]
CURRENCIES = {"JPY": 0, "USD": 2, "KWD": 3, "CLF": 4}


def row(report, channel):
    [found] = [row for row in report.rows if row.channel == channel]
    return found


def assert_adds_up(report):
    for model in report.models:
        shares = [row.shares[model] for row in report.rows]
        assert sum(share.conversions for share in shares) == report.conversions * 100
        assert sum(share.revenue_minor for share in shares) == report.revenue_minor
    assert sum(row.visits for row in report.rows) == report.visits


SALES = st.lists(
    st.tuples(
        st.none() | st.integers(0, 10_000) | st.just(10**12),
        st.sampled_from(sorted(CURRENCIES)),
        st.lists(st.sampled_from(NAMES), max_size=4),
    ),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(SALES)
def test_rows_add_up_to_totals_under_every_model_in_every_currency(new_shop, sales):
    shop = new_shop()
    for minor, currency, journey in sales:
        shop.sell(minor, currency, journey)

    for currency in CURRENCIES:
        report = shop.report(currency=currency)
        sold = [minor for minor, code, _ in sales if code == currency]

        assert report.conversions == len(sold)
        assert report.revenue_minor == sum(minor or 0 for minor in sold)
        assert set(report.models) == set(PRESETS)
        assert_adds_up(report)
        assert report.other_currencies.keys() == {c for _, c, _ in sales} - {currency}


def test_three_ways_to_share_one_sale(shop):
    shop.sell(10_000, "USD", ["paid_search", "email", "display"])

    report = shop.report()

    shares = {r.channel: r.shares for r in report.rows}
    assert shares["paid_search"]["first_touch"].revenue_minor == 10_000
    assert shares["display"]["last_touch"].conversions == 100
    linear = {name: found["linear"] for name, found in shares.items()}
    assert sorted(share.revenue_minor for share in linear.values()) == [
        3333,
        3333,
        3334,
    ]
    assert sorted(share.conversions for share in linear.values()) == [33, 33, 34]


def test_best_channel_comes_first_under_the_last_model(shop):
    shop.visit("affiliates")
    shop.visit("affiliates")
    shop.visit("direct")
    shop.sell(500, "USD", ["email"])
    shop.sell(900, "USD", ["display"])
    shop.sell(0, "USD", ["paid_search"])

    assert [r.channel for r in shop.report(models=["linear"]).rows] == [
        "display",
        "email",
        "paid_search",
        "affiliates",
        "direct",
    ]


def test_sale_without_any_visit_has_a_row_of_its_own(shop):
    shop.sell(700, "USD", [])

    [only] = shop.report().rows
    assert (only.channel, only.label, only.visits) == (
        "unattributed",
        "Unattributed",
        0,
    )
    assert only.shares["linear"].revenue_minor == 700


def test_nothing_at_all(shop):
    report = shop.report()

    assert (report.rows, report.currency, report.conversions) == ([], "USD", 0)


def test_visits_visitors_and_page_views_are_counted_apart(shop):
    for hours in (0, 1):
        shop.visit("email", NOON + hours * HOUR, "v")
        shop.visit("email", NOON + hours * HOUR + MINUTE, "v")
    shop.visit("direct")

    report = shop.report()

    assert (report.visits, report.visitors, report.page_views) == (3, 2, 5)
    assert row(report, "email").visits == 2
    assert row(report, "email").label == CHANNELS["email"]


@pytest.mark.parametrize(
    ("asked", "default", "shown"),
    [
        (None, "EUR", "EUR"),
        (None, "USD", "USD"),
        (None, "GBP", "USD"),  # nothing was earned in the default: most conversions
        ("EUR", "USD", "EUR"),
        ("CHF", "USD", "CHF"),
    ],
)
def test_CV3_one_currency_at_a_time(shop, asked, default, shown):
    for minor, currency in [(100, "EUR"), (200, "USD"), (300, "USD")]:
        shop.sell(minor, currency, ["email"])
    sold = {"EUR": (1, 100), "USD": (2, 500)}

    report = shop.report(currency=asked, default_currency=default)

    assert report.currency == shown
    assert (report.conversions, report.revenue_minor) == sold.pop(shown, (0, 0))
    assert report.other_currencies == {code: count for code, (count, _) in sold.items()}
    assert_adds_up(report)


def test_models_are_shown_as_asked_and_once(shop):
    assert shop.report(models=["linear", "first_touch", "linear"]).models == [
        "linear",
        "first_touch",
    ]


def test_unknown_model_is_refused(shop):
    with pytest.raises(ValueError, match="model must be one of first_touch, last_to"):
        shop.report(models=["linear", "magic"])


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_T6_each_sale_is_in_exactly_one_day(shop, zone):
    for minutes in range(0, 24 * 60, 105):
        shop.sell(100, "USD", ["email"], NOON + minutes * MINUTE)
    shop.sell(100, "USD", ["email"], NOON - 12 * HOUR - 1)  # the 19th's last, in UTC
    shop.sell(100, "USD", ["email"], NOON - 12 * HOUR)

    days = [f"2025-11-{day}" for day in (19, 20, 21)]
    daily = [shop.report(day, day, zone) for day in days]
    whole = shop.report(days[0], days[-1], zone)

    assert sum(report.conversions for report in daily) == whole.conversions == 16
    assert sum(report.visits for report in daily) == whole.visits
    if zone == "UTC":
        assert [report.conversions for report in daily] == [1, 8, 7]


def test_I15_test_data_and_other_accounts_are_not_in_the_report(new_shop):
    live, other = new_shop(), new_shop()
    test = new_shop()
    test.tenant = Tenant(live.tenant.account_id, live=False)
    live.sell(100, "USD", ["email"])
    test.sell(200, "USD", ["display"])
    other.sell(400, "USD", ["direct"])

    found = [shop.report() for shop in (live, test, other)]

    assert [report.revenue_minor for report in found] == [100, 200, 400]
    assert [[r.channel for r in report.rows] for report in found] == [
        ["email"],
        ["display"],
        ["direct"],
    ]
    assert not shop_has_events(new_shop())
    assert shop_has_events(live)


def shop_has_events(shop):
    return shop.storage.read(lambda stores: stores.reports.has_events(shop.tenant))


@pytest.mark.parametrize(
    ("currency", "shown"),
    [("JPY", "123456"), ("USD", "1234.56"), ("KWD", "123.456"), ("CLF", "12.3456")],
)
def test_amounts_have_the_decimals_of_their_currency(shop, currency, shown):
    assert amount(shop.report(currency=currency), 123456) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0.00"), (5, "0.05"), (100, "1.00"), (12345, "123.45")]
)
def test_shares_of_conversions_have_two_decimals(count, shown):
    assert hundredths(count) == shown


def test_sums_of_the_largest_amounts_do_not_overflow(shop):
    for _ in range(12):
        shop.sell(10**12, "JPY", ["email"])

    report = shop.report(currency="JPY")

    assert row(report, "email").shares["linear"].revenue_minor == 12 * 10**12


# -- refunds --


def test_CV10_refund_is_booked_on_the_day_of_its_sale_or_on_its_own(shop):
    shop.sell(10_000, "USD", ["email", "display"], NOON)
    shop.refund(1, 2_500, NOON + 48 * HOUR)
    days = "2025-11-20", "2025-11-22"

    sale, later = (shop.report(day, day) for day in days)
    by_refund = [shop.report(day, day, by_refund=True) for day in days]

    assert (sale.revenue_minor, sale.refunds_minor, sale.net_minor) == (
        10_000,
        -2_500,
        7_500,
    )
    assert row(sale, "email").shares["linear"].net_minor == 3_750
    assert (later.revenue_minor, later.refunds_minor) == (0, 0)
    assert [report.net_minor for report in by_refund] == [10_000, -2_500]
    assert row(by_refund[1], "email").shares["linear"].refunds_minor == -1_250
    assert sale.conversions == 1


@pytest.mark.parametrize("by_refund", [False, True])
def test_CV10_rows_of_refunds_add_up_to_the_cent(shop, by_refund):
    for number, minor in enumerate([1, 99, 10_000, 33_333], start=1):
        shop.sell(minor, "USD", ["email", "display", "affiliates"])
        shop.refund(number, minor // 3 or 1)
    shop.refund(4, 22_222)

    report = shop.report(by_refund=by_refund)

    assert report.refunds_minor == -(1 + 33 + 3_333 + 33_333)
    for model in report.models:
        shares = [entry.shares[model] for entry in report.rows]
        assert sum(share.refunds_minor for share in shares) == report.refunds_minor
        assert sum(share.net_minor for share in shares) == report.net_minor
