"""Groups: the latest word on each trait counts, and who is in one stays in it."""

from itertools import permutations

import pytest

from mbuzz.server.model import Tenant
from mbuzz.server.tracking.recorded import GroupRecorded
from tests.server.tracking.conftest import at


def traits(shop, name):
    [(found,)] = shop.rows(
        "SELECT traits FROM groups WHERE $tenant AND group_id = :name", name=name
    )
    return found


def members(shop):
    """Return pairs of a group and a user's or visitor's id."""
    return shop.rows(
        "SELECT g.group_id, COALESCE(i.user_id, v.visitor_id)"
        " FROM memberships m JOIN groups g ON g.id = m.member_of"
        " LEFT JOIN identities i ON i.id = m.identity"
        " LEFT JOIN visitors v ON v.id = m.visitor"
        " WHERE m.account_id = :account_id AND m.live = :live ORDER BY 1, 2"
    )


def test_traits_are_added_to_what_was_known(shop):
    shop.group("acme", name="Acme", seats=5)
    shop.group("acme", minute=1, seats=[7, {"of": 10}])
    shop.group("acme", minute=2)

    assert traits(shop, "acme") == '{"name":"Acme","seats":[7,{"of":10}]}'


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_latest_word_on_each_trait_counts_in_every_order(new_shop, order):
    shop = new_shop()
    said = [{"plan": "free", "city": "Kyiv"}, {"plan": "pro"}, {"seats": 5}]

    for minute in order:
        shop.group("acme", minute=minute, **said[minute])

    assert traits(shop, "acme") == '{"city":"Kyiv","plan":"pro","seats":5}'
    assert shop.rows("SELECT said_ms FROM groups WHERE $tenant") == [(at(2),)]


def test_of_two_words_at_one_time_the_one_that_came_last_counts(shop):
    shop.group("acme", plan="free")
    shop.group("acme", plan="pro")

    assert traits(shop, "acme") == '{"plan":"pro"}'


def test_the_same_call_again_changes_nothing(shop):
    first = shop.group("acme", user="u1", call_id="evt_1", plan="free")
    shop.group("acme", call_id="evt_2", plan="pro")

    again = shop.group("acme", minute=9, user="u2", call_id="evt_1", plan="free")

    assert (first, again) == (GroupRecorded(), GroupRecorded(duplicate=True))
    assert traits(shop, "acme") == '{"plan":"pro"}'
    assert members(shop) == [("acme", "u1")]


def test_a_person_is_in_a_group_once_since_the_earliest_word(shop):
    for minute in (5, 3, 9):
        shop.group("acme", minute=minute, user="u1")
        shop.group("acme", minute=minute, visitor="v1")

    assert members(shop) == [("acme", "u1"), ("acme", "v1")]
    assert shop.rows("SELECT since_ms FROM memberships WHERE $tenant") == (
        [(at(3),)] * 2
    )


def test_a_person_may_be_in_many_groups_and_a_group_in_none(shop):
    shop.group("acme", user="u1")
    shop.group("globex", user="u1")
    shop.group("globex", user="u2")
    shop.group("empty", plan="free")

    assert members(shop) == [("acme", "u1"), ("globex", "u1"), ("globex", "u2")]
    assert traits(shop, "empty") == '{"plan":"free"}'


def test_call_with_a_visitor_and_a_user_links_them_as_an_event_does(shop):
    shop.visit("v1", 0, "G")

    shop.group("acme", minute=1, user="u1", visitor="v1")

    assert members(shop) == [("acme", "u1")]
    assert shop.journey(shop.convert(2, user="u1")) == ["paid_search"]


def test_I15_groups_of_other_tenants_are_other_groups(new_shop):
    live, other = new_shop(), new_shop()
    test = new_shop()
    test.tenant = Tenant(live.tenant.account_id, live=False)
    shops = (live, test, other)

    said = [
        shop.group("acme", user="u1", call_id="evt_same", of=str(number))
        for number, shop in enumerate(shops)
    ]
    live.group("acme", minute=1, visitor="v1", of="live")

    assert said == [GroupRecorded()] * 3
    assert [traits(shop, "acme") for shop in shops] == [
        '{"of":"live"}',
        '{"of":"1"}',
        '{"of":"2"}',
    ]
    assert [members(shop) for shop in shops] == [
        [("acme", "u1"), ("acme", "v1")],
        [("acme", "u1")],
        [("acme", "u1")],
    ]
