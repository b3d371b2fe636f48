"""Host normalization (R2) and registrable domains (R6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.tracking.hosts import (
    normalize_host,
    registrable_domain,
    split_origin,
    suffixes,
)


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("Example.COM", "example.com"),
        ("example.com.:443", "example.com"),
        ("example.com:", "example.com"),
        ("user:pass@example.com", "example.com"),
        ("a@b@example.com", "example.com"),
        ("[2001:DB8::1]:80", "[2001:db8::1]"),
        ("[::1", None),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("127.0.0.1:8000", "127.0.0.1"),
        ("my_host", "my_host"),
        ("", None),
        ("@", None),
        (".", None),
        ("a..b", None),
        ("goo gle.com", None),
        ("goo\tgle.com", None),
        ('"google.com"', None),
        ("goo%67le.com", None),
        ("{host}", None),
        ("a|b", None),
        ("a^b", None),
        ("google.com:http", None),
        ("evil.example\\@google.com", None),  # a browser goes to evil.example
        ("evil.c℀.google.com", None),  # IDNA makes it "evil.ca/c.google.com"
        ("ü..example", None),
        ("ü" * 64 + ".example", None),
        ("a" * 254, None),
        ("a." * 2000, None),
        ("ü." * 126 + "b", None),  # too long as punycode
    ],
)
def test_R2_host(authority, host):
    assert normalize_host(authority) == host


@given(st.text())
def test_R2_a_normal_host_stays_as_it_is(text):
    host = normalize_host(text)

    assert host is None or (host.isascii() and normalize_host(host) == host)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (" HTTPS://A/b", ("https", "A", 10)),
        ("//a?b", ("", "a", 3)),
        ("https://a#b", ("https", "a", 9)),
        ("https:/a", None),
        ("a", None),
        ("", None),
    ],
)
def test_split_origin(url, origin):
    assert split_origin(url) == origin


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.acme.example", "acme.example"),
        ("acme.example", "acme.example"),
        ("a.b.acme.co.uk", "acme.co.uk"),
        ("acme.co.uk", "acme.co.uk"),
        ("a.acme.school.nz", "acme.school.nz"),
        ("a.acme.co.info", "co.info"),
        ("a.alice.github.io", "alice.github.io"),
        ("alice.github.io", "alice.github.io"),
        ("github.io", "github.io"),
        ("localhost", "localhost"),
        ("10.1.2.3", "10.1.2.3"),
        ("[::ffff:10.1.2.3]", "[::ffff:10.1.2.3]"),
    ],
)
def test_R6_registrable_domain(host, domain):
    assert registrable_domain(host) == domain


def test_suffixes_are_longest_first():
    assert list(suffixes("a.b.c")) == ["a.b.c", "b.c", "c"]
