"""Conversions: journeys, lookback, repeats, and credits that stay true (CV, E4-E6)."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbuzz.server import money
from mbuzz.server.attribution.journeys import LOOKBACK_DAYS
from mbuzz.server.attribution.models import PRESETS
from mbuzz.server.attribution.weights import WHOLE
from mbuzz.server.model import AliasCall, IdentifyCall, RefundCall
from mbuzz.server.policy import Policy
from mbuzz.server.storage.connection import owner
from mbuzz.server.tracking.conversions import attribute
from mbuzz.server.tracking.identity import RefusedError
from mbuzz.server.tracking.people import owner_of
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.recorded import Refused
from mbuzz.server.tracking.refunds import refund, void

DAY = 24 * 60
START = 1_750_000_000_000
LOOKBACK = LOOKBACK_DAYS * DAY
MS = 1 / 60_000  # in minutes


def credits_of(shop, conversion):
    """Return what a conversion's credits say: model, position, session, amounts."""
    return shop.rows(
        "SELECT model, position, session, channel, credit, revenue FROM credits"
        " WHERE $tenant AND conversion = :id ORDER BY model, position",
        id=conversion.id,
    )


def by_model(shop, recorded):
    found = {}
    for model, _, _, channel, credit, _ in credits_of(shop, recorded.conversion):
        found.setdefault(model, []).append((channel, credit))
    return found


def test_CV4_journey_is_every_visit_until_the_conversion(shop):
    shop.visit("v", 0, "G")
    shop.visit("v", 100, "newsletter")
    shop.visit("v", 200)
    shop.visit("v", 300, "google")

    bought = shop.convert(210, "v")

    third = 333_333_333
    given = by_model(shop, bought)
    assert given.keys() == PRESETS.keys()
    assert given["first_touch"] == [("paid_search", WHOLE)]
    assert given["last_touch"] == [("direct", WHOLE)]
    assert given["last_non_direct"] == [("email", WHOLE)]
    assert given["linear"] == [
        *(("paid_search", third + 1), ("email", third), ("direct", third))
    ]


def test_CV4_visits_of_strangers_do_not_count(shop):
    shop.visit("v", 0, "G")
    shop.visit("w", 0, "newsletter")

    assert shop.journey(shop.convert(10, "v")) == ["paid_search"]


@pytest.mark.parametrize(
    ("minute", "journey"),
    [
        (-LOOKBACK, ["paid_search"]),
        (-LOOKBACK - MS, ["unattributed"]),
        (0, ["paid_search"]),
        (MS, ["unattributed"]),
    ],
)
def test_CV4_both_ends_of_the_window_count(shop, minute, journey):
    shop.visit("v", minute, "G")

    assert shop.journey(shop.convert(0, "v")) == journey


def test_CV6_without_touchpoint_all_of_it_is_unattributed(shop):
    bought = shop.convert(0, "v", revenue=1234)

    assert [row[2:] for row in credits_of(shop, bought.conversion)] == [
        (None, "unattributed", WHOLE, 12_340_000)
    ] * len(PRESETS)
    assert {credit.channel for credit in bought.credits} == {"unattributed"}


def test_conversion_without_revenue_has_credits_without(shop):
    shop.visit("v", 0, "G")

    bought = shop.convert(1, "v", revenue=None)

    assert {row[5] for row in credits_of(shop, bought.conversion)} == {None}


def test_credits_that_are_answered_are_those_that_are_kept(shop):
    shop.visit("v", 0, "G")
    call = shop.conversion(1, "v")

    bought, again = shop.do(call), shop.do(call)

    assert sorted(map(repr, bought.credits)) == sorted(map(repr, again.credits))


def test_visit_of_the_conversion_counts_though_it_began_as_somebody_else(shop):
    shop.identify("u1", "v", 0)
    shop.visit("v", 10, "newsletter")
    shop.identify("u2", "v", 20)

    bought = shop.convert(25, "v")
    later = shop.convert(100, "v")

    assert shop.journey(bought) == ["email"]
    assert shop.journey(later) == ["unattributed"]


def test_longer_visit_covers_a_conversion_that_was_known_before(shop):
    shop.identify("u1", "v", 0)
    shop.visit("v", 10, "newsletter")
    shop.identify("u2", "v", 20)
    bought = shop.convert(45, "v")
    assert shop.journey(bought) == ["unattributed"]

    shop.visit("v", 35)

    assert shop.journey(bought) == ["email"]


