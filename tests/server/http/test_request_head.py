"""The request's head, in every form that is allowed and many that are not."""

import pytest

from mbuzz.server.http.incoming import Incoming
from mbuzz.server.http.request_head import Head, RequestError, parse_head

HOST = b"Host: localhost\r\n"


def read(data):
    incoming = Incoming()
    incoming.feed(data)
    head, _ = incoming.next(max_body=10_000)
    return head


def with_headers(headers):
    return parse_head(b"POST / HTTP/1.1\r\n" + HOST + headers)


def test_head_is_in_the_terms_of_pep_3333():
    head = read(
        b"POST /caf%C3%A9/%2F?q=%C3%A9&r=1 HTTP/1.1\r\n"
        b"Host: shop.example:8080\r\n"
        b"Content-Type: text/plain\r\n"
        b"Content-Length: 3\r\n"
        b"X-Twice: a\r\n"
        b"X-Twice:b \r\n"
        b"Cookie: a=1\r\n"
        b"Cookie: b=2\r\n"
        b"X_Twice: posing\r\n"
        b"X-Latin: \xe9\r\n\r\nabc"
    )

    assert head == Head(
        method="POST",
        path="/caf\xc3\xa9//",  # UTF-8 bytes as latin-1
        query="q=%C3%A9&r=1",
        minor=1,
        headers={
            "CONTENT_TYPE": "text/plain",
            "CONTENT_LENGTH": "3",
            "HTTP_HOST": "shop.example:8080",
            "HTTP_X_TWICE": "a,b",
            "HTTP_COOKIE": "a=1; b=2",
            "HTTP_X_LATIN": "\xe9",
        },
    )


@pytest.mark.parametrize(
    ("request_line", "path", "query", "host"),
    [
        (b"GET /a/../b HTTP/1.1", "/a/../b", "", "localhost"),
        (b"GET //a HTTP/1.1", "//a", "", "localhost"),
        (b"GET /\xe9?\xe9 HTTP/1.1", "/\xe9", "\xe9", "localhost"),
        (b"GET /a?b?c HTTP/1.1", "/a", "b?c", "localhost"),
        (b"GET http://other.example/a?b HTTP/1.1", "/a", "b", "other.example"),
        (b"GET HTTP://other.example?b HTTP/1.1", "/", "b", "other.example"),
        (b"OPTIONS * HTTP/1.1", "", "", "localhost"),
        (b"\r\nGET / HTTP/1.1", "/", "", "localhost"),
        (b"GET / HTTP/1.2", "/", "", "localhost"),
    ],
)
def test_request_target_in_every_form(request_line, path, query, host):
    head = read(request_line + b"\r\n" + HOST + b"\r\n")

    assert (head.path, head.query, head.headers["HTTP_HOST"]) == (path, query, host)


def test_line_feed_alone_ends_a_line():
    assert read(b"GET /a HTTP/1.1\nHost: localhost\n\n").path == "/a"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),  # HTTP/0.9
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/11\r\n\r\n", 400),
        (b"GET nowhere HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\n", 400),  # TLS
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: empty\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
        (b"GET /%b HTTP/1.1\r\n" % (b"a" * 17_000), 431),
        (b"GET / HTTP/1.1\r\nX: %b\r\n" % (b"a" * 17_000), 431),
        (b"GET / HTTP/1.1\r\n" + b"X: %b\r\n" % (b"a" * 16_000) * 5, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 101, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 10_000, 431),
    ],
)
def test_malformed_head_is_refused(data, status):
    with pytest.raises(RequestError, match=r"\.$") as caught:
        read(data)

    assert caught.value.status == status


def test_a_hundred_headers_are_accepted():
    assert with_headers(b"X: a\r\n" * 99).headers["HTTP_X"].count("a") == 99


@pytest.mark.parametrize(
    ("headers", "length"),
    [(b"", 0), (b"Content-Length: 0\r\n", 0), (b"Content-Length: 1000\r\n", 1000)],
)
def test_body_length_is_what_is_declared(headers, length):
    assert with_headers(headers).body_length(1000) == length


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n", 411),
        (b"transfer-encoding: gzip, chunked\r\n", 411),
        (b"Content-Length: \r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: +3\r\n", 400),
        (b"Content-Length: 3, 3\r\n", 400),
        (b"Content-Length: 0x3\r\n", 400),
        (b"Content-Length: \xb2\r\n", 400),  # isdigit() says yes
        (b"Content-Length: 1001\r\n", 413),
        (b"Content-Length: 10000000000\r\n", 413),
        (b"Content-Length: " + b"9" * 9_000 + b"\r\n", 413),
    ],
)
def test_ambiguous_or_oversized_length_is_refused(headers, status):
    head = with_headers(headers)

    with pytest.raises(RequestError) as caught:
        head.body_length(1000)

    assert caught.value.status == status


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: keep-alive\r\n", True),
        (b"1.1", b"Connection: Close\r\n", False),
        (b"1.1", b"Connection: upgrade, close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: Keep-Alive, close\r\n", False),
    ],
)
def test_connection_is_kept_as_version_and_header_say(version, connection, keeps):
    head = read(b"GET / HTTP/" + version + b"\r\n" + HOST + connection + b"\r\n")

    assert head.keeps_alive is keeps


@pytest.mark.parametrize(
    ("version", "expect", "waits"),
    [
        (b"1.1", b"", False),
        (b"1.1", b"Expect: 100-Continue\r\n", True),
        (b"1.0", b"Expect: 100-continue\r\n", False),
    ],
)
def test_client_that_waits_for_a_word_before_its_body(version, expect, waits):
    head = parse_head(b"POST / HTTP/" + version + b"\r\n" + HOST + expect)

    assert head.expects_continue() is waits


def test_unknown_expectation_is_refused():
    with pytest.raises(RequestError) as caught:
        with_headers(b"Expect: the-moon\r\n").expects_continue()

    assert caught.value.status == 417
