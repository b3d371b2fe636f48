"""Traits: of each value the last word, whatever order the words came in (I2, I7)."""

from itertools import permutations

import pytest

from mbuzz.server.tracking.identity import by_email, traits_of
from mbuzz.server.tracking.traits import MOST_TRAITS, email_hash, merged


def kept(shop, user):
    return shop.storage.read(
        lambda stores: traits_of(
            stores.tracking, shop.tenant, stores.tracking.identity(shop.tenant, user)
        )
    )


def found(shop, email):
    return shop.storage.read(
        lambda stores: by_email(stores.tracking, shop.tenant, email)
    )


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_I7_last_word_of_each_trait_counts_in_every_order(new_shop, order):
    shop = new_shop()
    words = [
        (0, {"plan": "free", "address": {"city": "Kyiv", "zip": "1"}}),
        (1, {"plan": "pro", "seats": 3}),
        (2, {"seats": 5, "address": {"zip": "2"}}),
    ]

    for number in order:
        minute, traits = words[number]
        shop.identify("u1", minute=minute, **traits)

    assert kept(shop, "u1") == {
        "plan": "pro",
        "seats": 5,
        "address": {"city": "Kyiv", "zip": "2"},
    }


def test_I7_merged_ids_share_their_traits(shop):
    shop.identify("u1", minute=5, plan="pro", city="Kyiv")
    shop.identify("u2", minute=9, plan="free", seats=2)

    shop.alias("u1", "u2", 10)

    together = {"plan": "free", "city": "Kyiv", "seats": 2}
    assert kept(shop, "u1") == kept(shop, "u2") == together


def test_value_and_object_of_one_name_take_each_others_place():
    traits, said = merged({}, {}, {"a": {"b": 1}}, 10)
    traits, said = merged(traits, said, {"a": 5}, 20)
    assert (traits, said) == ({"a": 5}, {"a": 20})

    assert merged(traits, said, {"a": {"b": 2}}, 15)[0] == {"a": 5}
    assert merged(traits, said, {"a": {"b": 2}}, 20)[0] == {"a": {"b": 2}}


def test_traits_are_bounded_and_the_oldest_go_first():
    traits, said = merged({}, {}, {"old": 1}, 1)
    many = {f"t{number}": number for number in range(MOST_TRAITS)}

    traits, said = merged(traits, said, many, 2)

    assert len(traits) == len(said) == MOST_TRAITS
    assert "old" not in traits


# -- I13 --


def test_I13_user_is_found_by_e_mail_whatever_its_case(shop):
    shop.identify("u1", email=" Ann@Shop.example ")
    shop.identify("u2", email="bob@shop.example")

    bought = shop.convert(5, email="ann@shop.EXAMPLE")

    assert not bought.unknown_user
    assert bought.conversion.user_id == "u1"


def test_I13_e_mail_of_two_users_or_of_none_links_nobody(shop):
    shop.identify("u1", email="ann@shop.example")
    shop.identify("u2", email="ann@shop.example")

    for email in ("ann@shop.example", "nobody@shop.example"):
        bought = shop.convert(5, "v", email=email)
        assert bought.unknown_user
        assert bought.conversion.identity is None


def test_I13_users_who_are_one_person_are_one(shop):
    shop.identify("u1", email="ann@shop.example")
    shop.identify("u2", email="ann@shop.example")
    shop.alias("u1", "u2", 1)

    assert found(shop, "ann@shop.example") is not None


def test_I13_conversion_of_nobody_known_is_kept(shop):
    bought = shop.convert(5, email="nobody@shop.example", is_acquisition=True)

    assert shop.journey(bought) == ["unattributed"]
    assert shop.stored(bought).standing.counted


def test_I13_former_e_mail_finds_nobody(shop):
    shop.identify("u1", email="old@shop.example")
    shop.identify("u1", minute=1, email="new@shop.example")

    assert found(shop, "old@shop.example") is None
    assert found(shop, "new@shop.example") is not None


@pytest.mark.parametrize("given", [None, 5, "", "ann", ["a@b"]])
def test_what_is_no_e_mail_has_no_hash(given):
    assert email_hash(given) is None