def test_CV7_direct_visits_get_credit_too(shop):
    shop.visit("v", 0, "G")
    shop.visit("v", 100)

    assert by_model(shop, shop.convert(101, "v"))["last_touch"] == [("direct", WHOLE)]


def test_CV8_CV15_long_journey_counts_whole_and_sums_exactly(shop):
    def work(stores):
        for number in range(600):
            call = shop.event("v", number * 31, "G")
            process(stores.tracking, shop.tenant, shop.policy, call)

    shop.write(work)

    bought = shop.convert(600 * 31, "v", revenue=1_000)

    linear = [row for row in credits_of(shop, bought.conversion) if row[0] == "linear"]
    assert len(linear) == 600
    assert sum(row[4] for row in linear) == WHOLE
    assert sum(row[5] for row in linear) == 10_000_000


# -- what changes credits afterwards --


def test_S11_late_visit_gets_its_credit(shop):
    shop.visit("v", 100, "newsletter")
    bought = shop.convert(110, "v")

    shop.visit("v", 0, "G")

    assert shop.journey(bought) == ["paid_search", "email"]


def test_S11_late_event_that_joins_visits_takes_a_credit_back(shop):
    shop.visit("v", 0, "G")
    shop.visit("v", 40)
    bought = shop.convert(41, "v")
    assert shop.journey(bought) == ["paid_search", "direct"]

    shop.visit("v", 20)

    assert shop.journey(bought) == ["paid_search"]


def test_S11_visit_that_begins_later_now_leaves_the_conversions_before(shop):
    shop.visit("v", 0, "psp")
    shop.visit("v", 59, "google")
    shop.visit("v", 61, "own banner")
    bought = shop.convert(60, "v")
    assert shop.journey(bought) == ["referral", "organic_search"]

    shop.visit("v", 29.9)
    shop.visit("v", 30)

    again = credits_of(shop, bought.conversion)
    recompute(shop)
    assert credits_of(shop, bought.conversion) == again
    assert shop.journey(bought) == ["referral"]


def test_late_event_of_a_former_user_changes_that_users_conversions(shop):
    shop.identify("u1", "v", 0)
    bought = shop.convert(60, user="u1")
    shop.identify("u2", "v", 100)

    shop.visit("v", 50, "G")

    assert shop.journey(bought) == ["paid_search"]


def test_I9_old_credits_are_replaced_and_the_version_goes_up(shop):
    bought = shop.convert(10, "v")

    shop.visit("v", 0, "G")

    assert shop.rows("SELECT attributed_version FROM conversions WHERE $tenant") == [
        (2,)
    ]
    assert {row[3] for row in credits_of(shop, bought.conversion)} == {"paid_search"}


# -- repeats --


@pytest.mark.parametrize(
    ("first", "again", "differs"),
    [
        ({}, {}, False),
        ({}, {"revenue": 1001}, True),
        ({}, {"revenue": None}, True),
        ({}, {"currency": "JPY"}, True),
        ({}, {"currency": "USD"}, False),
        ({"revenue": None}, {"revenue": None}, False),
    ],
)
def test_E5_repeat_is_no_update(shop, first, again, differs):
    known = shop.convert(0, "v", dedupe_key="order:purchase:7", **first)

    repeated = shop.convert(5, "w", dedupe_key="order:purchase:7", **again)

    assert repeated.duplicate
    assert repeated.amount_differs is differs
    assert repeated.conversion == known.conversion
    assert shop.rows("SELECT count(*) FROM conversions WHERE $tenant") == [(1,)]
    assert shop.rows("SELECT count(*) FROM visitors WHERE $tenant") == [(1,)]


def test_E4_id_of_the_conversion_makes_a_repeat_too(shop):
    call = shop.conversion(0, "v")

    assert [shop.do(call).duplicate, shop.do(call).duplicate] == [False, True]


def test_E2_without_any_key_two_sales_are_two(shop):
    shop.convert(0, "v")
    shop.convert(0, "v")

    assert shop.rows("SELECT count(*) FROM conversions WHERE $tenant") == [(2,)]


# -- by event --


def test_conversion_of_an_event_is_its_visitors_and_users(shop):
    shop.visit("v", 0, "G")
    shop.visit("v", 5, "server", user_id="u1", event_id="evt_paid")

    bought = shop.convert(10, event_id="evt_paid")

    assert shop.journey(bought) == ["paid_search"]
    assert bought.conversion.visitor_id == "v"
    assert bought.conversion.identity is not None


