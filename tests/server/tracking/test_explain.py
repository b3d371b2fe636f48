"""One landing explained: the evidence, the rule, and what was ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.policy import Policy
from mbuzz.server.tracking.channel_rules import ChannelRule, Condition
from mbuzz.server.tracking.channels import RULES
from mbuzz.server.tracking.explain import explain
from mbuzz.server.tracking.landing import read_landing
from tests.server.tracking.test_channels import CASES

SITE = "https://www.acme.example/"


@pytest.mark.parametrize(
    ("query", "referrer", "rule", "parts"),
    [
        ("", None, "C1", ["no tags, no click id, no referrer"]),
        ("", SITE, "C1", ["www.acme.example is the site itself"]),
        ("", "https://paypal.com", "C1", ["paypal.com is a payment or sign-on site"]),
        ("", "https://psp.test", "C1", ["psp.test is one that the account excludes"]),
        ("", "https://m.acme.example", "C1", ["is of the same business"]),
        ("", "about:client", "C1", ["the referrer is not a web address or app"]),
        (
            "utm_nooverride=1&gclid=1",
            None,
            "C1",
            ["the URL asks to ignore its source"],
        ),
        (
            "",
            "https://www.google.com/",
            "C13",
            ["no paid click id; the referrer www.google.com is a search site"],
        ),
        ("", "https://claude.ai", "C9", ["claude.ai is an AI site"]),
        ("", "https://b.example", "C16", ["the referrer b.example is another site"]),
        ("", "https://docs.google.com/", "C16", ["docs.google.com is another site"]),
        ("gclid=1", None, "C4", ["no tags; gclid is a paid click of google"]),
        (
            "gclid=1",
            "https://t.co/",
            "C4",
            ["the referrer t.co does not count beside that"],
        ),
        ("fbclid=1", None, "C11", ["fbclid is of facebook, which adds it to unpaid"]),
        ("srsltid=1", None, "C1", ["srsltid is ignored"]),
        ("gclid=", None, "C1", ["gclid is empty or ignored"]),
        (
            "utm_source=Google&utm_medium=CPC",
            None,
            "C4",
            [
                "the link has tags (utm_source, utm_medium)",
                "utm_source google is known as a search site",
                "utm_source 'Google' was read as 'google'",
                "utm_medium 'CPC' was read as 'cpc'",
            ],
        ),
        (
            "utm_source=google&gclid=1",
            None,
            "C4",
            ["the medium is cpc because of the click id"],
        ),
        (
            "utm_source=bing&utm_medium=organic&gclid=1",
            None,
            "C13",
            ["gclid changes nothing: the tags count"],
        ),
        (
            "utm_medium=cpc&utm_term=(none)&utm_foo=1",
            "https://google.com",
            "C4",
            [
                "utm_source is missing, so it is google",
                "utm_term says nothing ('(none)')",
                "utm_foo is no tag that is read",
            ],
        ),
        (
            "utm_source=flyer&utm_source=b&utm_medium=print",
            None,
            "C20",
            [
                "utm_source flyer is not a known site",
                "utm_source is repeated, the first that says something counts",
                "the tags fit no channel; change utm_medium, or add a rule",
            ],
        ),
        (
            "utm_source=x&utm_medium=cpc",
            "https://google.com",
            "C8",
            ["the source is not known", "google.com does not count beside that"],
        ),
        (
            "utm_source=partner",
            None,
            "custom 1",
            ["custom 1 partner: a rule of the account"],
        ),
    ],
)
def test_reasons(query, referrer, rule, parts):
    own = ChannelRule("partner", (Condition("source", "is", "partner"),))
    policy = Policy(channel_rules=(own,), excluded_referrers=frozenset({"psp.test"}))

    found = explain(SITE + (f"?{query}" if query else ""), referrer, policy=policy)

    assert found.rule == rule
    for part in parts:
        assert part in found.why


def test_broken_url_is_named():
    assert "the URL is not well-formed" in explain("https://?x").why
    assert "the URL has no host" in explain("/pricing").why
    assert "the URL has no host" not in explain("/pricing", host="acme.example").why


def test_long_values_are_shown_in_part():
    assert len(explain(f"{SITE}?utm_source={'A' * 8000}").why) < 800


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_rule_is_the_one_that_classifies(case):
    found = explain(case["url"], case["referrer"], host=case["host"])

    channel_of_rule = {rule.number: rule.channel for rule in RULES}
    assert channel_of_rule.get(found.rule, "other") == case["expected"]["channel"]


@given(st.text() | st.none(), st.text() | st.none(), st.text() | st.none())
def test_any_text_is_explained_as_it_is_classified(url, referrer, host):
    found = explain(url, referrer, host=host)

    assert found.landing == read_landing(url, referrer, host=host)
    assert found.why
