"""`mbuzz validate`: does the key work, and whose is it?"""

import re
from contextlib import closing

import pytest

from mbuzz.server.http.wsgi_server import WSGIServer
from tests.processes import reserve_port


@pytest.fixture
def validate(mbuzz, backend):
    def call(key=None, url=None):
        return mbuzz(
            "validate",
            *["--api-key", key or backend.api_key],
            *["--api-url", url or f"{backend.url}/api/v1"],
        )

    return call


def test_key_that_works_says_whose_it_is(validate, backend):
    exit_code, out, err = validate()

    account = backend.first.account
    assert (exit_code, err) == (0, "")
    assert out == (
        f"the key works: account 'My business' ({account.public_id}), test data\n"
    )


def test_key_and_address_come_from_the_environment(mbuzz, backend, monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", backend.api_key)
    monkeypatch.setenv("MBUZZ_API_URL", f"{backend.url}/api/v1")

    assert mbuzz("validate")[0] == 0


def test_unknown_key_is_1_with_the_servers_sentence(validate):
    exit_code, out, err = validate(key="sk_test_" + "0" * 48)

    assert (exit_code, out) == (1, "")
    assert err == (
        "mbuzz validate: the API key is unknown here; check it and the address "
        "(HTTP 401)\n"
    )


@pytest.mark.parametrize("key", ["pk_live_1", "sk_test_short"])
def test_key_that_cannot_be_one_is_2(validate, key):
    exit_code, out, err = validate(key=key)

    assert (exit_code, out) == (2, "")
    assert re.fullmatch(r"mbuzz validate: .*api_key.*\n", err)


def test_no_key_at_all_is_2(mbuzz):
    exit_code, out, err = mbuzz("validate")

    assert (exit_code, out) == (2, "")
    assert err == (
        "mbuzz validate: no API key was given; pass --api-key or set MBUZZ_API_KEY "
        "(`mbuzz keys create` makes one)\n"
    )


def test_nobody_there_is_1(validate):
    with closing(reserve_port()) as nobody:
        port = nobody.getsockname()[1]

        exit_code, _, err = validate(url=f"http://127.0.0.1:{port}/api/v1")

    assert exit_code == 1
    assert err.startswith(
        f"mbuzz validate: cannot reach http://127.0.0.1:{port}/api/v1 ("
    )
    assert err.endswith("check --api-url, and that `mbuzz serve` runs there\n")


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        ("200 OK", b"<html>", "the answer is not an mbuzz backend's; check --api-url"),
        ("200 OK", b"{}", "the answer is not an mbuzz backend's; check --api-url"),
        ("200 OK", b"[]", "the answer is not an mbuzz backend's; check --api-url"),
        ("404 Not Found", b"<html>", "answered 404; is it the address of an mbuzz"),
        ("404 Not Found", b"[]", "answered 404; is it the address of an mbuzz"),
    ],
)
def test_somebody_else_there_is_1(validate, status, body, complaint):
    def app(environ, start_response):
        start_response(status, [("Content-Type", "text/html")])
        return [body]

    with WSGIServer(app) as server:
        server.start()

        exit_code, _, err = validate(url=server.url)

    assert exit_code == 1
    assert complaint in err
    assert err.count("\n") == 1
