"""Bytes in, requests out: in any pieces, and refused as soon as that can be seen."""

import pytest

from mbuzz.server.http.incoming import Incoming
from mbuzz.server.http.request_head import RequestError

HOST = b"Host: localhost\r\n"
POST = b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"


def requests(incoming):
    found = []
    while (request := incoming.next(max_body=1000)) is not None:
        found.append((request[0].path, request[1]))
    return found


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_request_in_pieces_of_any_size_is_the_same_request(size, line_end):
    data = (POST + POST.replace(b"/a", b"/b")).replace(b"\r\n", line_end)
    incoming = Incoming()
    found = []

    for at in range(0, len(data), size):
        incoming.feed(data[at : at + size])
        found += requests(incoming)

    assert found == [("/a", b"abc"), ("/b", b"abc")]
    assert not incoming.begun
    assert len(incoming) == 0


def test_body_with_empty_lines_ends_no_head():
    incoming = Incoming()
    body = b"\n\n\r\n\r\n\n"
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body)

    incoming.feed(head + body)

    assert requests(incoming) == [("/", body)]


def test_request_that_breaks_off_is_none_yet():
    for end in range(1, len(POST)):
        incoming = Incoming()
        incoming.feed(POST[:end])

        assert requests(incoming) == []
        assert incoming.begun


@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
def test_one_empty_line_may_precede_a_request(line):
    incoming = Incoming()

    for byte in line:
        incoming.feed(bytes([byte]))
        assert requests(incoming) == []
    assert not incoming.begun
    incoming.feed(POST + line + POST)

    assert len(requests(incoming)) == 2


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", 400),  # TLS, whose client waits for an answer
        (b"\r\n\r\n", 400),
        (b"\n\n", 400),
        (b"\rGET", 400),
        (b"a" * 17_000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 17_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: %b\r\n" % (b"a" * 16_000) * 5, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 102, 431),
    ],
)
def test_what_cannot_become_a_request_is_refused_before_it_is_whole(data, status):
    incoming = Incoming()
    incoming.feed(data)

    with pytest.raises(RequestError) as caught:
        requests(incoming)

    assert caught.value.status == status


@pytest.mark.parametrize("ending", [b"\r\n", b""])
@pytest.mark.parametrize(
    "headers",
    [b"X: %b\r\n" % (b"a" * 17_000), b"X: %b\r\n" % (b"a" * 16_000) * 5],
    ids=["line", "all"],
)
def test_headers_over_a_limit_are_refused_whole_or_not(headers, ending):
    incoming = Incoming()
    incoming.feed(b"GET / HTTP/1.1\r\n" + HOST + headers + ending)

    with pytest.raises(RequestError) as caught:
        requests(incoming)

    assert caught.value.status == 431


def test_long_line_in_pieces_is_refused_once_it_is_too_long():
    incoming = Incoming()
    incoming.feed(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(16):
        incoming.feed(b"a" * 1000)
        assert requests(incoming) == []
    incoming.feed(b"a" * 1000)

    with pytest.raises(RequestError, match="16384 bytes"):
        requests(incoming)


def test_declared_body_is_refused_before_it_arrives():
    incoming = Incoming()
    incoming.feed(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\n\r\n")

    with pytest.raises(RequestError) as caught:
        requests(incoming)

    assert caught.value.status == 413


def test_client_that_waits_for_a_word_is_told_once():
    incoming = Incoming()
    incoming.feed(b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n")
    before = incoming.wants_continue()
    incoming.feed(b"Content-Length: 3\r\n\r\n")

    assert requests(incoming) == []
    told = [incoming.wants_continue(), incoming.wants_continue()]
    incoming.feed(b"abc")

    assert (before, told) == (False, [True, False])
    assert requests(incoming) == [("/", b"abc")]
    assert not incoming.wants_continue()
