"""Which requests come from the site's own pages, and which only look so."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mbuzz.web.origin import is_same_origin


def asked(host="shop.example", scheme="https", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return is_same_origin(named.get, host, scheme)


@pytest.mark.parametrize(
    ("site", "same"),
    [
        ("same-origin", True),
        (" Same-Origin ", True),
        ("same-site", False),
        ("cross-site", False),
        ("none", False),
        ("", False),
        ("same-origin, cross-site", False),
        ("same-origin\r\n", False),
        ("ſame-origin", False),  # noqa: RUF001
    ],
    ids=ascii,
)
def test_what_the_browser_says_itself_decides(site, same):
    good, evil = "https://shop.example", "https://evil.example"

    assert asked(sec_fetch_site=site) is same
    assert asked(sec_fetch_site=site, origin=good, referer=good) is same
    assert asked(sec_fetch_site=site, origin=evil, referer=evil) is same


SAME = [
    ("https://shop.example", "shop.example", "https"),
    ("HTTPS://Shop.Example", "SHOP.example", "HTTPS"),
    ("https://shop.example:443", "shop.example", "https"),
    ("https://shop.example", "shop.example:443", "https"),
    ("https://shop.example:8443", "shop.example:8443", "https"),
    ("http://shop.example:80", "shop.example", "http"),
    ("http://localhost:8000", "localhost:8000", "http"),
    ("http://127.0.0.1:8000", "127.0.0.1:8000", "http"),
    ("http://[::1]:8000", "[::1]:8000", "http"),
    ("https://[2001:DB8::1]", "[2001:db8::1]", "https"),
    ("https://xn--bcher-kva.example", "xn--bcher-kva.example", "https"),
    ("https://my_shop.example", "my_shop.example", "https"),
    ("https://shop.example.", "shop.example.", "https"),
    # TLS that ended at a proxy nobody told us about
    ("https://shop.example", "shop.example", "http"),
    ("https://shop.example", "shop.example:443", "http"),
]

OTHER = [
    ("https://evil.example", "shop.example", "https"),
    ("http://shop.example", "shop.example", "https"),  # may have been tampered with
    ("http://shop.example:443", "shop.example", "https"),
    ("https://shop.example:8443", "shop.example", "https"),
    ("https://shop.example", "shop.example:8443", "https"),
    ("http://shop.example", "shop.example:443", "http"),
    ("https://shop.example:80", "shop.example", "http"),
    ("http://localhost:8001", "localhost:8000", "http"),
    ("http://127.0.0.1", "localhost", "http"),
    ("https://www.shop.example", "shop.example", "https"),
    ("https://example", "shop.example", "https"),
    ("https://shop.example.", "shop.example", "https"),
    ("https://shop.example", "shop.example.", "https"),
    ("https://shop.example.evil", "shop.example", "https"),
    ("https://evil-shop.example", "shop.example", "https"),
    ("https://evilshop.example", "shop.example", "https"),
    ("https://shopxexample", "shop.example", "https"),
    ("https://shop.example@evil.example", "shop.example", "https"),
    ("https://evil.example@shop.example", "shop.example", "https"),
    ("https://u:p@shop.example", "shop.example", "https"),
    ("https://shop.example:443@evil.example", "shop.example", "https"),
    ("https://shop.example\\@evil.example", "shop.example", "https"),
    ("https:\\\\shop.example", "shop.example", "https"),
    ("https:shop.example", "shop.example", "https"),
    ("//shop.example", "shop.example", "https"),
    ("shop.example", "shop.example", "https"),
    ("https://", "shop.example", "https"),
    ("https://shop.example:", "shop.example", "https"),
    ("https://shop.example:0", "shop.example", "https"),
    ("https://shop.example:443443", "shop.example", "https"),
    ("https://shop.example:٤٤٣", "shop.example", "https"),
    ("https://shop.example:+443", "shop.example", "https"),
    ("https://shop.example:-1", "shop.example", "https"),
    ("https://shop%2eexample", "shop.example", "https"),
    ("https://shop.example%00.evil", "shop.example", "https"),
    ("https://shop.example\x00", "shop.example", "https"),
    ("https://shop.example\n", "shop.example", "https"),
    ("https://shop.example\r\nX-Evil: 1", "shop.example", "https"),
    ("https://evil.example\r\nhttps://shop.example", "shop.example", "https"),
    ("https://shop.example https://evil.example", "shop.example", "https"),
    ("https://shop.example, https://evil.example", "shop.example", "https"),
    ("https://shop\u3002example", "shop.example", "https"),
    ("https://\uff53hop.example", "shop.example", "https"),
    ("https://sho\u0440.example", "shop.example", "https"),
    ("https://\u212aiosk.example", "kiosk.example", "https"),
    ("https://\u017fhop.example", "shop.example", "https"),
    ("https://[::1]", "[::2]", "https"),
    ("https://::1", "::1", "https"),
    ("https://[shop.example]", "shop.example", "https"),
    ("ftp://shop.example", "shop.example", "https"),
    ("wss://shop.example", "shop.example", "https"),
    ("javascript://shop.example", "shop.example", "https"),
    ("chrome-extension://shop.example", "shop.example", "https"),
    ("null", "shop.example", "https"),
    ("null", "null", "https"),
    ("", "shop.example", "https"),
    ("https://shop.example", "", "https"),
    ("https://shop.example", None, "https"),
    ("https://a/b", "a/b", "https"),
    ("https://*", "*", "https"),
    ("https://u@shop.example", "u@shop.example", "https"),
    ("https://shop.example", "shop.example\n", "https"),
    ("https://\u212aiosk.example", "\u212aiosk.example", "https"),
]


@pytest.mark.parametrize(("origin", "host", "scheme"), SAME)
def test_origin_of_the_site_itself(origin, host, scheme):
    assert asked(host, scheme, origin=origin)
    assert asked(host, scheme, origin=origin, referer="https://evil.example/")


@pytest.mark.parametrize(("origin", "host", "scheme"), OTHER, ids=ascii)
def test_origin_of_somebody_else(origin, host, scheme):
    assert not asked(host, scheme, origin=origin)
    assert not asked(host, scheme, origin=origin, referer=f"{scheme}://{host}/")


@pytest.mark.parametrize("path", ["", "/", "/a/b?c=d@e", "?q=1", "#top", "/\xe4\u4e2d"])
@pytest.mark.parametrize(("origin", "host", "scheme"), SAME)
def test_referer_of_the_site_itself(origin, host, scheme, path):
    assert asked(host, scheme, referer=origin + path)


@pytest.mark.parametrize(("origin", "host", "scheme"), OTHER, ids=ascii)
def test_referer_of_somebody_else(origin, host, scheme):
    assert not asked(host, scheme, referer=origin)
    assert not asked(host, scheme, referer=f"{origin}/{scheme}://{host}/")


@pytest.mark.parametrize("after", ["/\r\n", "/a b", "/\t", "/\x7f", "/\x00"], ids=ascii)
def test_referer_that_no_browser_sends(after):
    assert not asked(referer=f"https://shop.example{after}")


def test_origin_has_no_path():
    assert not asked(origin="https://shop.example/")


def test_nothing_said_is_not_the_same_origin():
    assert not asked()


LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=10)
HOST = st.lists(LABEL, min_size=1, max_size=3).map(".".join)


@given(HOST, HOST, st.integers(1, 65_535), st.integers(1, 65_535))
@example("a", "a", 443, 443)
@example("a", "a", 80, 443)
def test_same_means_host_and_port(ours, theirs, port, their_port):
    same = (ours, port) == (theirs, their_port)
    host, origin = f"{ours}:{port}", f"https://{theirs}:{their_port}"

    assert asked(host, origin=origin) is same
    assert asked(host, referer=f"{origin}/p") is same


@given(st.text(max_size=30), st.sampled_from(["origin", "referer"]))
@example("/", "origin")
@example("@evil", "referer")
def test_only_a_path_may_follow_the_host(more, name):
    """As far as text can: what a browser would read as another host is refused."""
    given_ = asked(**{name: f"https://shop.example{more}"})

    if given_:
        assert more in ("", ":443") or (
            name == "referer" and more.removeprefix(":443")[0] in "/?#"
        )


@pytest.mark.parametrize("name", ["origin", "referer", "sec_fetch_site"])
def test_long_header_costs_no_time(name):
    began = time.perf_counter()
    for text in ("https://" + "a" * 60_000, "https://[" + ":" * 60_000, "\n" * 60_000):
        for _ in range(30):
            assert not asked(**{name: text})

    assert time.perf_counter() - began < 1.0
