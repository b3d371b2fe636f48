"""Stored visits under newer lists and rules."""

import random

import pytest

from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.tracking.channel_rules import ChannelRule, Condition
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.reclassify import run
from tests.server.tracking.conftest import START
from tests.server.tracking.visits import HITS

NEWS = Policy(
    channel_rules=(ChannelRule("newsletter", (Condition("source", "is", "news"),)),)
)
PSP = Policy(excluded_referrers=frozenset({"unknown-psp.example"}))


def again(shop, policy, since_ms=0, **options):
    return run(shop.storage, shop.tenant, policy, since_ms, **options)


def versions(shop):
    return shop.rows("SELECT DISTINCT list_version FROM sessions WHERE $tenant")


def test_new_rule_changes_visits_and_the_credits_of_conversions(shop):
    shop.visit("v1", 0, "newsletter")
    shop.visit("v1", 40, "google")
    sale = shop.convert(50, "v1")
    shop.visit("v2", 0, "newsletter")

    tally = again(shop, NEWS)

    assert tally.visits == 3
    assert dict(tally.channels) == {("email", "newsletter"): 2}
    assert shop.sessions().count("newsletter") == 2
    assert shop.journey(sale) == ["newsletter", "organic_search"]


def test_second_run_has_nothing_to_do_and_a_rule_can_be_taken_back(shop):
    shop.visit("v1", 0, "newsletter")
    sale = shop.convert(1, "v1")
    again(shop, NEWS)

    assert again(shop, NEWS).changed == 0
    assert again(shop, DEFAULT).changed == 1
    assert shop.journey(sale) == ["email"]


def test_dry_run_counts_and_changes_nothing(shop):
    shop.visit("v1", 0, "newsletter")

    tally = again(shop, NEWS, dry_run=True)

    assert dict(tally.channels) == {("email", "newsletter"): 1}
    assert shop.sessions() == ["email"]


def test_host_that_is_excluded_now_makes_visits_direct(shop):
    shop.visit("v1", 0, "psp")
    shop.visit("v1", 5, "google")  # the visit has a source, so it goes on

    tally = again(shop, PSP)

    assert shop.sessions() == ["direct", "organic_search"]
    assert dict(tally.channels) == {("referral", "direct"): 1}
    assert (tally.begun, tally.joined, tally.changed) == (1, 0, 2)


def test_visits_that_are_one_by_now_are_joined_with_their_credits(shop):
    strict = Policy(split_on_campaign=False)
    shop.visit("v1", 0, "G")
    shop.visit("v1", 5, "G2")
    sale = shop.convert(6, "v1")

    tally = again(shop, strict)

    assert (tally.joined, shop.sessions()) == (1, ["paid_search"])
    assert shop.journey(sale) == ["paid_search"]


def test_tags_that_only_the_event_had_are_classified_again(shop):
    shop.visit("v1", 0, properties={"utm_source": "news", "utm_medium": "email"})

    again(shop, NEWS)

    assert shop.sessions() == ["newsletter"]
    again(shop, DEFAULT)
    assert shop.sessions() == ["email"]


def test_visit_that_asked_for_no_source_still_has_none(shop):
    shop.visit("v1", 0, "google", ignore_referrer=True)

    assert again(shop, Policy(own_domains=frozenset({"b.test"}))).changed == 0
    assert shop.sessions() == ["direct"]


def test_visit_without_click_ids_by_choice_stays_paid(shop):
    url = HITS["gclid=1"][0]
    shop.visit("v1", 0, url=url, refused=frozenset({"ads"}))

    assert again(shop, NEWS).changed == 0
    assert shop.sessions() == ["paid_search"]


def test_visit_whose_events_are_gone_is_classified_by_what_it_keeps(shop):
    shop.visit("v1", 0, "newsletter")
    shop.visit("v1", 5)
    shop.visit("v2", 0, "psp")
    sale = shop.convert(10, "v1")
    shop.write(
        lambda stores: stores.tracking._db.run(
            "DELETE FROM events WHERE account_id = :account_id AND live = 1",
            {"account_id": shop.tenant.account_id},
        )
    )

    tally = again(
        shop,
        Policy(
            channel_rules=NEWS.channel_rules,
            excluded_referrers=PSP.excluded_referrers,
        ),
    )

    assert (tally.changed, tally.visits) == (2, 2)
    assert sorted(shop.sessions()) == ["direct", "newsletter"]
    assert shop.journey(sale) == ["newsletter"]
    views = shop.rows("SELECT page_view_count FROM sessions WHERE $tenant ORDER BY id")
    assert views == [(2,), (1,)]


