"""What is noted of requests: their ids, and lines without secrets."""

import io
import json
import re

import pytest

from mbuzz.server import logs

SECRET = "hunter2secret"


@pytest.fixture
def log():
    stream = io.StringIO()
    undo = logs.configure("json", "debug", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    undo()


def access(lines):
    return [line for line in lines if line["logger"] == "mbuzz.server.access"]


@pytest.mark.parametrize("given", ["a", "7f0c-41", "Root=1-5e1b:4", "r" * 64])
def test_id_of_a_request_is_taken_over(caller, given):
    answered = caller().get("/health", HTTP_X_REQUEST_ID=given)

    assert answered.header("X-Request-Id") == given


@pytest.mark.parametrize(
    "given",
    ["", "a b", "a\nb", "r" * 65, "ada@example.com", "sk_live_" + "a" * 32, "\xe9"],
)
def test_id_that_is_none_is_replaced(caller, given):
    client = caller()
    made = [
        client.get("/health", HTTP_X_REQUEST_ID=given).header("X-Request-Id")
        for _ in range(2)
    ]

    assert all(re.fullmatch(r"[0-9a-f]{12}-[0-9]+", one) for one in made)
    assert made[0] != made[1]
    assert given not in made


def test_line_has_route_status_key_and_id(caller, log):
    client = caller(access_log="all")
    answered = client.get("/validate?token=a", HTTP_X_REQUEST_ID="of-nginx")

    (line,) = access(log())
    assert line["ms"] >= 0
    assert line["key"].startswith("key_")
    assert {name: line[name] for name in line if name not in ("time", "ms", "key")} == {
        "level": "INFO",
        "logger": "mbuzz.server.access",
        "event": "answered",
        "method": "GET",
        "route": "/api/v1/validate",
        "status": 200,
        "bytes": len(answered.body),
        "request_id": "of-nginx",
    }


@pytest.mark.parametrize(
    ("access_log", "statuses"), [("all", [200, 401]), ("errors", [401]), ("off", [])]
)
def test_which_requests_are_logged_is_an_option(caller, log, access_log, statuses):
    client = caller(access_log=access_log)
    client.get("/health")
    client.key = None
    client.get("/validate")

    assert [line["status"] for line in access(log())] == statuses


def test_server_error_is_a_warning(caller, log):
    client = caller()
    client.app.close()
    client.get("/health")

    assert [line["level"] for line in access(log())] == ["WARNING"]


def test_secrets_do_not_get_into_the_log(caller, log):
    client = caller(access_log="all")
    secret_headers = {
        "HTTP_AUTHORIZATION": f"Bearer sk_test_{SECRET}",
        "HTTP_COOKIE": f"mbuzz_dashboard={SECRET}",
        "HTTP_X_REQUEST_ID": f"{SECRET} {SECRET}",
        "HTTP_USER_AGENT": SECRET,
        "HTTP_REFERER": f"https://a.example/{SECRET}",
        "HTTP_X_IDEMPOTENCY_KEY": SECRET,
        "HTTP_X_FORWARDED_FOR": SECRET,
        "HTTP_HOST": f"{SECRET}.example",
        "REMOTE_ADDR": "203.0.113.77",
    }
    event = {"event_type": SECRET, "user_id": SECRET, "properties": {SECRET: SECRET}}
    for headers in (secret_headers, {**secret_headers, "HTTP_AUTHORIZATION": None}):
        kept = {name: said for name, said in headers.items() if said is not None}
        client.post(f"/events?key={SECRET}", {"events": [event]}, **kept)
        client.post("/identify", {"user_id": SECRET, "visitor_id": SECRET}, **kept)
        client.post("/conversions", {"conversion_type": SECRET}, **kept)
        client.send("POST", "/api/v1/events", f'{{"{SECRET}'.encode(), **kept)
        client.get(f"/reports/channels?from={SECRET}", **kept)
        client.send("GET", f"/{SECRET}", **kept)
        client.send(SECRET.upper(), "/", **kept)
        client.send("POST", "/login", f"email={SECRET}&password={SECRET}".encode())

    lines = log()
    text = json.dumps(lines)
    assert len(access(lines)) == 16
    assert SECRET not in text
    assert SECRET.upper() not in text
    assert client.key not in text
    assert "203.0.113.77" not in text
