"""What is stored of addresses (R10, U8, U10, P6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.tracking.landing import stored_referrer, stored_url


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://a.example/x?b=1&c=%20d#top", "https://a.example/x?b=1&c=%20d#top"),
        ("/x?token=1&b=2&PASSWORD=3", "/x?b=2"),
        ("/x?access_token=1&api-key=2&user%5Bemail%5D=3", "/x"),
        ("/x?code=1&state=2&card=3", "/x"),
        ("/x?promo_code=1&monkey=2", "/x?promo_code=1&monkey=2"),
        ("/x?amp;token=1&amp;b=2", "/x?amp;b=2"),
        ("/x?to=bob%40example.com&b=2", "/x?to=[email]&b=2"),
        ("/x?to=bob%2540example.com", "/x?to=[email]"),
        ("/x?bob@example.com&b=2", "/x?b=2"),
        ("/u/bob.b@example.com/x", "/u/[email]/x"),
        ("/u/bob%40example.com/x", "/u/[email]/x"),
        ("https://a.example/@bob/", "https://a.example/@bob/"),
        ("https://u:p@a.example/x", "https://a.example/x"),
        ("/x#access_token=1", "/x"),
        ("/x#bob@example.com", "/x"),
        ("/x?&&", "/x"),
        (" /x y\n\ud800z ", "/x yz"),
        ("", ""),
        ("?", ""),
    ],
)
def test_U10_stored_url(url, stored):
    assert stored_url(url) == stored


def test_U8_stored_url_is_cut():
    assert len(stored_url("/" + "x" * 5000)) == 2048


@pytest.mark.parametrize(
    ("referrer", "stored"),
    [
        (None, None),
        ("", None),
        ("about:blank", None),
        ("https://", None),
        ("https://b.example/x?y=1#z", "https://b.example/x"),
        ("https://u:p@b.example/x", "https://b.example/x"),
        ("https://b.example/u/bob@example.com", "https://b.example/u/[email]"),
        (" https://b.example ", "https://b.example"),
        ("https://google.com/search?q=shoes&ei=1", "https://google.com/search?q=shoes"),
        ("https://baidu.com/s?wd=a&text=b", "https://baidu.com/s?wd=a&text=b"),
        (
            "https://bing.com/search?q=bob%40b.example",
            "https://bing.com/search?q=[email]",
        ),
        ("https://bing.com/search?form=x", "https://bing.com/search"),
        ("https://facebook.com/x?q=1", "https://facebook.com/x"),
        ("android-app://com.slack/x?y", "android-app://com.slack/x"),
        ("https://b.example/" + "x" * 3000, "https://b.example/" + "x" * 2030),
    ],
)
def test_R10_stored_referrer(referrer, stored):
    assert stored_referrer(referrer) == stored


PARTS = st.sampled_from(
    "https:// // google.com a@b.example bob%40b.example @ : [ ] . / ? # & = + % \ud800 "
    "é token password= code q= amp; x y= email".split()
)


@given(st.one_of(st.text(), st.lists(PARTS).map("".join)))
def test_storing_what_was_stored_changes_nothing(text):
    url, referrer = stored_url(text), stored_referrer(text)

    url.encode("utf-8")
    assert stored_url(url) == url
    assert referrer is None or stored_referrer(referrer) == referrer


def test_hostile_path_is_stored_quickly():
    assert stored_url("/" + "a" * 200_000 + "@").startswith("/aaa")
    assert stored_url("/" + "a@" * 100_000).startswith("/a@a")