def test_only_visits_since_then_are_looked_at(shop):
    shop.visit("v1", 0, "newsletter")
    shop.visit("v1", 100, "newsletter")

    tally = again(shop, NEWS, START + 90 * 60_000)

    assert (tally.visits, shop.sessions()) == (1, ["email", "newsletter"])


def test_version_of_the_list_is_brought_up_to_date(shop):
    shop.visit("v1", 0, "google")
    (version,) = versions(shop)
    shop.write(
        lambda stores: stores.tracking._db.run(
            "UPDATE sessions SET list_version = 'old' WHERE account_id = :account_id"
            " AND live = 1",
            {"account_id": shop.tenant.account_id},
        )
    )

    tally = again(shop, DEFAULT)

    assert (tally.changed, versions(shop)) == (0, [version])


def test_other_tenants_are_left_alone(new_shop):
    one, other = new_shop(), new_shop()
    for shop in (one, other):
        shop.visit("v1", 0, "newsletter")

    again(one, NEWS)

    assert (one.sessions(), other.sessions()) == (["newsletter"], ["email"])


def test_stopped_in_between_it_goes_on_where_it_was(shop):
    for number in range(450):
        shop.visit(f"v{number}", 0, "newsletter")

    class StoppedError(Exception):
        pass

    def stop(_):
        raise StoppedError

    with pytest.raises(StoppedError):
        again(shop, NEWS, on_visitors=stop)
    done = shop.sessions().count("newsletter")
    rest = again(shop, NEWS)

    assert done == 200
    assert (rest.changed, rest.visits) == (250, 450)
    assert set(shop.sessions()) == {"newsletter"}


@pytest.mark.parametrize("seed", range(40))
def test_visits_are_what_they_would_be_had_the_policy_been_so_always(new_shop, seed):
    chance = random.Random(seed)
    before, after = chance.sample(
        [
            DEFAULT,
            NEWS,
            PSP,
            Policy(split_on_campaign=False),
            Policy(split_on_referrer="any"),
            Policy(session_timeout_ms=600_000),
            Policy(own_domains=frozenset({"google.com", "unknown-psp.example"})),
        ],
        2,
    )
    changed, always = new_shop(), new_shop()
    names = [name for name in HITS if name != "server"]
    for _ in range(12):
        visitor, minute = chance.choice("ab"), chance.randrange(0, 90)
        hit = chance.choice(names)
        for shop, policy in ((changed, before), (always, after)):
            call = shop.event(f"visitor-{visitor}", minute, hit)
            shop.write(
                lambda stores, shop=shop, policy=policy, call=call: process(
                    stores.tracking, shop.tenant, policy, call
                )
            )
    if chance.random() < 0.5:
        for shop, policy in ((changed, before), (always, after)):
            call = shop.conversion(95, "visitor-a")
            shop.write(
                lambda stores, shop=shop, policy=policy, call=call: process(
                    stores.tracking, shop.tenant, policy, call
                )
            )

    again(changed, after)

    columns = (
        "SELECT v.visitor_id, s.started_at_ms, s.last_event_at_ms, s.page_view_count,"
        " s.channel, s.source, s.medium, s.campaign, s.initial_utm, s.click_ids,"
        " s.flags FROM sessions s JOIN visitors v ON v.id = s.visitor"
        " WHERE s.account_id = :account_id AND s.live = :live"
        " ORDER BY 1, 2, 3, 5, 6"
    )
    credits_ = (
        "SELECT model, position, channel, credit FROM credits WHERE $tenant ORDER BY"
        " model, position"
    )
    assert changed.rows(columns) == always.rows(columns)
    assert changed.rows(credits_) == always.rows(credits_)
    assert again(changed, after).changed == 0
