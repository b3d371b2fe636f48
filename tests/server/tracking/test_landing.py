"""Where a visitor came from: precedence (K1-K3), keys (1.2), flags, S12."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.model import CHANNELS, DIRECT
from mbuzz.server.policy import Policy
from mbuzz.server.tracking.landing import read_landing

SITE = "https://www.acme.example/"


def land(query="", referrer=None, **options):
    return read_landing(SITE + (f"?{query}" if query else ""), referrer, **options)


def summary(landing):
    return landing.channel, landing.source, landing.medium


@pytest.mark.parametrize(
    ("rule", "query", "referrer", "expected"),
    [
        ("C1", "", None, ("direct", None, None)),
        ("C1", "", "https://m.acme.example/", ("direct", None, None)),
        ("R8", "", "https://www.paypal.com/", ("direct", None, None)),
        ("C13", "", "https://google.de/", ("organic_search", "google", "organic")),
        ("C11", "", "https://t.co/x", ("organic_social", "x", "referral")),
        ("C16", "", "https://www.b.example/", ("referral", "b.example", "referral")),
        ("C16", "", "http://sms/", ("referral", "sms", "referral")),
        ("D8", "", "https://x.outbrain.com", ("display", "outbrain", "referral")),
        (
            "D2",
            "",
            "https://webmail.b.example",
            ("email", "webmail.b.example", "referral"),
        ),
        ("K1", "gclid=1", None, ("paid_search", "google", "cpc")),
        ("K1", "twclid=1", None, ("paid_social", "x", "cpc")),
        ("K1", "dclid=1", None, ("display", "dv360", "cpc")),
        ("K1", "awc=1", None, ("affiliates", "awin", "affiliate")),
        ("K1", "fbclid=1", None, ("organic_social", "facebook", "referral")),
        ("K1", "igsh=1", None, ("organic_social", "instagram", "referral")),
        ("K1", "ysclid=1", None, ("organic_search", "yandex", "organic")),
        ("K1", "mc_eid=1", None, ("email", "mailchimp", "email")),
        ("K1", "mc_eid=1&gclid=2", None, ("paid_search", "google", "cpc")),
        ("K1", "fbclid=1", "https://t.co/", ("organic_social", "x", "referral")),
        (
            "K1",
            "fbclid=1",
            "https://stripe.com",
            ("organic_social", "facebook", "referral"),
        ),
        ("K3", "msclkid=1", "https://t.co/", ("paid_search", "bing", "cpc")),
        ("K3", "gclid=1", "https://paypal.com/", ("paid_search", "google", "cpc")),
        ("K1", "utm_source=a&gclid=1", None, ("other", "a", None)),
        ("K2", "utm_source=google&gclid=1", None, ("paid_search", "google", "cpc")),
        (
            "K2",
            "utm_source=google&utm_medium=organic&gclid=1",
            None,
            ("paid_search", "google", "cpc"),
        ),
        (
            "K2",
            "utm_source=www.google.com&gclid=1",
            None,
            ("paid_search", "www.google.com", "cpc"),
        ),
        ("K2", "utm_source=adwords&gclid=1", None, ("paid_search", "adwords", "cpc")),
        ("K2", "utm_source=youtube&gclid=1", None, ("paid_video", "youtube", "cpc")),
        (
            "K2",
            "utm_source=twitter&utm_medium=social&twclid=1",
            None,
            ("paid_social", "twitter", "cpc"),
        ),
        (
            "K2",
            "utm_source=google&utm_medium=display&gclid=1",
            None,
            ("display", "google", "display"),
        ),
        (
            "K2",
            "utm_source=google&utm_medium=ppc&gclid=1",
            None,
            ("paid_search", "google", "ppc"),
        ),
        (
            "K2",
            "utm_source=mail&utm_medium=email&gclid=1",
            None,
            ("email", "mail", "email"),
        ),
        (
            "K2",
            "utm_source=bing&utm_medium=organic&gclid=1",
            None,
            ("organic_search", "bing", "organic"),
        ),
        (
            "K2",
            "utm_source=bing&gclid=1&msclkid=2",
            None,
            ("paid_search", "bing", "cpc"),
        ),
        (
            "K2",
            "utm_source=mail&utm_medium=email&dclid=1",
            None,
            ("email", "mail", "email"),
        ),
        (
            "K2",
            "utm_source=dv360&utm_medium=x&dclid=1",
            None,
            ("display", "dv360", "cpc"),
        ),
        (
            "K2",
            "utm_campaign=a&gclid=1",
            "https://t.co/",
            ("paid_search", "google", "cpc"),
        ),
        ("K2", "utm_medium=cpc&gclid=1", None, ("paid_search", "google", "cpc")),
        ("K2", "utm_medium=email&gclid=1", None, ("email", None, "email")),
        (
            "C15",
            "utm_source=blog&irclickid=1",
            None,
            ("affiliates", "blog", "affiliate"),
        ),
        (
            "C15",
            "utm_source=impact&utm_medium=x&irclickid=1",
            None,
            ("affiliates", "impact", "x"),
        ),
        ("C15", "utm_source=a&utm_medium=sms&irclickid=1", None, ("sms", "a", "sms")),
        ("C14", "utm_source=brand&mc_eid=1", None, ("email", "brand", "email")),
        ("C14", "utm_campaign=a&mc_eid=1", None, ("email", "mailchimp", "email")),
        (
            "C14",
            "utm_source=a&utm_medium=link&mc_eid=1",
            None,
            ("referral", "a", "link"),
        ),
        ("C11", "utm_campaign=a&fbclid=1", None, ("organic_social", "facebook", None)),
        ("C20", "utm_source=a&fbclid=1", None, ("other", "a", None)),
        ("C18", "utm_medium=sms&fbclid=1", None, ("sms", None, "sms")),
        (
            "D7",
            "utm_medium=cpc",
            "https://google.com/",
            ("paid_search", "google", "cpc"),
        ),
        (
            "D7",
            "utm_source=b&utm_medium=cpc",
            "https://google.com/",
            ("paid_other", "b", "cpc"),
        ),
        ("D7", "utm_medium=cpc", "https://paypal.com/", ("paid_other", None, "cpc")),
    ],
)
def test_precedence(rule, query, referrer, expected):
    assert summary(land(query, referrer)) == expected


@pytest.mark.parametrize(
    ("query", "referrer", "key"),
    [
        ("", None, None),
        ("page=2", None, None),
        ("", "https://www.acme.example/", None),
        ("", "https://paypal.com/", None),
        ("", "https://lm.facebook.com/", ("ref", "facebook")),
        ("", "https://www.b.example/x", ("ref", "b.example")),
        ("fbclid=1", None, ("ref", "facebook")),
        ("gad_source=1&gclid=2", "https://google.com", ("click", "gclid", "2")),
        ("utm_term=T", "https://google.com", ("utm", "", "", "", "T", "", "", "")),
        (
            "utm_source=S&utm_medium=M&utm_campaign=C&utm_content=O&utm_id=I&gclid=1",
            None,
            ("utm", "s", "m", "c", "", "O", "I", "gclid=1"),
        ),
        ("utm_source=s&fbclid=1", None, ("utm", "s", "", "", "", "", "", "")),
    ],
)
def test_source_key(query, referrer, key):
    assert land(query, referrer).key == key


@pytest.mark.parametrize(
    ("query", "referrer", "known"),
    [
        ("", "https://google.com", True),
        ("", "https://youtube.com", True),
        ("", "https://amazon.com", True),
        ("", "https://claude.ai", True),
        ("fbclid=1", None, True),
        ("fbclid=1", SITE, False),  # a copied link inside the site
        ("mc_eid=1", None, False),
        ("", "https://mail.google.com", False),
        ("", "https://b.example", False),
        ("", "https://outbrain.com", False),
        ("gclid=1", "https://google.com", False),
        ("utm_source=google", "https://google.com", False),
    ],
)
def test_S5_known_is_a_plain_referrer_that_sends_visitors(query, referrer, known):
    assert land(query, referrer).known is known


@pytest.mark.parametrize(
    ("referrer", "own"),
    [
        (SITE, True),
        ("http://acme.example/x", True),
        ("https://go.acme.example/", False),
        ("https://b.example/", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("query", ["", "utm_source=banner", "gclid=1"])
def test_S7_own_host_is_exact(query, referrer, own):
    assert land(query, referrer).from_own_host is own


@pytest.mark.parametrize("query", ["utm_nooverride=1", "MBUZZ_ignore_referrer=1"])
def test_S12_marked_url_has_no_source(query):
    marked = land(f"{query}&utm_source=a&gclid=1", "https://google.com")

    assert marked is DIRECT


def test_S12_other_values_do_not_mark():
    assert land("utm_nooverride=0&utm_source=a").source == "a"


def test_S12_event_may_ask_to_ignore_everything():
    properties = {"utm_source": "a"}

    ignored = land(
        "gclid=1", "https://google.com", properties=properties, ignore_referrer=True
    )

    assert ignored is DIRECT


def test_U1_properties_are_tags():
    landing = read_landing(SITE, None, properties={"utm_source": "Google", "x": 1})

    assert summary(landing) == ("organic_search", "google", None)
    assert landing.utm == {"utm_source": "google"}


@pytest.mark.parametrize(
    ("rule", "url", "host", "flags"),
    [
        ("direct", SITE, None, set()),
        ("no url", None, None, set()),
        ("no url", "", "acme.example", set()),
        ("no url", "  ", None, set()),
        ("R7", "/pricing", "acme.example", set()),
        ("R7", "?utm_source=google", "acme.example:80", set()),
        ("R7", "/pricing", None, {"missing_host"}),
        ("R7", "/pricing", "a b", {"missing_host"}),
        ("R7", "//acme.example/x", None, set()),
        ("U11", "pricing", "acme.example", {"bad_url"}),
        ("U11", "https://?utm_source=google", None, {"bad_url", "missing_host"}),
        ("U11", "https://a b/?utm_source=google", "acme.example", {"bad_url"}),
        ("app", "myapp://screen/1", None, {"missing_host"}),
        ("app", "myapp://screen/1", "acme.example", set()),
        ("C20", SITE + "?utm_source=x", None, {"unassigned_channel"}),
        ("C8", SITE + "?utm_medium=cpc", None, {"paid_medium_unknown_source"}),
        ("U8", SITE + "?utm_source=google&utm_id=" + "a" * 256, None, {"truncated"}),
    ],
)
@pytest.mark.parametrize("ignore_referrer", [False, True])
def test_flags(rule, url, host, flags, ignore_referrer):
    landing = read_landing(url, None, host=host, ignore_referrer=ignore_referrer)

    if ignore_referrer:
        flags = flags & {"bad_url", "missing_host"}
    assert landing.flags == flags


def test_U11_tags_of_a_bad_url_count():
    assert read_landing("https://?utm_source=google", None).channel == "organic_search"


def test_R7_request_host_is_the_site_of_a_path():
    landing = read_landing("/x", "https://acme.example/", host="www.acme.example")

    assert landing.from_own_host


def test_R3_own_domains_are_no_source():
    own = Policy(own_domains=frozenset({"acme-pay.test"}))

    assert land("", "https://x.acme-pay.test/", policy=own) is DIRECT


def test_site_host_is_not_taken_from_the_referrer():
    landing = read_landing(None, "https://google.com/")

    assert summary(landing) == ("organic_search", "google", "organic")


URLS = st.one_of(
    st.text(),
    st.builds(
        "".join,
        st.lists(
            st.sampled_from(
                "https:// // android-app:// google.com acme.example @ : [ ] . / ? # & "
                "= + % %% %C3 \ud800 é utm_source utm_medium=cpc gclid=1 fbclid {x} "
                "amp; utm_nooverride=1 email sms a".split()
            )
        ),
    ),
)


@given(url=URLS, referrer=URLS, host=st.none() | URLS, source=URLS)
def test_any_text_gives_a_landing(url, referrer, host, source):
    landing = read_landing(url, referrer, host=host, properties={"utm_source": source})

    assert landing.channel in CHANNELS
    assert (landing.key is None) == (landing.channel == "direct")
    assert landing == read_landing(
        url, referrer, host=host, properties={"utm_source": source}
    )
    for value in landing.utm.values():
        assert 0 < len(value) <= 255
        value.encode("utf-8")
