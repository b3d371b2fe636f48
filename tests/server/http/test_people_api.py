"""Erasing and exporting over HTTP, as the document says it."""

import json

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server.ingestion import keys
from mbuzz.server.privacy import erasure
from tests.server.test_openapi import DOCUMENT, check_answer

VISITOR = "65dabc1e9f0a4b7c8d3e2f1a0b9c8d7e65dabc1e9f0a4b7c8d3e2f1a0b9c8d7e"
PAGE = {
    "event_type": "page_view",
    "visitor_id": VISITOR,
    "properties": {"url": "https://shop.example/?utm_source=news&utm_medium=email"},
}


@pytest.fixture
def api(caller):
    """Return what calls a route, and holds the answer against the document."""
    client = caller()
    client.app.storage.write(
        lambda stores: stores.accounts._db.run(
            "UPDATE api_keys SET scopes = 'ingest read admin'", {}
        )
    )

    def ask(method, route, status, query="", **parameters):
        path = f"/api/v1{route}".format(**parameters)
        answered = client.send(method, path + query)
        assert answered.status == status, answered.body
        operation = DOCUMENT["paths"][f"/api/v1{route}"][method.lower()]
        check_answer(answered, operation["responses"][str(status)])
        return answered.json()

    ask.client = client
    return ask


@pytest.fixture
def known(api):
    """Somebody with a browser, a name and a purchase."""
    api.client.post("/events", {"events": [PAGE]})
    person = {"user_id": "123", "visitor_id": VISITOR}
    api.client.post("/identify", {**person, "traits": {"email": "ada@example.com"}})
    api.client.post("/group", {"group_id": "company", "user_id": "123"})
    sale = {"conversion_type": "purchase", "revenue": "99.99", **person}
    assert api.client.post("/conversions", sale).status == 201
    return api


@pytest.mark.parametrize(
    ("route", "query"),
    [
        ("/users/{id}", ""),
        ("/users", "?email=ADA%40example.com"),
        ("/users", "?user_id=123"),
    ],
)
def test_person_is_erased(known, route, query):
    first = known("DELETE", route, 200, query, id="123")
    job = known("GET", "/jobs/{id}", 200, id=first["job_id"])

    assert first["status"] == "done"
    assert first["erased"]["conversions_anonymised"] == 1
    assert job == first
    known("GET", "/visitors/{id}/export", 404, id=VISITOR)
    report = known.client.get("/reports/channels").json()
    assert report["totals"]["revenue"] == "99.99"


def test_erasing_again_is_fine(known):
    known("DELETE", "/visitors/{id}", 200, id=VISITOR)

    again = known("DELETE", "/visitors/{id}", 200, id=VISITOR)

    assert again["erased"] == {}


def test_large_erasure_is_a_job(known, monkeypatch):
    monkeypatch.setattr(erasure, "AT_ONCE", 2)

    asked = known("DELETE", "/users/{id}", 202, id="123")
    storage = known.client.app.storage
    list(erasure.erase_pending(storage, SYSTEM_CLOCK))

    assert asked["status"] == "pending"
    assert known("GET", "/jobs/{id}", 200, id=asked["job_id"])["status"] == "done"


def test_what_arrives_for_the_erased_is_accepted(known):
    known("DELETE", "/users/{id}", 200, id="123")

    reply = known.client.post("/events", {"events": [PAGE]})
    sale = {"conversion_type": "purchase", "user_id": "123", "revenue": 5}
    sold = known.client.post("/conversions", sale)

    assert (reply.status, reply.json()["accepted"]) == (202, 1)
    check_answer(reply, DOCUMENT["paths"]["/api/v1/events"]["post"]["responses"]["202"])
    assert sold.status == 201
    check_answer(
        sold, DOCUMENT["paths"]["/api/v1/conversions"]["post"]["responses"]["201"]
    )
    known("GET", "/visitors/{id}/export", 404, id=VISITOR)


@pytest.mark.parametrize(
    ("route", "query"),
    [
        ("/users/{id}/export", ""),
        ("/users/export", "?email=ada%40example.com"),
        ("/users/export", "?user_id=123&events_after=0"),
    ],
)
def test_person_is_exported(known, route, query):
    document = known("GET", route, 200, query, id="123")

    assert [user["user_id"] for user in document["users"]] == ["123"]
    assert len(document["events"]) == 1
    assert document["conversions"][0]["revenue"] == "99.99"


def test_browser_is_exported(known):
    document = known("GET", "/visitors/{id}/export", 200, id=VISITOR)

    assert document["visitors"][0]["visitor_id"] == VISITOR
    assert document["sessions"][0]["channel"] == "email"


def test_export_is_noted_in_the_audit_without_the_data(known):
    known("GET", "/users/{id}/export", 200, id="123")

    rows = known.client.app.storage.read(
        lambda stores: stores.privacy._db.rows(
            "SELECT action, details FROM audit WHERE account_id = 1"
            " AND action = 'data.export'",
            {},
        )
    )
    assert list(rows) == [("data.export", '{"environment":"test"}')]


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("DELETE", "/visitors/{id}"),
        ("GET", "/visitors/{id}/export"),
        ("DELETE", "/users/{id}"),
        ("GET", "/users/{id}/export"),
        ("GET", "/jobs/{id}"),
    ],
)
def test_unknown_is_a_404_and_other_keys_a_403(api, caller, method, route):
    api(method, route, 404, id="nobody")

    answered = caller().send(method, f"/api/v1{route}".format(id="nobody"))

    assert answered.status == 403
    responses = DOCUMENT["paths"][f"/api/v1{route}"][method.lower()]["responses"]
    check_answer(answered, responses["403"])


@pytest.mark.parametrize(
    ("method", "route", "query"),
    [
        ("DELETE", "/users", ""),
        ("DELETE", "/users", "?email=a%40b.example&user_id=1"),
        ("DELETE", "/users", f"?user_id={'x' * 256}"),
        ("GET", "/users/export", ""),
        ("GET", "/visitors/{id}/export", "?events_after=-1"),
        ("GET", "/visitors/{id}/export", f"?events_after={'9' * 20}"),
        ("GET", "/visitors/{id}/export", "?events_after=many"),
    ],
)
def test_query_that_says_too_little_or_too_much_is_a_422(api, method, route, query):
    api(method, route, 422, query, id=VISITOR)


def test_unknown_by_query_is_a_404(api):
    api("DELETE", "/users", 404, "?email=nobody%40example.com")
    api("GET", "/users/export", 404, "?user_id=nobody")


def test_users_of_another_environment_are_unknown(known):
    def live_key(stores):
        (account,) = stores.accounts.accounts()
        key, text = keys.create(
            stores.accounts, account, live=True, name="live", now_ms=1
        )
        stores.accounts._db.run(
            "UPDATE api_keys SET scopes = 'admin' WHERE id = :id", {"id": key.id}
        )
        return text

    known.client.key = known.client.app.storage.write(live_key)

    known("GET", "/users/{id}/export", 404, id="123")
    known("DELETE", "/users/{id}", 404, id="123")


def test_export_is_json_that_has_no_row_numbers(known):
    text = json.dumps(known("GET", "/users/{id}/export", 200, id="123"))

    assert '"row"' not in text
    assert "account_id" not in text
