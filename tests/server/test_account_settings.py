"""Settings: strict when they are chosen, lenient when events need them."""

import json

import pytest

from mbuzz.server.account_settings import SETTINGS, read_setting
from mbuzz.server.policy import DEFAULT, Policy, policy_of


@pytest.mark.parametrize(
    ("name", "given", "attribute", "expected"),
    [
        ("session_timeout", 5, "session_timeout_ms", 300_000),
        ("session_timeout", 480, "session_timeout_ms", 28_800_000),
        ("max_event_age", 5, "max_event_age", 5),
        ("split_on_campaign", False, "split_on_campaign", False),
        ("split_on_referrer", "known", "split_on_referrer", "known"),
        ("own_domains", ["Shop.Example."], "own_domains", {"shop.example"}),
        ("own_domains", ["*.shop.example"], "own_domains", {"shop.example"}),
        ("own_domains", ["bücher.example"], "own_domains", {"xn--bcher-kva.example"}),
        ("excluded_referrers", ["psp.test"], "excluded_referrers", {"psp.test"}),
        ("counted_referrers", ["paypal.com"], "counted_referrers", {"paypal.com"}),
        (
            "spam_referrers",
            ["a.test", "b.test"],
            "spam_referrers",
            {"a.test", "b.test"},
        ),
        ("source_aliases", True, "source_aliases", True),
        ("allow_apps", True, "allow_apps", True),
        ("strict_visitors", True, "strict_visitors", True),
        ("auto_link", False, "auto_link", False),
        ("refused_consent", "keep", "refused_consent", "keep"),
        ("refused_consent", "cookieless", "refused_consent", "cookieless"),
        ("respect_gpc", False, "respect_gpc", False),
        ("store_ip", "masked", "store_ip", "masked"),
        ("store_user_agent", "full", "store_user_agent", "full"),
        ("kept_parameters", ["State"], "kept_parameters", {"state"}),
        ("dropped_parameters", ["sid"], "dropped_parameters", {"sid"}),
    ],
)
def test_setting_becomes_policy(name, given, attribute, expected):
    assert read_setting(name, given) is not None
    policy = policy_of("EUR", "Europe/Berlin", json.dumps({name: given}))

    assert getattr(policy, attribute) == expected
    assert (policy.currency, policy.timezone) == ("EUR", "Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("session_timeout", 4, "a whole number from 5 to 480, got 4"),
        ("max_event_age", 31, "a whole number from 1 to 30, got 31"),
        ("session_timeout", True, "a whole number from 5 to 480, got True"),
        ("session_timeout", 30.5, "a whole number"),
        ("split_on_campaign", "yes", "true or false, got 'yes'"),
        ("split_on_referrer", "all", "one of direct_only, none, known, any"),
        ("split_on_referrer", ["any"], "one of direct_only"),
        ("own_domains", "shop.example", r'a list, such as \["shop.example"\]'),
        ("own_domains", ["not a host"], "got 'not a host'"),
        ("own_domains", ["com"], "got 'com'"),
        ("own_domains", [7], "got 7"),
        ("own_domains", ["a.test"] * 501, "may have 500 entries, got 501"),
        ("kept_parameters", ["a=b"], r'such as \["state"\], got'),
        ("channel_rules", "x", "a list of at most 100 rules"),
        ("nope", 1, "there is no setting 'nope'; `mbuzz settings show` lists them"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(name, given, said):
    with pytest.raises(ValueError, match=said) as refused:
        read_setting(name, given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"session_timeout": "long", "own_domains": {}, "channel_rules": [1]},
        {"retention": {"events_days": 3}, "nope": 1},
        [],
        "x",
    ],
)
def test_what_is_stored_never_stops_events(stored):
    policy = policy_of("USD", "UTC", json.dumps(stored))

    for name in Policy.__slots__:
        assert getattr(policy, name) == getattr(DEFAULT, name)


def test_one_bad_setting_does_not_cost_the_others():
    stored = {"session_timeout": 0, "allow_apps": True}

    policy = policy_of("USD", "UTC", json.dumps(stored))

    assert (policy.session_timeout_ms, policy.allow_apps) == (1_800_000, True)


def test_defaults_of_settings_are_those_of_the_policy():
    for name, setting in SETTINGS.items():
        default = setting.read(
            list(setting.default) if setting.default == () else setting.default
        )
        if name == "session_timeout":
            assert default * 60_000 == DEFAULT.session_timeout_ms
        elif name not in ("retention", "erase_conversions"):  # no tracking asks those
            assert default == getattr(DEFAULT, name), name


def test_settings_that_are_none_of_trackings_stop_no_events():
    chosen = '{"retention": {"events_days": 30}, "erase_conversions": "full"}'

    assert policy_of("USD", "UTC", chosen).lookback_days == 90


def test_same_settings_are_the_same_policy():
    assert policy_of("USD", "UTC", "{}") is policy_of("USD", "UTC", "{}")
