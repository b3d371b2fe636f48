"""Referrers: self, excluded, known, strangers (R1, R3-R5, R7, R8)."""

import pytest

from mbuzz.server.policy import Policy
from mbuzz.server.tracking.referrers import Referrer, read_referrer, referrer_host

OWN = Policy(own_domains=frozenset({"own.test"}))
SITE = "www.acme.example"


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("https://a.example/x", "a.example"),
        ("HTTP://A.example", "a.example"),
        ("  https://a.example  ", "a.example"),
        ("android-app://com.Foo.bar/path", "app:com.foo.bar"),
        ("android-app://", None),
        ("ios-app://1/x", None),
        ("about:client", None),
        ("file:///etc/passwd", None),
        ("chrome-extension://abc/x", None),
        ("data:text/html,x", None),
        ("//a.example/x", None),
        ("/pricing", None),
        ("https://", None),
        ("", None),
        ("\ud800", None),
    ],
)
def test_R1_host_of_a_referrer(referrer, host):
    assert referrer_host(referrer) == host


@pytest.mark.parametrize(
    ("rule", "referrer", "site", "expected"),
    [
        ("R1", "about:blank", SITE, None),
        ("R3", "https://www.acme.example/x", SITE, Referrer(None, own_host=True)),
        ("R3", "http://acme.example:8080/", SITE, Referrer(None, own_host=True)),
        ("R3", "https://shop.acme.example/", SITE, Referrer(None)),
        ("R3", "https://checkout.stripe.com/", SITE, Referrer(None)),
        ("R3", "https://own.test/", SITE, Referrer(None)),
        ("R3", "https://a.own.test/", SITE, Referrer(None)),
        ("R3", "https://notown.test/", SITE, Referrer(("referral", "notown.test"))),
        ("R3", "https://google.de/", SITE, Referrer(("search", "google"))),
        ("R3", "https://www.b.example/", SITE, Referrer(("referral", "b.example"))),
        (
            "R4",
            "https://blog.naver.com/",
            "shop.naver.com",
            Referrer(("social", "naver")),
        ),
        (
            "R4",
            "https://bob.github.io",
            "eve.github.io",
            Referrer(("referral", "bob.github.io")),
        ),
        ("R4", "https://a.eve.github.io", "eve.github.io", Referrer(None)),
        (
            "R7",
            "http://10.0.0.1/",
            "11.0.0.1",
            Referrer(("referral", "10.0.0.1")),
        ),
        ("R7", "http://localhost:1", "localhost", Referrer(None, own_host=True)),
        ("R7", "https://b.example/", None, Referrer(("referral", "b.example"))),
        (
            "webmail",
            "https://webmail.b.example",
            SITE,
            Referrer(("email", "webmail.b.example")),
        ),
        ("webmail", "https://webmail.acme.example", SITE, Referrer(None)),
        ("app", "android-app://org.b", SITE, Referrer(("referral", "org.b"))),
        ("R8", "https://google.com@paypal.com/", SITE, Referrer(None)),
    ],
)
def test_referrer_seen_from_a_site(rule, referrer, site, expected):
    assert read_referrer(referrer, site, OWN) == expected
