"""Identity: links, merges, and tenants that never see each other (I1-I12, I15)."""

from itertools import permutations

import pytest

from mbuzz.server.attribution.models import PRESETS
from mbuzz.server.model import Tenant
from mbuzz.server.tracking.recorded import Refused

DAY = 24 * 60


def test_a_visits_before_identify_belong_to_the_user(shop):
    shop.visit("v1", 0, "G")

    said = shop.identify("u1", "v1", 10)
    bought = shop.convert(20, user="u1")

    assert said.visitor_linked
    assert said.identity_id.startswith("idt_")
    assert shop.journey(bought) == ["paid_search"]


def test_b_on_a_shared_computer_old_sessions_stay_and_new_ones_go_to_the_new_user(shop):
    shop.visit("v1", 0, "G")
    shop.identify("u1", "v1", 10)
    shop.identify("u2", "v1", 100)
    shop.visit("v1", 200, "newsletter")

    first, second = shop.convert(300, user="u1"), shop.convert(300, user="u2")

    assert shop.journey(first) == ["paid_search"]
    assert shop.journey(second) == ["email"]


def test_I4_going_back_to_the_first_user_opens_a_new_link(shop):
    shop.identify("u1", "v1", 0)
    shop.identify("u2", "v1", 100)
    shop.identify("u1", "v1", 200)
    for minute, name in [(50, "G"), (150, "newsletter"), (250, "google")]:
        shop.visit("v1", minute, name)

    assert shop.journey(shop.convert(300, user="u1")) == [
        "paid_search",
        "organic_search",
    ]
    assert shop.journey(shop.convert(300, user="u2")) == ["email"]


def test_c_journey_spans_devices(shop):
    shop.visit("phone", 1 * DAY, "google")
    shop.identify("u1", "phone", 1 * DAY + 1)
    shop.visit("laptop", 5 * DAY, "G")
    shop.identify("u1", "laptop", 5 * DAY + 1)

    bought = shop.convert(6 * DAY, visitor="laptop")

    assert shop.journey(bought) == ["organic_search", "paid_search"]


def test_d_alias_twice_is_one_merge(shop):
    shop.identify("u1", "v1", 0)
    shop.identify("u2", "v2", 1)

    first = shop.alias("u1", "u2", 2)
    again = shop.alias("u1", "u2", 3)
    back = shop.alias("u2", "u1", 4)

    assert first == again
    assert back.visitor_linked
    roots = shop.rows("SELECT DISTINCT root_id FROM identities WHERE $tenant")
    assert len(roots) == 1


def test_e_alias_of_oneself_is_nothing(shop):
    said = shop.alias("u1", "u1")

    assert said.identity_id == shop.identify("u1").identity_id
    assert shop.rows("SELECT 1 FROM links WHERE $tenant") == []


def test_f_alias_waits_for_a_visitor_that_was_never_seen(shop):
    shop.alias("u1", "v9", 0)
    shop.visit("v9", 2 * DAY, "G")

    assert shop.journey(shop.convert(3 * DAY, user="u1")) == ["paid_search"]


def test_g_later_identify_brings_an_old_conversion_its_first_touch(shop):
    shop.identify("u1", "v1", 5 * DAY)
    shop.visit("v1", 5 * DAY + 1, "newsletter")
    shop.visit("v3", 2 * DAY, "G")
    bought = shop.convert(6 * DAY, user="u1")
    assert shop.journey(bought) == ["email"]

    shop.identify("u1", "v3", 8 * DAY)

    assert shop.journey(bought) == ["paid_search", "email"]


def test_i_merge_unites_journeys_and_keeps_counts(shop):
    shop.visit("v1", 1 * DAY, "G")
    shop.identify("u1", "v1", 1 * DAY + 1)
    shop.visit("v2", 3 * DAY, "newsletter")
    shop.identify("u2", "v2", 3 * DAY + 1)
    one, two = shop.convert(4 * DAY, user="u1"), shop.convert(5 * DAY, user="u2")
    assert shop.journey(two) == ["email"]

    shop.alias("u2", "u1", 6 * DAY)

    assert shop.journey(one) == shop.journey(two) == ["paid_search", "email"]
    assert shop.rows("SELECT count(*) FROM conversions WHERE $tenant") == [(2,)]
    assert shop.rows("SELECT sum(credit) FROM credits WHERE $tenant") == [
        (2 * len(PRESETS) * 10**9,)
    ]


def test_I7_the_older_identity_is_the_root(shop):
    shop.identify("young", minute=10)
    old = shop.identify("old", minute=0)

    shop.alias("young", "old", 20)

    ((root,),) = shop.rows("SELECT DISTINCT root_id FROM identities WHERE $tenant")
    [(public_id,)] = shop.rows(
        "SELECT public_id FROM identities WHERE $tenant AND id = :id", id=root
    )
    assert public_id == old.identity_id


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_I7_chains_of_merges_are_one_person_in_every_order(new_shop, order):
    shop = new_shop()
    for number in range(4):
        shop.identify(f"u{number}", f"v{number}", number)
        shop.visit(f"v{number}", 100 * number, "G")

    for number in order:
        shop.alias(f"u{number}", f"u{number + 1}", 500)

    assert shop.journey(shop.convert(600, user="u3")) == ["paid_search"] * 4


