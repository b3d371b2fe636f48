"""Which conversions count, which made a customer, and which inherit (CV5, CV9-CV12)."""

import json

import pytest

from mbuzz.server.account_settings import read_setting
from mbuzz.server.policy import DEFAULT, policy_of

DAY = 24 * 60


def standing(shop, recorded):
    return shop.stored(recorded).standing


def policy(**settings):

    return policy_of("USD", "UTC", json.dumps(settings))


# -- CV5: how far back --


def test_CV5_lookback_is_the_accounts_or_the_types(shop):
    shop.policy = policy(lookback_days=30, lookback_by_type={"trial": 7, "big": "all"})
    shop.visit("v", -400 * DAY, "psp")
    shop.visit("v", -20 * DAY, "G")
    shop.visit("v", -5 * DAY, "newsletter")

    assert shop.journey(shop.convert(0, "v")) == ["paid_search", "email"]
    assert shop.journey(shop.convert(0, "v", conversion_type="trial")) == ["email"]
    assert shop.journey(shop.convert(0, "v", conversion_type="big")) == [
        "referral",
        "paid_search",
        "email",
    ]


def test_CV5_conversion_keeps_the_lookback_it_was_recorded_under(shop):
    shop.visit("v", -20 * DAY, "G")
    bought = shop.convert(0, "v")
    shop.policy = policy(lookback_days=7)

    shop.visit("v", -40 * DAY, "newsletter")

    assert shop.journey(bought) == ["email", "paid_search"]
    assert shop.stored(bought).lookback_days == 90
    assert shop.journey(shop.convert(1, "v")) == ["unattributed"]


@pytest.mark.parametrize(
    "settings",
    [
        {"lookback_days": 31},
        {"lookback_days": True},
        {"lookback_days": []},
        {"lookback_by_type": {"a": "ever"}},
        {"lookback_by_type": [7]},
        {"counting": {"a": "twice"}},
        {"counting": {str(n): "every" for n in range(101)}},
    ],
)
def test_unusable_settings_are_as_if_not_chosen(settings):
    found = policy(**settings)

    assert found.lookback_of("a") == DEFAULT.lookback_of("a") == 90
    assert found.counting_of("a") == DEFAULT.counting_of("a") == "every"


# -- CV9: what counts --


def test_CV9_every_conversion_counts_unless_chosen(shop):
    sales = [shop.convert(minute, "v") for minute in (0, 1)]

    assert [standing(shop, sale).counted for sale in sales] == [True, True]


def test_CV9_once_per_identity_the_first_counts_and_others_are_kept(shop):
    shop.policy = policy(counting={"lead": "once_per_identity"})
    shop.identify("u1", "phone", 0)
    shop.identify("u1", "laptop", 0)
    first = shop.convert(10, "phone", conversion_type="lead")

    second = shop.convert(20, "laptop", conversion_type="lead")
    other = shop.convert(20, "laptop", conversion_type="purchase")

    assert [standing(shop, c).counted for c in (first, second, other)] == [
        True,
        False,
        True,
    ]
    assert second.credits == []
    assert shop.rows("SELECT count(*) FROM conversions WHERE $tenant") == [(3,)]


def test_CV9_late_earlier_one_takes_the_place(shop):
    shop.policy = policy(counting={"lead": "once_per_identity"})
    late = shop.convert(20, "v", conversion_type="lead")

    early = shop.convert(10, "v", conversion_type="lead")

    assert standing(shop, early).counted
    assert not standing(shop, late).counted
    assert shop.journey(late) == []


def test_CV9_merge_of_two_people_leaves_one_lead(shop):
    shop.policy = policy(counting={"lead": "once_per_identity"})
    leads = [
        shop.convert(minute, user=user, conversion_type="lead")
        for minute, user in ((0, "u1"), (5, "u2"))
    ]
    assert [standing(shop, lead).counted for lead in leads] == [True, True]

    shop.alias("u1", "u2", 10)

    assert [standing(shop, lead).counted for lead in leads] == [True, False]


