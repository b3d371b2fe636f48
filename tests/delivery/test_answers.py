"""Answers: every form that HTTP has for them, in pieces of any size, and no other."""

import pytest

from mbuzz.delivery.answers import AnswerError, AnswerReader

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LARGEST = 4_194_304


def reader(data, size=65_536):
    """Return a reader of *data*, that comes in pieces of *size* and ends then."""
    pieces = iter([data[at : at + size] for at in range(0, len(data), size)])
    return AnswerReader(lambda: next(pieces, b""))


@pytest.mark.parametrize("size", [1, 2, 7, 65_536])
@pytest.mark.parametrize(
    ("data", "body", "keeps"),
    [
        (HEAD + b"Content-Length: 2\r\n\r\n{}", b"{}", True),
        (HEAD + b"Content-Length: 0\r\n\r\n", b"", True),
        (HEAD + b"content-length:2\r\nContent-Length: 2\r\n\r\n{}", b"{}", True),
        (HEAD + b"Connection: Close\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
        (HEAD + b"Connection: x, close\r\nContent-Length: 0\r\n\r\n", b"", False),
        (HEAD + b"\r\nuntil the end", b"until the end", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
        (
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
            b"{}",
            True,
        ),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", b"{}", True),
        (CHUNKED + b"1\r\n{\r\n01;x=y\r\n}\r\n0\r\nA: b\r\n\r\n", b"{}", True),
        (CHUNKED + b"A\r\n0123456789\r\n000\r\n\r\n", b"0123456789", True),
        (
            HEAD + b"Content-Length: 9\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
            b"",
            False,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + HEAD + b"\r\n{}", b"{}", False),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", b"{}", True),
        (b"HTTP/1.1 204 Nothing\r\nContent-Length: 7\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Same\r\n\r\n", b"", True),
    ],
)
def test_every_form_of_body_is_read_whole(data, body, keeps, size):
    answer, kept = reader(data, size).read()

    assert answer.body == body
    assert kept is keeps


def test_headers_are_trimmed_unfolded_and_together():
    data = HEAD + b"A:  b\t\r\nB: c\r\n  d\r\na: e\r\nX: \xe9\r\nEmpty:\r\n\r\n"

    answer, _ = reader(data).read()

    assert answer.headers == {
        "a": ("b", "e"),
        "b": ("c d",),
        "x": ("\xe9",),
        "empty": ("",),
    }


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        HEAD + b"no colon\r\n\r\n",
        HEAD + b": no name\r\n\r\n",
        HEAD + b"a b: c\r\n\r\n",
        HEAD + b"a : c\r\n\r\n",
        HEAD + b" folded first\r\n\r\n",
        HEAD + b"a: b\nc: d\r\n\r\n",
        HEAD + b"a: \0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1_0\r\n\r\n",
        HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: identity\r\n\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
        CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"1;" + b"x" * 5_000 + b"\r\na\r\n0\r\n\r\n",
        CHUNKED + b"0\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        HEAD + b"a: b\r\n" * 201 + b"\r\n",
        HEAD + b"a: " + b"b" * 66_000 + b"\r\n\r\n",
        HEAD + b"a: " + b"b" * 200_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000,
    ],
    ids=range(34),
)
def test_what_breaks_the_rules_is_no_answer(data):
    with pytest.raises(AnswerError, match="bad_answer"):
        reader(data).read()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "RemoteDisconnected"),
        (b"HT", "IncompleteRead"),
        (HEAD, "IncompleteRead"),
        (HEAD + b"Content-Length: 3\r\n\r\n", "IncompleteRead"),
        (HEAD + b"Content-Length: 3\r\n\r\n{}", "IncompleteRead"),
        (CHUNKED, "IncompleteRead"),
        (CHUNKED + b"2\r\n{}\r\n", "IncompleteRead"),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", "IncompleteRead"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "IncompleteRead"),
    ],
)
def test_an_end_that_comes_too_early_is_told_apart(data, reason):
    with pytest.raises(AnswerError) as raised:
        reader(data).read()

    assert raised.value.reason == reason


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("form", ["length", "chunks", "end"])
def test_a_body_has_at_most_4_mib(form, extra):
    body = b"x" * (LARGEST + extra)
    data = {
        "length": HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        "chunks": CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        "end": HEAD + b"\r\n" + body,
    }[form]

    if not extra:
        assert len(reader(data).read()[0].body) == LARGEST
        return
    with pytest.raises(ValueError, match="too large"):
        reader(data).read()


def test_a_body_announced_as_too_large_is_not_waited_for():
    with pytest.raises(ValueError, match="too large"):
        reader(HEAD + b"Content-Length: 99999999999\r\n\r\n").read()


def test_more_than_one_answer_ends_the_connection():
    answer, keeps = reader(HEAD + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 500").read()

    assert (answer.body, keeps) == (b"{}", False)


def test_an_open_tunnel_has_no_body_a_refused_one_has():
    opened = reader(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").read(tunnel=True)
    refused = reader(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n{}").read(
        tunnel=True
    )

    assert (opened[0].body, opened[1]) == (b"", True)
    assert refused[0].body == b"{}"