def test_I7_a_person_has_at_most_100_ids(shop):
    for number in range(1, 101):
        shop.identify(f"u{number}", minute=number)
    for number in range(2, 101):
        shop.alias("u1", f"u{number}", 200)
    shop.identify("one more", minute=300)

    refused = shop.alias("u1", "one more", 301)

    assert refused == Refused(error="a person may have at most 100 user ids")
    roots = shop.rows("SELECT count(*) FROM identities WHERE $tenant GROUP BY root_id")
    assert sorted(roots) == [(1,), (100,)]


def test_links_between_merged_ids_are_no_change_of_person(shop):
    shop.identify("u1", "v1", 0)
    shop.identify("u2", minute=0)
    shop.alias("u1", "u2", 1)

    shop.identify("u2", "v1", 10)

    assert shop.rows("SELECT count(*) FROM links WHERE $tenant") == [(1,)]


def test_two_users_at_one_time_the_one_sent_last_counts(shop):
    shop.identify("u1", "v1", 0)
    shop.identify("u2", "v1", 100)
    in_between = shop.convert(101, user="u2")
    shop.visit("v1", 100, "G")
    assert shop.journey(in_between) == ["paid_search"]

    shop.identify("u3", "v1", 100)

    assert shop.journey(in_between) == ["unattributed"]
    assert shop.journey(shop.convert(200, user="u3")) == ["paid_search"]


def test_the_same_two_users_may_alternate_within_a_millisecond(shop):
    for user in ["u1", "u2", "u1", "u2"]:
        shop.identify(user, "v1", 0)
    shop.visit("v1", 0, "G")

    assert shop.journey(shop.convert(1, user="u1")) == ["unattributed"]
    assert shop.journey(shop.convert(1, user="u2")) == ["paid_search"]


@pytest.mark.parametrize("late", [0, 5, 19])
def test_late_word_does_not_undo_a_later_one(shop, late):
    shop.identify("u1", "v1", 10)
    shop.identify("u1", "v1", 20)

    shop.identify("u2", "v1", late)
    shop.visit("v1", 30, "G")

    assert shop.journey(shop.convert(40, user="u1")) == ["paid_search"]
    assert shop.journey(shop.convert(40, user="u2")) == ["unattributed"]


def test_I3_relinking_takes_credit_from_the_former_user(shop):
    shop.visit("v1", 0, "G")
    shop.identify("u1", "v1", 10)
    shop.visit("v1", 100, "newsletter")
    bought = shop.convert(110, user="u1")
    assert shop.journey(bought) == ["paid_search", "email"]

    shop.identify("u2", "v1", 50)  # arrives late, but is the newest word on v1

    assert shop.journey(bought) == ["paid_search"]


def test_alias_of_a_visitor_takes_credit_from_the_former_user(shop):
    shop.identify("u1", "v1", 10)
    shop.visit("v1", 100, "newsletter")
    bought = shop.convert(110, user="u1")

    shop.alias("u2", "v1", 50)

    assert shop.journey(bought) == ["unattributed"]


def test_I12_event_with_visitor_and_user_links_them(shop):
    shop.visit("v1", 0, "G")

    shop.visit("v1", 10, "server", user_id="u1")

    assert shop.journey(shop.convert(20, user="u1")) == ["paid_search"]


def test_I12_event_with_a_user_only_is_stored_without_visitor(shop):
    recorded = shop.visit(None, 0, "server", user_id="u1")

    assert recorded.visitor_id is None
    assert shop.rows(
        "SELECT visitor IS NULL, identity IS NULL FROM events WHERE $tenant"
    ) == [(1, 0)]


def test_traits_are_merged_and_the_last_word_counts(shop):
    shop.identify("u1", plan="free", city="Kyiv")
    shop.identify("u1", minute=1, plan="pro")
    shop.identify("u1", minute=2)

    assert shop.rows("SELECT traits FROM identities WHERE $tenant") == [
        ('{"city":"Kyiv","plan":"pro"}',)
    ]


def test_identify_without_visitor_links_nobody(shop):
    assert not shop.identify("u1").visitor_linked
    assert shop.rows("SELECT 1 FROM links WHERE $tenant") == []


# -- I15: accounts and environments --


@pytest.fixture
def neighbors(new_shop):
    """Return shops that share a database: other accounts, and test beside live."""
    live, other = new_shop(), new_shop()
    test = new_shop()
    test.tenant = Tenant(live.tenant.account_id, live=False)
    return live, test, other


def test_I15_the_same_ids_of_other_tenants_are_other_people(neighbors):
    journeys = []
    for shop, name in zip(neighbors, ["G", "newsletter", "google"], strict=True):
        shop.visit("v1", 0, name, event_id="evt_same")
        shop.identify("u1", "v1", 1)
        shop.alias("u1", "u0", 2)
    for shop in neighbors:
        journeys.append(shop.journey(shop.convert(10, user="u1", dedupe_key="order:1")))

    assert journeys == [["paid_search"], ["email"], ["organic_search"]]