def test_unknown_event_is_refused_and_leaves_nothing_behind(shop):
    refused = shop.convert(0, "v", user="u1", event_id="evt_nowhere")

    assert refused == Refused(error="event_id is not known here", unknown=True)
    for table in ("conversions", "credits", "visitors", "identities", "links"):
        assert shop.rows(f"SELECT * FROM {table} WHERE $tenant") == []


# -- whatever happens, in whatever order --

MINUTES = st.integers(0, 16).map(lambda step: START + step * 450_000)
VISITORS = st.sampled_from(["v1", "v2"])
USERS = st.sampled_from(["u1", "u2", "u3"])
NAMES = st.sampled_from(
    ["-", "G", "G2", "google", "psp", "newsletter", "own banner", "server"]
)
REVENUES = st.sampled_from([None, 0, 1, 2, 100, 999, 10**12])
CURRENCIES = st.sampled_from([None, "JPY", "KWD", "CLF"])
TYPES = st.sampled_from(["purchase", "lead", "view"])
POLICY = Policy(
    lookback_by_type={"view": 1},
    counting={"lead": "once_per_identity", "view": "once_per_session"},
)
STEPS = st.one_of(
    st.tuples(st.just("visit"), VISITORS, MINUTES, NAMES, st.none() | USERS),
    st.tuples(st.just("identify"), USERS, VISITORS, MINUTES),
    st.tuples(st.just("alias"), USERS, USERS | VISITORS, MINUTES),
    st.tuples(
        st.just("convert"),
        st.none() | VISITORS,
        st.none() | USERS,
        MINUTES,
        REVENUES,
        CURRENCIES,
        TYPES,
        st.booleans(),
        st.booleans(),
    ),
    st.tuples(st.just("of event"), MINUTES, st.integers(1, 9)),
    st.tuples(st.just("refund"), st.integers(0, 5), st.sampled_from([None, 1, 33])),
    st.tuples(st.just("void"), st.integers(0, 5)),
)


def call_of(shop, step):
    match step:
        case ("visit", visitor, at_ms, name, user):
            return shop.event(visitor, 0, name, user_id=user, occurred_at_ms=at_ms)
        case ("identify", user, visitor, at_ms):
            return IdentifyCall(
                user_id=user, visitor_id=visitor, traits={}, at_ms=at_ms
            )
        case ("alias", user, previous, at_ms):
            return AliasCall(user_id=user, previous_id=previous, at_ms=at_ms)
        case ("convert", visitor, user, at_ms, revenue, currency, kind, first, heir):
            return shop.conversion(
                0,
                visitor or (None if user else "v1"),
                user,
                revenue,
                currency=currency,
                converted_at_ms=at_ms,
                conversion_type=kind,
                is_acquisition=first,
                inherits=heir,
            )
        case ("of event", at_ms, number):
            return shop.conversion(0, event_id=f"evt_{number}", converted_at_ms=at_ms)
    return None  # of a conversion that is there by then


def later_step(stores, shop, step, number):
    """Carry out a step about a conversion that is there, if it is."""
    tracking = stores.tracking
    found = tracking._db.rows(
        "SELECT id FROM conversions WHERE account_id = :account_id AND live = :live"
        " ORDER BY id LIMIT 1 OFFSET :skip",
        {**owner(shop.tenant), "skip": step[1]},
    )
    if not found:
        return
    conversion = tracking.conversion(shop.tenant, found[0][0])
    if step[0] == "void":
        void(tracking, shop.tenant, POLICY, conversion, START, None)
        return
    minor = step[2]
    amount = None if minor is None else money.text(minor, conversion.currency)
    call = RefundCall(
        refund_id=f"r{number}",
        amount=amount,
        reason=None,
        refunded_at_ms=START,
        received_at_ms=START,
    )
    with contextlib.suppress(RefusedError):
        refund(tracking, shop.tenant, POLICY, conversion, call)


def recompute(shop, *, backwards=False):
    """Attribute every conversion again, from what is stored."""

    def work(stores):
        rows = stores.tracking._db.rows(
            "SELECT id FROM conversions WHERE account_id = :account_id"
            " AND live = :live ORDER BY id",
            owner(shop.tenant),
        )
        for (row,) in reversed(rows) if backwards else rows:
            conversion = stores.tracking.conversion(shop.tenant, row)
            attribute(stores.tracking, shop.tenant, shop.policy, conversion)

    shop.write(work)


