"""What is kept of a person's machine and addresses (P1, P4, P6, R10, U10)."""

import pytest

from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.tracking.privacy import kept_ip, kept_properties, kept_user_agent
from mbuzz.server.tracking.user_agents import summary

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    ("given", "masked"),
    [
        ("203.0.113.77", "203.0.113.0"),
        (" 203.0.113.77 ", "203.0.113.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("nobody", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_P1_masked_addresses_are_of_many_people(given, masked):
    assert kept_ip(given, Policy(store_ip="masked")) == masked


def test_P1_addresses_are_kept_only_if_asked_for():
    properties = {"ip": "203.0.113.77", "plan": "pro"}

    kept = {
        choice: kept_properties(properties, Policy(store_ip=choice))
        for choice in ("none", "masked", "full")
    }

    assert kept_ip("203.0.113.77", DEFAULT) is None
    assert kept == {
        "none": {"plan": "pro"},
        "masked": {"plan": "pro", "ip": "203.0.113.0"},
        "full": {"plan": "pro", "ip": "203.0.113.77"},
    }
    assert kept_properties({"ip": "?"}, Policy(store_ip="full")) == {}


def test_P6_user_agent_is_kept_in_short():
    assert kept_user_agent(CHROME, DEFAULT) == "Chrome 126 / Windows / desktop"
    assert kept_user_agent(CHROME, Policy(store_user_agent="full")) == CHROME
    assert kept_user_agent(CHROME, Policy(store_user_agent="none")) is None
    assert kept_user_agent(None, DEFAULT) is None
    assert len(kept_user_agent("a" * 9_999, Policy(store_user_agent="full"))) == 512


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (CHROME, "Chrome 126 / Windows / desktop"),
        (CHROME + " Edg/126.0.0.0", "Edge 126 / Windows / desktop"),
        (CHROME + " OPR/110.0", "Opera 110 / Windows / desktop"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17) Version/17.5 Mobile/1 Safari/604",
            "Safari 17 / iOS / phone",
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_5) CriOS/126.0 Mobile/15E148 Safari/604.1",
            "Chrome 126 / iPadOS / tablet",
        ),
        (
            "Mozilla/5.0 (Android 14) SamsungBrowser/25.0 Chrome/121 Mobile Safari/53",
            "Samsung Internet 25 / Android / phone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 14; Tab) Chrome/126.0.0.0 Safari/537.36",
            "Chrome 126 / Android / tablet",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.5 Safari/605",
            "Safari 17 / macOS / desktop",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            "Firefox 127 / Linux / desktop",
        ),
        (
            "Mozilla/5.0 (iPhone) Mobile/15E148 [FBAN/FBIOS;FBAV/463.0.0]",
            "Facebook 463 / iOS / phone",
        ),
        ("okhttp/4.12.0", "okhttp 4 / Android / phone"),
        (
            "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko",
            "Internet Explorer 11 / Windows / desktop",
        ),
        ("something else", "other / other / other"),
        ("", "other / other / other"),
    ],
)
def test_P6_summary_of_a_user_agent(agent, expected):
    assert summary(agent) == expected


def test_P6_hostile_agents_are_summed_up_at_once():
    assert summary("Trident/" * 100_000) == "other / other / other"
    assert summary("Mozilla/5.0 [FBAN;" * 10_000).startswith("Facebook")