def test_I15_repeats_are_only_looked_for_at_home(neighbors):
    events = [s.visit("v1", 0, "G", event_id="evt_same") for s in neighbors]
    sales = [
        s.convert(1, "v1", conversion_id="conv_00000001", dedupe_key="order:p:1")
        for s in neighbors
    ]

    assert not any(recorded.duplicate for recorded in [*events, *sales])


def test_I15_event_of_another_tenant_is_unknown(neighbors):
    live, test, other = neighbors
    live.visit("v1", 0, "G", event_id="evt_mine")

    for shop in (test, other):
        refused = shop.convert(1, event_id="evt_mine")

        assert refused == Refused(error="event_id is not known here", unknown=True)


def test_I15_merges_and_late_events_change_nothing_next_door(neighbors):
    live, *others = neighbors
    for shop in neighbors:
        shop.visit("v1", 100, "G")
        shop.identify("u1", "v1", 101)
        shop.identify("u2", "v2", 101)
        shop.bought = shop.convert(200, user="u1")
    dump = "SELECT * FROM {} WHERE $tenant"
    tables = ["sessions", "events", "links", "identities", "conversions", "credits"]
    before = [[shop.rows(dump.format(t)) for t in tables] for shop in others]

    live.visit("v1", 80, "newsletter")
    live.visit("v2", 90, "google")
    live.alias("u1", "u2", 300)
    live.identify("u3", "v1", 301)

    assert live.journey(live.bought) == ["email", "organic_search", "paid_search"]
    assert [[shop.rows(dump.format(t)) for t in tables] for shop in others] == before


# -- what identify answers, and aliases that wait --


def test_I3_answer_says_that_a_former_link_was_closed(shop):
    first = shop.identify("u1", "v1", 0)
    same = shop.identify("u1", "v1", 5)
    other = shop.identify("u2", "v1", 10)
    late = shop.identify("u3", "v1", 3)
    aliased = shop.alias("u4", "v1", 20)

    closed = [r.previous_link_closed for r in (first, same, other, late, aliased)]
    assert closed == [False, False, True, False, True]
    assert other.visitor_linked


def test_I5_one_user_may_have_many_browsers(shop):
    for number in range(60):
        shop.visit(f"v{number}", number, "G")
        shop.identify("u1", f"v{number}", number)

    assert len(set(shop.journey(shop.convert(100, user="u1")))) == 1
    assert len(shop.journey(shop.convert(100, user="u1"))) == 60


def test_I6_alias_waits_for_a_user_that_was_never_seen(shop):
    shop.alias("u1", "u9", 0)
    shop.visit("v9", 2 * DAY, "G")

    shop.identify("u9", "v9", 2 * DAY)

    assert shop.journey(shop.convert(3 * DAY, user="u1")) == ["paid_search"]
    assert shop.rows("SELECT 1 FROM pending_aliases WHERE $tenant") == []


def test_I6_alias_waits_for_30_days(shop):
    shop.alias("u1", "u9", 0)
    shop.visit("v9", 1, "G")

    shop.identify("u9", "v9", 30 * DAY + 1)

    assert shop.journey(shop.convert(30 * DAY + 2, user="u1")) == ["unattributed"]


def test_I6_visitor_that_never_came_is_linked_no_longer(shop):
    shop.alias("u1", "v8", 0)
    shop.alias("u1", "v9", 0)
    shop.visit("v8", 2 * DAY, "newsletter")

    before = 1_750_000_000_000 + 30 * DAY * 60_000
    expired = shop.write(
        lambda stores: stores.tracking.expire_pending_aliases(shop.tenant, before)
    )
    shop.visit("v9", 31 * DAY, "G")

    assert expired == 1
    assert shop.journey(shop.convert(32 * DAY, user="u1")) == ["email"]


def test_I7_limit_holds_for_an_alias_that_waited(shop):
    shop.alias("u1", "u101", 0)
    for number in range(2, 101):
        shop.identify(f"u{number}", minute=1)
        shop.alias("u1", f"u{number}", 2)

    last = shop.identify("u101", minute=3)

    assert not isinstance(last, Refused)  # the alias is too late, the user is not
    roots = shop.rows("SELECT count(*) FROM identities WHERE $tenant GROUP BY root_id")
    assert sorted(roots) == [(1,), (100,)]


def test_I8_first_touch_only_moves_earlier(shop):
    shop.visit("v1", 10, "newsletter")
    shop.identify("u1", "v1", 11)
    bought = shop.convert(20, user="u1")
    shop.visit("v2", 12, "google")
    shop.identify("u1", "v2", 13)
    assert shop.journey(bought)[0] == "email"

    shop.visit("v3", 5, "G")
    shop.identify("u1", "v3", 6)

    assert shop.journey(bought) == ["paid_search", "email", "organic_search"]
