"""Proxies: whose word counts for address, scheme and host, and what follows."""

import pytest

from mbuzz.server.http.edge import Edge
from tests.server.dashboard.client import Site

FORWARDED = {
    "HTTP_X_FORWARDED_FOR": "203.0.113.9",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "stats.example",
}


def seen(edge, **environ):
    """Return address, scheme and host as the application sees them."""
    found = {
        "REMOTE_ADDR": "10.0.0.1",
        "HTTP_HOST": "backend:8787",
        "wsgi.url_scheme": "http",
        **environ,
    }
    edge.apply(found)
    edge.apply(found)  # as where a request is looked at twice
    return found["REMOTE_ADDR"], found["wsgi.url_scheme"], found["HTTP_HOST"]


@pytest.mark.parametrize("trusted", [(), 0, ("192.0.2.0/24",)])
def test_word_of_a_stranger_counts_for_nothing(trusted):
    assert seen(Edge(trusted, ""), **FORWARDED) == ("10.0.0.1", "http", "backend:8787")


@pytest.mark.parametrize("trusted", [1, ("10.0.0.0/8",)])
def test_word_of_a_trusted_proxy_counts(trusted):
    edge = Edge(trusted, "")

    assert seen(edge, **FORWARDED) == ("203.0.113.9", "https", "stats.example")


def test_rightmost_address_that_is_not_trusted_is_the_clients():
    edge = Edge(("10.0.0.0/8",), "")
    chain = "198.51.100.1, 203.0.113.9, 10.0.0.7"

    address, _, _ = seen(edge, HTTP_X_FORWARDED_FOR=chain)

    assert address == "203.0.113.9"


def test_proxy_that_says_nothing_changes_nothing():
    assert seen(Edge(1, "")) == ("10.0.0.1", "http", "backend:8787")


@pytest.mark.parametrize("scheme", ["ftp", "", "https\x00", "javascript"])
def test_scheme_is_http_or_https(scheme):
    assert seen(Edge(1, ""), HTTP_X_FORWARDED_PROTO=scheme)[1] == "http"


def test_public_url_tells_the_scheme_of_its_own_host_only():
    edge = Edge((), "https://stats.example")

    assert seen(edge, HTTP_HOST="Stats.Example")[1] == "https"
    assert seen(edge, HTTP_HOST="127.0.0.1:8787")[1] == "http"


def log_in(site, **environ):
    return site.browser(**environ).log_in(site.email, site.password)


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        ({"trusted_proxies": ("192.0.2.1",)}, {"HTTP_X_FORWARDED_PROTO": "https"}),
        ({"public_url": "https://stats.example:8787"}, {}),
    ],
)
def test_cookie_of_the_dashboard_is_secure_behind_tls(tmp_path, options, environ):
    site = Site(tmp_path / "mbuzz.db", settings=options)

    cookie = log_in(site, **environ).header("Set-Cookie")

    assert cookie.startswith("__Host-mbuzz=")
    assert "; Secure;" in cookie
    site.app.close()


def test_attempts_are_counted_by_the_address_behind_the_proxy(tmp_path):
    site = Site(tmp_path / "mbuzz.db", settings={"trusted_proxies": ("192.0.2.1",)})
    attacker = site.browser(HTTP_X_FORWARDED_FOR="198.51.100.66")
    owner = site.browser(HTTP_X_FORWARDED_FOR="203.0.113.9")
    for _ in range(12):
        last = attacker.log_in(site.email, "wrong")

    assert last.status == 429
    assert owner.log_in(site.email, site.password).status == 303
    site.app.close()


