"""The request as tracking sees it: its URL, its browser, and junk of all kinds."""

import pytest

from mbuzz.forwarded import Trust
from mbuzz.web.request import EnvironRequest
from tests.web.visits import a_request, environ


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        ({}, "https://shop.example/"),
        ({"scheme": "http"}, "http://shop.example/"),
        ({"host": "SHOP.example"}, "https://shop.example/"),
        ({"host": " shop.example "}, "https://shop.example/"),
        ({"host": "shop.example:443"}, "https://shop.example/"),
        ({"host": "shop.example:80"}, "https://shop.example:80/"),
        ({"host": "shop.example:80", "scheme": "http"}, "http://shop.example/"),
        ({"host": "shop.example:8000"}, "https://shop.example:8000/"),
        ({"host": "[::1]:8000"}, "https://[::1]:8000/"),
        ({"host": "xn--mller-kva.example"}, "https://xn--mller-kva.example/"),
        ({"path": "/a b/ü"}, "https://shop.example/a%20b/%C3%BC"),
        ({"path": "/100%"}, "https://shop.example/100%25"),
        ({"path": "/a?b#c"}, "https://shop.example/a%3Fb%23c"),
        ({"path": "/a;v=1/b,c"}, "https://shop.example/a;v=1/b,c"),
        ({"path": ""}, "https://shop.example/"),
        ({"query": "b=2&a=&b=%20"}, "https://shop.example/?b=2&a=&b=%20"),
        ({"query": "a=\x00b\r\nc"}, "https://shop.example/?a=bc"),
        ({"host": "shop.example/evil"}, None),
        ({"host": "user@shop.example"}, None),
        ({"host": "shop.example:port"}, None),
        ({"host": "shop.example\r\nX: y"}, None),
        ({"host": "a,b"}, None),
    ],
)
def test_url_is_what_the_browser_shows(parts, url):
    assert a_request(**parts).url == url


def test_url_has_the_mount_point():
    mounted = {**environ(path="/page"), "SCRIPT_NAME": "/shop"}

    assert EnvironRequest(mounted).url == "https://shop.example/shop/page"


def test_url_of_bytes_that_are_no_text_is_text():
    mangled = {**environ(), "PATH_INFO": "/\xff", "QUERY_STRING": "q=\xff"}

    request = EnvironRequest(mangled)

    assert request.url == "https://shop.example/%EF%BF%BD?q=\N{REPLACEMENT CHARACTER}"


def test_lone_surrogate_in_the_path_does_no_harm():
    request = EnvironRequest({**environ(), "PATH_INFO": "/\ud800"})

    assert request.url == "https://shop.example/%3F"


def test_url_referrer_and_agent_are_bounded():
    request = a_request(
        {"Referer": "https://a.example/" + "r" * 9_000, "User-Agent": "a" * 9_000},
        path="/" + "p" * 9_000,
    )

    lengths = [len(request.url), len(request.referrer), len(request.user_agent)]
    assert lengths == [4_096, 2_048, 1_024]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("https://a.example/x#part", "https://a.example/x"),
        ("https://a.example/\nx", "https://a.example/x"),
        ("#part", None),
        ("", None),
        (None, None),
    ],
)
def test_referrer_has_no_fragment(sent, kept):
    headers = {} if sent is None else {"Referer": sent}

    assert a_request(headers).referrer == kept


@pytest.mark.parametrize(
    ("scheme", "forwarded", "secure"),
    [
        ("https", None, True),
        ("http", None, False),
        ("http", "https", True),
        ("http", "HTTPS, http", True),
        ("http", "http, https", False),
        ("https", "http", True),
    ],
)
def test_browser_speaks_https_here_or_to_a_proxy(scheme, forwarded, secure):
    headers = {} if forwarded is None else {"X-Forwarded-Proto": forwarded}

    assert a_request(headers, scheme=scheme).secure is secure


def test_port_of_https_is_left_out_behind_a_proxy_too():
    request = a_request(
        {"X-Forwarded-Proto": "https"}, scheme="http", host="shop.example:443"
    )

    assert request.url == "https://shop.example/"


def test_environ_with_nothing_in_it_is_a_request_without_url():
    request = EnvironRequest({})

    assert (request.method, request.path, request.url) == ("GET", "/", None)
    assert (request.referrer, request.user_agent, request.cookie) == (None, None, "")


def test_host_comes_from_the_server_where_the_browser_names_none():
    request = EnvironRequest({"SERVER_NAME": "shop.example", "HTTP_HOST": ""})

    assert request.url == "http://shop.example/"


def test_host_is_not_what_a_stranger_beside_the_proxies_says():
    headers = {"X-Forwarded-Host": "evil.example"}
    given = {**environ(headers), "REMOTE_ADDR": "192.0.2.1"}

    assert EnvironRequest(given, Trust.of(["10.0.0.0/8"])).host == "shop.example"


def test_content_type_is_found_and_what_is_no_text_is_not():
    request = EnvironRequest({"CONTENT_TYPE": "text/plain", "HTTP_ODD": 1})

    assert (request.header("content-type"), request.header("odd")) == (
        "text/plain",
        None,
    )


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("7f3a-1", "7f3a-1"),
        (" 7f3a ", "7f3a"),
        ("~" * 128, "~" * 128),
        ("~" * 129, None),
        ("a b", None),
        ("a\r\nb", None),
        ("caf\u00e9", None),
        ("", None),
        (None, None),
    ],
)
def test_request_id_is_short_printable_text(sent, read):
    headers = {} if sent is None else {"X-Request-ID": sent}

    assert a_request(headers).request_id == read


def test_traceparent_is_read_if_it_is_one():
    sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    assert a_request({"traceparent": sent}).traceparent == sent
    assert a_request({"traceparent": f"{sent}-1"}).traceparent is None
    assert a_request().traceparent is None