def everything(shop):
    """Return all that follows from what is stored."""
    return [
        shop.rows("SELECT * FROM credits WHERE $tenant"),
        shop.rows("SELECT * FROM refund_credits WHERE $tenant"),
        shop.rows(
            "SELECT id, counted, acquires, inherited_from FROM conversions"
            " WHERE $tenant"
        ),
    ]


def check_sums(shop, row):
    """Check that a conversion's credits are whole, and what refunds take of them."""
    for model in PRESETS:
        parts = shop.rows(
            "SELECT position, credit, revenue FROM credits WHERE $tenant"
            " AND conversion = :row AND model = :model",
            row=row.id,
            model=model,
        )
        taken = shop.rows(
            "SELECT position, SUM(revenue) FROM refund_credits WHERE $tenant"
            " AND conversion = :row AND model = :model GROUP BY position",
            row=row.id,
            model=model,
        )
        if not row.standing.counted:
            assert parts == taken == []
            continue
        assert sum(credit for _, credit, _ in parts) == WHOLE
        if row.revenue_minor is None:
            assert {revenue for *_, revenue in parts} == {None}
            continue
        unit = 10 ** (6 - money.exponent(row.currency))
        earned = {position: revenue for position, _, revenue in parts}
        assert sum(earned.values()) == row.revenue_minor * unit
        assert sum(back for _, back in taken) == -row.refunded_minor * unit
        if row.refunded_minor and row.refunded_minor == row.revenue_minor:
            assert {p: -back for p, back in taken if back} == {
                p: revenue for p, revenue in earned.items() if revenue
            }


def check_standings(shop, rows):
    """Check what a person's conversions are to each other, reckoned in another way."""
    valid = [row for row in rows if row.status != "void"]
    valid.sort(key=lambda row: (row.converted_at_ms, row.id))
    owners = shop.storage.read(
        lambda stores: {
            row.id: owner_of(stores.tracking, shop.tenant, row) for row in valid
        }
    )
    made, counted = {}, {}
    for row in valid:
        if row.is_acquisition:
            made.setdefault(owners[row.id], row)
    for row in valid:
        key, standing = owners[row.id], row.standing
        first = made.get(key)
        assert standing.acquires is (first is not None and first.id == row.id)
        if row.inherits and not standing.acquires:
            there = first is not None and first.converted_at_ms <= row.converted_at_ms
            assert standing.inherited_from == (first.id if there else None)
        if row.conversion_type == "lead":
            first = counted.setdefault(key, row.id)
            assert standing.counted is (first == row.id)
        if row.conversion_type == "purchase":
            assert standing.counted


@pytest.mark.parametrize("first", ["v1", "v2"])
def test_CV4_visits_of_one_moment_are_in_the_same_order_whichever_came_first(
    shop, first
):
    sources = {"v1": "G", "v2": "newsletter"}
    for visitor in sorted(sources, reverse=first == "v2"):
        shop.visit(visitor, 0, sources[visitor])
        shop.identify("u", visitor, 1)

    assert shop.journey(shop.convert(2, user="u")) == ["paid_search", "email"]


@pytest.mark.parametrize("backwards", [False, True])
def test_CV4_visits_of_one_visitor_and_moment_are_in_the_order_of_the_fold(
    shop, backwards
):
    for source in sorted(["G", "newsletter"], reverse=backwards):
        shop.visit("v", 0, source)
    shop.visit("v", 1, "newsletter")

    assert shop.journey(shop.convert(2, "v")) == ["paid_search", "email"]


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(STEPS, min_size=1, max_size=14))
def test_credits_are_whole_and_as_if_computed_anew_whatever_the_order_of_calls(
    new_shop, steps
):
    shop = new_shop()
    shop.policy = POLICY
    calls = [call_of(shop, step) for step in steps]

    def work(stores):
        for number, (step, call) in enumerate(zip(steps, calls, strict=True)):
            if call is None:
                later_step(stores, shop, step, number)
            else:
                process(stores.tracking, shop.tenant, POLICY, call)

    shop.write(work)

    kept = everything(shop)
    rows = shop.storage.read(
        lambda stores: [
            stores.tracking.conversion(shop.tenant, row) for row, *_ in kept[2]
        ]
    )
    for row in rows:
        check_sums(shop, row)
    check_standings(shop, rows)
    for backwards in (False, True):
        recompute(shop, backwards=backwards)
        assert everything(shop) == kept
    strays = shop.rows(
        "SELECT 1 FROM credits WHERE $tenant AND session IS NOT NULL"
        " AND session NOT IN (SELECT id FROM sessions WHERE $tenant)"
    )
    assert strays == []
