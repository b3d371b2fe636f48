"""Which way a host is reached: by the rules that curl and urllib taught everybody."""

import os

import pytest

from mbuzz.delivery.proxies import Origin, proxy_for
from mbuzz.delivery.transport import TransportError


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path", "name"),
    [
        ("http://a.test", "http", "a.test", 80, "", "a.test"),
        ("https://a.test/", "https", "a.test", 443, "", "a.test"),
        ("HTTP://A.test:80/x/y/", "http", "a.test", 80, "/x/y", "a.test"),
        ("https://a.test:8443/v1", "https", "a.test", 8443, "/v1", "a.test:8443"),
        ("http://[::1]:8787/v1", "http", "::1", 8787, "/v1", "[::1]:8787"),
        ("http://[::1]", "http", "::1", 80, "", "[::1]"),
    ],
)
def test_a_url_says_where_it_leads(url, scheme, host, port, path, name):
    found = Origin(url)

    assert (found.scheme, found.host, found.port) == (scheme, host, port)
    assert (found.path, found.name) == (path, name)


@pytest.mark.parametrize(
    ("environ", "url", "port"),
    [
        ({}, "http://a.test", None),
        ({"HTTP_PROXY": "http://p.test:1"}, "http://a.test", 1),
        ({"http_proxy": "http://p.test:1"}, "http://a.test", 1),
        ({"HTTP_PROXY": "http://p.test:1"}, "https://a.test", None),
        ({"HTTPS_PROXY": "http://p.test:2"}, "https://a.test", 2),
        ({"ALL_PROXY": "http://p.test:3"}, "https://a.test", 3),
        ({"ALL_PROXY": "http://p.test:3", "http_proxy": "p:4"}, "http://a.test", 4),
        ({"HTTP_PROXY": "http://p.test"}, "http://a.test", 80),
        ({"HTTP_PROXY": "p.test:5/"}, "http://a.test", 5),
        ({"HTTP_PROXY": "http://p.test:1", "http_proxy": ""}, "http://a.test", None),
        # a CGI script's HTTP_PROXY is a header of the request: httpoxy
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://a.test", None),
        ({"http_proxy": "http://p:1", "REQUEST_METHOD": "GET"}, "http://a.test", 1),
    ],
)
def test_the_environment_names_the_proxy(monkeypatch, environ, url, port):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    proxy = proxy_for(Origin(url))

    assert (proxy and proxy.port) == port


@pytest.mark.parametrize(
    ("no_proxy", "straight"),
    [
        ("*", True),
        ("a.test", True),
        ("api.a.test", True),
        (".a.test", True),
        ("other.test, a.test", True),
        ("api.a.test:8080", True),
        ("A.TEST", True),
        ("api.a.test:9", False),
        ("pi.a.test", False),
        ("other.test", False),
        ("", False),
    ],
)
def test_no_proxy_names_what_is_reached_straight(monkeypatch, no_proxy, straight):
    monkeypatch.setenv("HTTP_PROXY", "http://p.test:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)

    assert (proxy_for(Origin("http://api.a.test:8080")) is None) is straight


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]"]
)
def test_this_machine_needs_no_proxy(monkeypatch, host):
    monkeypatch.setenv("ALL_PROXY", "http://p.test:1")

    assert proxy_for(Origin(f"http://{host}:8787")) is None
    assert proxy_for(Origin("http://127.evil.test")) is not None


def test_user_and_password_are_told_to_the_proxy_decoded(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://Aladdin:open%20sesame@p.test:1")

    proxy = proxy_for(Origin("http://a.test"))

    # the example of RFC 7617
    assert proxy.host == "p.test"
    assert proxy.authorization == (
        "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
    )


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://p.test:1", "proxy_is_not_http"),
        ("socks5://p.test:1", "proxy_is_not_http"),
        ("http://", "bad_proxy"),
        ("http://p.test:no", "bad_proxy"),
        ("http://p.test:99999", "bad_proxy"),
        ("http://user:pa/ss@p.test:1", "bad_proxy"),
    ],
)
def test_a_proxy_of_another_kind_is_an_error_without_its_password(
    monkeypatch, url, error
):
    monkeypatch.setenv("HTTP_PROXY", url)

    with pytest.raises(TransportError, match=f"^{error}$") as raised:
        proxy_for(Origin("http://a.test"))

    assert raised.value.__context__ is None


def test_without_proxies_urllib_is_not_loaded(run_python):
    code = """
import os
for name in list(os.environ):
    if name.lower().endswith("_proxy"):
        del os.environ[name]
from mbuzz.delivery.proxies import Origin, proxy_for
assert proxy_for(Origin("http://a.test")) is None
heavy = {"urllib", "urllib.request", "http", "http.client", "email", "ssl"}
print(sorted(heavy & set(sys.modules)))
"""

    assert run_python(code, measured=False) == "[]\n"
