"""An account's own channel rules (backend.md 5.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.tracking.channel_rules import (
    FIELDS,
    OPERATORS,
    ChannelRule,
    Condition,
    find_rule,
    parse_rules,
)
from mbuzz.server.tracking.landing import read

SITE = "https://www.acme.example/"


def rule(channel, *conditions):
    return {
        "channel": channel,
        "when": [
            dict(zip(("field", "operator", "value"), one, strict=False))
            for one in conditions
        ],
    }


def channel(url, referrer=None, *rules):
    return read(url, referrer, policy=Policy(channel_rules=parse_rules(list(rules))))


@pytest.mark.parametrize(
    ("operator", "value", "fits"),
    [
        ("is", "Partner-Blog", True),
        ("is", "partner", False),
        ("is_not", "x", True),
        ("is_not", "partner-blog", False),
        ("contains", "ner-b", True),
        ("contains", "z", False),
        ("starts_with", "part", True),
        ("starts_with", "blog", False),
        ("ends_with", "blog", True),
        ("ends_with", "part", False),
        ("matches", "partner-*", True),
        ("matches", "*-blog", True),
        ("matches", "p*r*b*g", True),
        ("matches", "*", True),
        ("matches", "partner-blog", True),
        ("matches", "partner-blog*blog", False),
        ("matches", "artner*", False),
        ("is_set", "", True),
        ("is_empty", "", False),
    ],
)
def test_operator(operator, value, fits):
    (parsed,) = parse_rules([rule("partner", ("source", operator, value))])
    facts = {**dict.fromkeys(FIELDS, ()), "source": ("partner-blog",)}

    assert (find_rule([parsed], facts) == 0) is fits


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", "news"),
        ("medium", "print"),
        ("campaign", "spring"),
        ("content", "top"),
        ("term", "shoes"),
        ("id", "77"),
        ("referrer_host", "www.blog.example"),
        ("landing_path", "/qr"),
        ("click_id", "fbclid"),
    ],
)
def test_field(field, value):
    url = SITE + (
        "qr?utm_source=News&utm_medium=print&utm_campaign=Spring&utm_content=Top"
        "&utm_term=Shoes&utm_id=77&fbclid=1"
    )

    reading = channel(
        url, "https://www.blog.example/x", rule("own_one", (field, "is", value))
    )

    assert (reading.landing.channel, reading.rule) == ("own_one", "custom 1")
    assert reading.landing.flags == frozenset()  # nothing is unassigned


def test_rules_come_before_the_table_and_the_first_one_wins():
    rules = [
        rule("other_one", ("source", "is", "bing")),
        rule("brand", ("source", "is", "google"), ("campaign", "contains", "brand")),
        rule("late", ("source", "is", "google")),
    ]
    url = SITE + "?utm_source=google&utm_medium=cpc&utm_campaign="

    brand, late = (channel(url + name, None, *rules) for name in ("my-brand", "a"))

    assert (brand.landing.channel, brand.rule) == ("brand", "custom 2")
    assert (late.landing.channel, late.rule) == ("late", "custom 3")
    assert channel(SITE, None, *rules).rule == "C1"


def test_direct_visit_can_have_a_channel_and_never_takes_anothers_place():
    reading = channel(SITE + "qr", None, rule("flyer", ("landing_path", "is", "/qr")))

    assert (reading.landing.channel, reading.landing.key) == ("flyer", None)


def test_path_without_one_is_the_root():
    reading = channel(
        "https://acme.example?x=1", None, rule("home", ("landing_path", "is", "/"))
    )

    assert reading.landing.channel == "home"


def test_existing_channels_can_be_named():
    reading = channel(
        SITE, "https://b.example/", rule("email", ("referrer_host", "is", "b.example"))
    )

    assert reading.landing.channel == "email"
    assert reading.landing.source == "b.example"


def test_without_rules_nothing_is_different():
    assert read(SITE, None, policy=Policy()) == read(SITE, None, policy=DEFAULT)


CONDITION = ("source", "is", "a")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "a list of at most 100 rules"),
        ([rule("aa", CONDITION)] * 101, "a list of at most 100 rules"),
        (["x"], "rule 1 must be"),
        ([{"channel": "aa", "when": [], "also": 1}], "rule 1 must be"),
        ([rule("aa", CONDITION), rule("A B", CONDITION)], "rule 2: a channel is 2 to"),
        ([rule("a" * 33, CONDITION)], "rule 1: a channel is 2 to 32"),
        ([rule("unattributed", CONDITION)], "rule 1: a channel is"),
        ([rule(7, CONDITION)], "rule 1: a channel is"),
        ([rule("aa")], "1 to 10 conditions"),
        ([rule("aa", *[CONDITION] * 11)], "1 to 10 conditions"),
        ([{"channel": "aa", "when": ["x"]}], "a condition is"),
        ([rule("aa", ("source", "is", "a", "x"))], None),
        ([{"channel": "aa", "when": [{"field": "source"}]}], "a condition is"),
        ([rule("aa", ("browser", "is", "a"))], "field must be one of source"),
        ([rule("aa", (["source"], "is", "a"))], "field must be one of source"),
        ([rule("aa", ("source", "like", "a"))], "operator must be one of is"),
        ([rule("aa", ("source", {}, "a"))], "operator must be one of is"),
        ([rule("aa", ("source", "is"))], "value must be text of 1 to 255"),
        ([rule("aa", ("source", "is", ""))], "value must be text of 1 to 255"),
        ([rule("aa", ("source", "is", 1))], "value must be text of 1 to 255"),
        ([rule("aa", ("source", "is", "a" * 256))], "value must be text of 1 to 255"),
        ([rule("aa", ("source", "is_set", "a"))], "is_set takes no value"),
        ([rule("aa", ("source", "matches", "*" * 9))], "may have 8 stars"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_sentence(given, said):
    if said is None:
        assert parse_rules(given)
        return
    with pytest.raises(ValueError, match=said) as refused:
        parse_rules(given)
    assert "\n" not in str(refused.value)


def test_hostile_pattern_is_answered_at_once():
    pattern = "*a" * 8
    hostile = ChannelRule("aa", (Condition("source", "matches", pattern),))
    facts = {**dict.fromkeys(FIELDS, ()), "source": ("a" * 100_000 + "b",)}

    assert find_rule([hostile] * 100, facts) is None


@given(st.text(alphabet="ab*", max_size=6), st.text(alphabet="ab", max_size=8))
def test_pattern_means_what_it_means_in_shells(pattern, value):
    import fnmatch

    condition = Condition("source", "matches", pattern)
    facts = {**dict.fromkeys(FIELDS, ()), "source": (value,)}

    found = find_rule([ChannelRule("aa", (condition,))], facts)

    assert (found == 0) is fnmatch.fnmatchcase(value, pattern)


@given(
    st.lists(
        st.builds(
            Condition,
            st.sampled_from(FIELDS),
            st.sampled_from(OPERATORS),
            st.text(min_size=1, max_size=5),
        ),
        min_size=1,
        max_size=3,
    ),
    st.text(),
    st.text(),
)
def test_any_rule_on_any_text_gives_a_channel(conditions, url, referrer):
    policy = Policy(channel_rules=(ChannelRule("own_one", tuple(conditions)),))

    reading = read(url, referrer, policy=policy)

    assert (reading.landing.channel == "own_one") == (reading.rule == "custom 1")