def test_strangers_cannot_make_up_addresses_for_more_attempts(tmp_path):
    site = Site(tmp_path / "mbuzz.db")
    for number in range(12):
        browser = site.browser(HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
        last = browser.log_in(site.email, "wrong")

    assert last.status == 429
    site.app.close()


# -- other headers --

STRANGERS_WORD = {
    "HTTP_X_FORWARDED_FOR": "198.51.100.66",
    "HTTP_X_FORWARDED_PROTO": "http",
    "HTTP_X_FORWARDED_HOST": "evil.example",
    "HTTP_FORWARDED": "for=198.51.100.67;host=evil.example",
    "HTTP_CF_CONNECTING_IP": "198.51.100.68",
}


@pytest.mark.parametrize("header", ["forwarded", "cf-connecting-ip"])
def test_header_that_is_not_configured_counts_for_nothing(header):
    said = {**STRANGERS_WORD, "HTTP_X_FORWARDED_FOR": "203.0.113.9"}

    assert seen(Edge(1, ""), **said)[0] == "203.0.113.9"
    del said["HTTP_" + header.upper().replace("-", "_")]
    assert seen(Edge(1, "", header), **said)[0] == "10.0.0.1"


@pytest.mark.parametrize("header", ["forwarded", "cf-connecting-ip"])
@pytest.mark.parametrize("trusted", [(), ("192.0.2.0/24",)])
def test_other_headers_of_strangers_count_for_nothing(header, trusted):
    found = seen(Edge(trusted, "", header), **STRANGERS_WORD)

    assert found == ("10.0.0.1", "http", "backend:8787")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("for=203.0.113.9;proto=https;host=stats.example", "203.0.113.9"),
        ("For=203.0.113.9 ; Proto=HTTPS;HOST=stats.example;by=10.0.0.1", "203.0.113.9"),
        (
            'for="[2001:db8::7]:4711";proto=https;host="stats.example"',
            "2001:db8::7",
        ),
        # an open quote of a stranger swallows nothing
        (
            'for=198.51.100.1, for=", for=203.0.113.9;proto=https;host=stats.example',
            "203.0.113.9",
        ),
    ],
)
def test_forwarded_header_tells_address_scheme_and_host(said, expected):
    edge = Edge(("10.0.0.0/8",), "", "forwarded")
    environ = {**STRANGERS_WORD, "HTTP_FORWARDED": said}

    assert seen(edge, **environ) == (expected, "https", "stats.example")


def test_scheme_and_host_are_those_the_farthest_trusted_proxy_was_asked_for():
    edge = Edge(("10.0.0.0/8",), "", "forwarded")
    chain = (
        "for=198.51.100.1;host=evil.example, for=203.0.113.9;proto=https;"
        "host=stats.example, for=10.0.0.7;proto=http;host=inner"
    )

    found = seen(edge, HTTP_FORWARDED=chain)

    assert found == ("203.0.113.9", "https", "stats.example")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "for=unknown",
        "for=_hidden",
        "proto=http",
        "203.0.113.9",
        "for=203.0.113.9;for=203.0.113.8",
        'for="203.0.113.9',
        'for="203.0.113\\.9"',
        ";",
        ",,",
    ],
)
def test_forwarded_header_without_an_address_leaves_the_proxys(said):
    edge = Edge(1, "", "forwarded")

    assert seen(edge, HTTP_FORWARDED=said) == ("10.0.0.1", "http", "backend:8787")


def test_cloudflare_tells_the_address_and_the_scheme():
    edge = Edge(("10.0.0.0/8",), "", "cf-connecting-ip")
    environ = {
        **STRANGERS_WORD,
        "HTTP_CF_CONNECTING_IP": "203.0.113.9",
        "HTTP_X_FORWARDED_PROTO": "https",
    }

    assert seen(edge, **environ) == ("203.0.113.9", "https", "backend:8787")


@pytest.mark.parametrize("said", ["", "nobody", "203.0.113.9,203.0.113.8", "x" * 9_000])
def test_cloudflares_header_without_an_address_leaves_the_proxys(said):
    edge = Edge(1, "", "cf-connecting-ip")

    assert seen(edge, HTTP_CF_CONNECTING_IP=said)[0] == "10.0.0.1"


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("forwarded", "for={0};proto=https"),
        ("cf-connecting-ip", "{0}"),
    ],
)
def test_attempts_are_counted_by_the_address_in_the_configured_header(
    tmp_path, header, word
):
    name = "HTTP_" + header.upper().replace("-", "_")
    chosen = {"trusted_proxies": ("192.0.2.1",), "client_address_header": header}
    site = Site(tmp_path / "mbuzz.db", settings=chosen)
    attacker = site.browser(**{name: word.format("198.51.100.66")})
    owner = site.browser(**{name: word.format("203.0.113.9")})
    for number in range(12):
        last = attacker.log_in(
            site.email, "wrong", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}"
        )

    assert last.status == 429
    assert owner.log_in(site.email, site.password).status == 303
    site.app.close()
