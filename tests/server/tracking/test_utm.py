"""Campaign tags (U1-U11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.tracking.utm import (
    MAX_URL,
    clean,
    decode,
    has_email,
    query_pairs,
    read_tags,
)


def tags(query, properties=None):
    return dict(
        read_tags(query_pairs(f"https://a.example/?{query}"), properties).values
    )


def flags(query, properties=None):
    return set(read_tags(query_pairs(f"/?{query}"), properties).flags)


@pytest.mark.parametrize(
    ("rule", "query", "expected"),
    [
        ("U1", "UTM_Source=a", {"utm_source": "a"}),
        ("U1", "utm%5Fsource=a", {"utm_source": "a"}),
        ("U1", "xutm_source=a&utm_source2=b&ref=c&source=d", {}),
        (
            "U1",
            "utm_marketing_tactic=A&utm_source_platform=B&utm_creative_format=C",
            {
                "utm_source_platform": "B",
                "utm_creative_format": "C",
                "utm_marketing_tactic": "A",
            },
        ),
        ("U2", "utm_source=a;utm_medium=b", {"utm_source": "a;utm_medium=b"}),
        ("U2", "x=1&amp;utm_source=a", {"utm_source": "a"}),
        ("U2", "x=1#utm_source=a", {}),
        ("U2", "&&=&utm_source&utm_medium=a=b", {"utm_medium": "a=b"}),
        ("U3", "utm_term=a+b%20c", {"utm_term": "a b c"}),
        ("U3", "utm_term=a%2520b", {"utm_term": "a%20b"}),
        ("U3", "utm_term=100%", {"utm_term": "100%"}),
        ("U3", "utm_term=%zz", {"utm_term": "%zz"}),
        ("U3", "utm_term=%ff", {"utm_term": "\ufffd"}),
        ("U4", "utm_term=cafe%CC%81", {"utm_term": "café"}),
        ("U4", "utm_term=%00a%07b", {"utm_term": "ab"}),
        ("U4", "utm_term=+a++%C2%A0b+", {"utm_term": "a b"}),
        ("U4", "utm_term=a\ud800b", {"utm_term": "ab"}),
        ("U5", "utm_source=&utm_source=b&utm_source=c", {"utm_source": "b"}),
        ("U5", "utm_source=%20%00", {}),
        (
            "U6",
            "utm_source=A&utm_medium=B&utm_campaign=C&utm_term=D&utm_content=E",
            {
                "utm_source": "a",
                "utm_medium": "b",
                "utm_campaign": "c",
                "utm_term": "D",
                "utm_content": "E",
            },
        ),
        ("U7", "utm_source=(Direct)&utm_medium=NULL&utm_term=(not+set)", {}),
        ("U7", "utm_source=none&utm_source=b", {"utm_source": "b"}),
        ("U7", "utm_campaign=%%Name%%", {"utm_campaign": "%%name%%"}),
        ("U10", "utm_term=Bob%40Example.com", {"utm_term": "[email]"}),
        ("U10", "utm_term=x+bob%2540example.com", {"utm_term": "[email]"}),
    ],
)
def test_rule(rule, query, expected):
    assert tags(query) == expected


def test_U1_tags_come_in_one_order():
    assert list(tags("utm_id=1&utm_medium=b&utm_source=a")) == [
        "utm_source",
        "utm_medium",
        "utm_id",
    ]


@pytest.mark.parametrize(
    ("properties", "source"),
    [
        ({"utm_source": "Own"}, "own"),
        ({"UTM_SOURCE": "Own"}, "own"),
        ({"utm_source": 7}, "7"),
        ({"utm_source": ""}, "url"),
        ({"utm_source": "(none)"}, "url"),
        ({"utm_source": None}, "url"),
        ({"utm_source": True}, "url"),
        ({"utm_source": ["x"]}, "url"),
        ({"utm_source": "a%20b+c"}, "a%20b+c"),
        ({"other": "x"}, "url"),
        ({}, "url"),
    ],
)
def test_U1_properties_beat_the_url(properties, source):
    assert tags("utm_source=url", properties) == {"utm_source": source}


@pytest.mark.parametrize(
    "value",
    ["{{campaign.name}}", "%7Bcampaignid%7D", "x_{adid}", "%%A_B%%", "[CAMPAIGN]"],
)
def test_U7_forgotten_templates_are_kept_and_flagged(value):
    assert tags(f"utm_campaign={value}")
    assert flags(f"utm_campaign={value}") == {"unexpanded_template"}


@pytest.mark.parametrize("value", ["[DE] brand", "100%% sure", "{}", "a}b{c"])
def test_U7_ordinary_brackets_are_not_templates(value):
    assert flags("", {"utm_campaign": value}) == set()


def test_U8_long_value_is_cut_on_a_character_and_flagged():
    query = "utm_term=" + "%C3%A9" * 256

    assert tags(query) == {"utm_term": "é" * 255}
    assert flags(query) == {"truncated"}
    assert flags("utm_term=" + "a" * 255) == set()


def test_U8_only_the_first_characters_of_a_url_are_read():
    near = "https://a.example/?x=" + "y" * 4000 + "&utm_source=a"
    far = "https://a.example/?x=" + "y" * MAX_URL + "&utm_source=a"

    assert read_tags(query_pairs(near)).values == {"utm_source": "a"}
    assert read_tags(query_pairs(far)).values == {}


@pytest.mark.parametrize("url", ["http://[?utm_source=a", "::?utm_source=a"])
def test_U11_tags_of_a_broken_url_count(url):
    assert read_tags(query_pairs(url)).values == {"utm_source": "a"}


@pytest.mark.parametrize(
    ("value", "is_email"),
    [
        ("bob@example.com", True),
        ("write to bob+x@example.co.uk now", True),
        ("medium.com/@bob.smith", False),
        ("@bob", False),
        ("a@b", False),
    ],
)
def test_U10_what_looks_like_an_email(value, is_email):
    assert has_email(value) is is_email


@given(st.text())
def test_U4_clean_twice_is_clean_once(value):
    once = clean(value)

    assert clean(once) == once
    once.encode("utf-8")


@given(st.text())
def test_U3_decode_takes_any_text(raw):
    assert isinstance(decode(raw), str)
