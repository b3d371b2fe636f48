"""The channel table, rule by rule, and the recorded cases."""

import json
from pathlib import Path

import pytest

from mbuzz.server.model import CHANNELS
from mbuzz.server.tracking.channels import (
    RULES,
    Evidence,
    classify,
    is_ad,
    is_paid,
)
from mbuzz.server.tracking.landing import read_landing

CASES = json.loads(
    (Path(__file__).parent / "vectors" / "channels.json").read_text("utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_recorded_case(case):
    landing = read_landing(case["url"], case["referrer"], host=case["host"])

    actual = {"channel": landing.channel, "utm": dict(landing.utm)}
    assert actual == case["expected"], case["why"]


def test_all_recorded_cases_are_here():
    assert len(CASES) == 151


def test_table_covers_every_channel_but_other_in_order():
    assert [rule.number for rule in RULES] == [f"C{n}" for n in range(1, 20)]
    assert {rule.channel for rule in RULES} | {"other"} == set(CHANNELS)


@pytest.mark.parametrize(
    ("rule", "channel", "evidence"),
    [
        ("C1", "direct", Evidence()),
        ("C2", "cross_network", Evidence(tagged=True, campaign="x-cross-network")),
        ("C3", "paid_shopping", Evidence(tagged=True, kind="shopping", medium="cpc")),
        ("C3", "paid_shopping", Evidence(tagged=True, campaign="shop", medium="ppc")),
        ("C4", "paid_search", Evidence(tagged=True, kind="search", medium="cpc")),
        ("C5", "paid_social", Evidence(tagged=True, kind="social", medium="cpm")),
        ("C6", "paid_video", Evidence(tagged=True, kind="video", medium="cpv")),
        ("C7", "display", Evidence(tagged=True, medium="cpm")),
        ("C7", "display", Evidence(tagged=True, kind="search", medium="banner")),
        ("C7", "display", Evidence(medium="cpc", click="display")),
        ("C7 D8", "display", Evidence(medium="referral", kind="display")),
        ("C8", "paid_other", Evidence(tagged=True, kind="ai", medium="cpc")),
        ("C8", "paid_other", Evidence(tagged=True, medium="retargeting")),
        ("C9 D1", "ai", Evidence(tagged=True, kind="ai")),
        ("C9", "ai", Evidence(tagged=True, kind="search", medium="ai-assistant")),
        ("C10", "organic_shopping", Evidence(tagged=True, kind="shopping")),
        ("C10", "organic_shopping", Evidence(tagged=True, campaign="e-shopping")),
        ("C10 D3", "email", Evidence(tagged=True, campaign="shop", medium="email")),
        ("C11", "organic_social", Evidence(tagged=True, kind="social", medium="email")),
        ("C11", "organic_social", Evidence(tagged=True, medium="social network")),
        ("C12", "organic_video", Evidence(tagged=True, medium="in-video")),
        ("C13", "organic_search", Evidence(tagged=True, medium="organic")),
        ("C14", "email", Evidence(tagged=True, source="e mail")),
        ("C14 D2", "email", Evidence(medium="referral", kind="email")),
        ("C14", "other", Evidence(tagged=True, kind="email")),
        ("C15", "affiliates", Evidence(tagged=True, medium="affiliates")),
        ("C15", "affiliates", Evidence(tagged=True, medium="x", click="affiliates")),
        ("C16", "referral", Evidence(medium="referral", kind="referral")),
        ("C16", "referral", Evidence(tagged=True, medium="app")),
        ("C17", "audio", Evidence(tagged=True, medium="audio")),
        ("C18", "sms", Evidence(tagged=True, source="sms")),
        ("C19", "push", Evidence(tagged=True, medium="webpush")),
        ("C19", "push", Evidence(tagged=True, medium="mobile-x")),
        ("C19", "push", Evidence(tagged=True, medium="notifications")),
        ("C19", "push", Evidence(tagged=True, source="firebase")),
        ("C20", "other", Evidence(tagged=True, source="flyer", medium="print")),
    ],
)
def test_rule(rule, channel, evidence):
    assert classify(evidence).channel == channel
    if " D3" not in rule and channel != "other":
        assert classify(evidence).number == rule.partition(" ")[0]


@pytest.mark.parametrize(
    ("medium", "paid", "ad"),
    [
        ("cpc", True, True),
        ("ppc", True, True),
        ("paidsocial", True, True),
        ("xcpx", True, True),
        ("unpaid", False, False),
        ("ppcx", False, False),
        ("display", False, True),
        ("", False, False),
    ],
)
def test_paid_and_ad_media(medium, paid, ad):
    assert (is_paid(medium), is_ad(medium)) == (paid, ad)


@pytest.mark.parametrize(
    ("campaign", "shops"),
    [("workshop", False), ("eshop", True), ("bishop", False), ("a-shop-b", True)],
)
def test_C10_shop_is_a_word_of_the_campaign(campaign, shops):
    evidence = Evidence(tagged=True, campaign=campaign)

    assert (classify(evidence).channel == "organic_shopping") == shops