def test_CV9_when_the_first_is_void_the_next_counts(shop):
    shop.policy = policy(counting={"lead": "once_per_identity"})
    first, second = (shop.convert(m, "v", conversion_type="lead") for m in (0, 5))

    shop.void(first)

    assert standing(shop, second).counted
    assert shop.journey(second) == ["unattributed"]


def test_CV9_once_per_session_counts_once_in_each_visit(shop):
    shop.policy = policy(counting={"lead": "once_per_session"})
    shop.visit("v", 0, "G")
    shop.visit("v", 100)
    leads = [shop.convert(m, "v", conversion_type="lead") for m in (1, 2, 101, 500)]
    alone = shop.convert(501, user="u", conversion_type="lead")

    assert [standing(shop, c).counted for c in (*leads, alone)] == [
        True,
        False,
        True,
        True,
        True,
    ]


# -- CV11: what made a customer --


def test_CV11_a_person_has_one_acquisition_the_earliest(shop):
    later = shop.convert(20, user="u1", is_acquisition=True)
    assert standing(shop, later).acquires

    earlier = shop.convert(10, user="u1", is_acquisition=True)
    other = shop.convert(15, user="u2", is_acquisition=True)

    assert standing(shop, earlier).acquires
    assert not standing(shop, later).acquires
    assert standing(shop, later).counted
    assert standing(shop, other).acquires


def test_CV11_void_acquisition_makes_way_for_the_next(shop):
    first, second = (shop.convert(m, user="u1", is_acquisition=True) for m in (0, 1))

    shop.void(first)

    assert not standing(shop, first).acquires
    assert standing(shop, second).acquires


# -- CV12: what is inherited --


@pytest.fixture
def customer(shop):
    """Return what won a customer, who came again by another way since."""
    shop.identify("u1", "v", 0)
    shop.visit("v", 0, "G")
    won = shop.convert(1, "v", is_acquisition=True)
    shop.visit("v", 100 * DAY, "newsletter")
    return won


def test_CV12_renewal_is_credited_to_what_won_the_customer(shop, customer):
    plain = shop.convert(100 * DAY, user="u1")
    renewal = shop.convert(100 * DAY, user="u1", inherits=True)

    assert shop.journey(plain) == ["email"]
    assert shop.journey(renewal) == ["paid_search"]
    assert standing(shop, renewal).inherited_from == customer.conversion.id


def test_CV12_renewal_follows_when_the_acquisition_changes(shop, customer):
    renewal = shop.convert(100 * DAY, user="u1", inherits=True)

    shop.visit("v", -40, "google")
    assert shop.journey(renewal) == ["organic_search", "paid_search"]

    shop.convert(-35, user="u1", is_acquisition=True)
    assert shop.journey(renewal) == ["organic_search"]


def test_CV12_without_acquisition_it_falls_back_to_its_own_visits(shop, customer):
    other = shop.convert(100 * DAY, user="u2", inherits=True)
    assert standing(shop, other).inherited_from is None
    assert shop.journey(other) == ["unattributed"]

    renewal = shop.convert(100 * DAY, user="u1", inherits=True)
    shop.void(customer)

    assert standing(shop, renewal).inherited_from is None
    assert shop.journey(renewal) == ["email"]


def test_CV12_refund_of_a_renewal_is_taken_from_what_won_the_customer(shop, customer):
    renewal = shop.convert(100 * DAY, user="u1", inherits=True)

    shop.refund(renewal, "1.00")

    assert shop.refunded(renewal) == [("paid_search", -1_000_000)]


def test_CV12_acquisition_that_says_so_of_itself_has_its_own_visits(shop):
    shop.visit("v", 0, "G")

    won = shop.convert(1, "v", is_acquisition=True, inherits=True)

    assert standing(shop, won).acquires
    assert shop.journey(won) == ["paid_search"]


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("lookback_days", 31, "a lookback must be 1, 7, 14, 30, 60, 90, 180, 365"),
        ("counting", {"a": "twice"}, "counting must be one of every, once_per_id"),
        ("counting", ["lead"], "this is chosen by type of conversion"),
    ],
)
def test_setting_that_cannot_be_is_refused_with_a_sentence(name, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_setting(name, given)
