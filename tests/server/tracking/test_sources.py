"""The list of known sites: tokens, dot boundaries, the most specific wins."""

import pytest

from mbuzz.server.tracking import sources
from mbuzz.server.tracking.sources import find_host, find_source, list_version

KINDS = "search social video shopping email ai display referral excluded".split()


@pytest.mark.parametrize(
    ("host", "kind", "name"),
    [
        ("google.com", "search", "google"),
        ("www.google.co.uk", "search", "google"),
        ("images.google.com.br", "search", "google"),
        ("google.cat", "search", "google"),
        ("google.co", "search", "google"),
        ("lens.google.com", "search", "google"),
        ("mail.google.com", "email", "gmail"),
        ("gemini.google.com", "ai", "gemini"),
        ("pay.google.com", "excluded", "google"),
        ("docs.google.com", "referral", "docs.google.com"),
        ("ads.google.de", "referral", "ads.google.de"),
        ("m.www.google.com", "referral", "m.www.google.com"),
        ("www.docs.google.com", "referral", "docs.google.com"),
        ("yahoo.com", "search", "yahoo"),
        ("uk.search.yahoo.com", "search", "yahoo"),
        ("finance.yahoo.com", "referral", "finance.yahoo.com"),
        ("maps.yandex.com.tr", "search", "yandex"),
        ("mail.yandex.ru", "email", "yandex"),
        ("market.yandex.ru", "shopping", "yandex"),
        ("mail.zoho.com.au", "email", "zoho"),
        ("edgeservices.bing.com", "ai", "copilot"),
        ("blog.naver.com", "social", "naver"),
        ("shopping.naver.com", "shopping", "naver"),
        ("lm.facebook.com", "social", "facebook"),
        ("fb.me", "social", "facebook"),
        ("lnkd.in", "social", "linkedin"),
        ("t.co", "social", "x"),
        ("mobile.twitter.com", "social", "x"),
        ("pin.it", "social", "pinterest"),
        ("pinterest.co.kr", "social", "pinterest"),
        ("youtu.be", "video", "youtube"),
        ("chat.openai.com", "ai", "chatgpt"),
        ("aws.amazon.com", "referral", "aws.amazon.com"),
        ("smile.amazon.co.jp", "shopping", "amazon"),
        ("checkout.shopify.com", "excluded", "shopify"),
        ("a.b.outbrain.com", "display", "outbrain"),
        ("app:com.slack", "social", "slack"),
        ("app:com.google.android.gm", "email", "gmail"),
    ],
)
def test_known_host(host, kind, name):
    assert find_host(host) == (kind, name)


@pytest.mark.parametrize(
    "host",
    [
        "notgoogle.com",
        "google.com.evil.example",
        "google.evil",
        "google.co.evil",
        "google.com.com",
        "google",
        "google-com.example",
        "xn--ggle-55da.com",  # two Cyrillic o
        "myfacebook.com",
        "facebook.com.login.example",
        "best.co",
        "wix.com",
        "about.me",
        "amazon.info",
        "notamazon.de",
        "mail.yahoo.com.evil.example",
        "mypaypal.com",
        "foo.yahoo.com",
        "foo.seznam.cz",
        "app:com.slack.evil",
        "app:evil.com.slack",
        "app:google.com",
        "com",
        "127.0.0.1",
        "[::1]",
        "",
    ],
)
def test_look_alike_or_stranger_is_unknown(host):
    assert find_host(host) is None


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [
        ("google", "search", "google"),
        ("fb", "social", "facebook"),
        ("twitter", "social", "x"),
        ("yt", "video", "youtube"),
        ("openai", "ai", "chatgpt"),
        ("chatgpt.com", "ai", "chatgpt"),
        ("https://l.facebook.com/path?q", "social", "facebook"),
        ("www.google.com/search", "search", "google"),
        ("android-app://com.slack/", "social", "slack"),
    ],
)
def test_known_source(source, kind, name):
    assert find_source(source) == (kind, name)


@pytest.mark.parametrize(
    "source",
    ["", "googles", "google ads", "st. louis", "1://a.b", ".", "app:com.slack"],
)
def test_unknown_source(source):
    assert find_source(source) is None


def test_list_is_well_formed():
    text = sources.resources.files("mbuzz.server.tracking").joinpath("sources.txt")
    sections = list(sources._sections(text.read_text("utf-8").partition("\n")[2]))
    tokens = [token for title, token in sections if title in KINDS]
    aliases = [token for title, token in sections if title.startswith("alias ")]
    named = [token for title, token in sections if title.startswith("name ")]

    titles = {title for title, _ in sections if not title.startswith("name ")}
    assert titles == {
        *KINDS,
        *(f"alias {kind}" for kind in ("search", "social", "video", "shopping", "ai")),
    }
    assert len(tokens) == len(set(tokens))
    assert len(aliases) == len(set(aliases))
    assert len(named) == len(set(named))
    assert set(named) <= {*tokens, *aliases}
    assert all(token == token.lower() for _, token in sections)


def test_list_has_a_version():
    assert list_version() == "2026.1"
