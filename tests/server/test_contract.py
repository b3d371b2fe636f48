"""The golden files of the wire: what the server takes, and what it says to that.

`tests/contract/event_batch.json` is a batch as the SDK sends it, one call of each
kind with every field that the kind has; its own test holds the SDK against it.
`field_clients.json` has what the clients of other languages and of older versions send,
as their sources, in the repositories of github.com/mbuzzco, write it.
"""

import json
import re
from pathlib import Path

import pytest

from mbuzz import protocol

CONTRACT = Path(__file__).resolve().parent.parent / "contract"
SERVERS_OWN_ID = re.compile(r"(idt|sess)_[0-9a-f]{32}")


def golden(name):
    return json.loads((CONTRACT / name).read_text("utf-8"))


def fixed(answered):
    """Return a reply with zeros for what is random in the server's own ids."""
    text = SERVERS_OWN_ID.sub(rf"\1_{'0' * 32}", answered.body.decode())
    return json.loads(text)


def test_batch_of_the_sdk_is_answered_with_exactly_the_golden_reply(caller):
    answered = caller().post("/events", golden("event_batch.json"))

    assert answered.status == 202
    assert fixed(answered) == golden("batch_reply.json")


def test_repeated_batch_is_answered_the_same_but_for_duplicates(caller):
    client = caller()
    client.post("/events", golden("event_batch.json"))

    again = fixed(client.post("/events", golden("event_batch.json")))

    page, identified, alias, group, conversion = golden("batch_reply.json")["events"]
    expected = [
        {**page, "duplicate": True},
        identified,
        alias,
        {**group, "duplicate": True},
        {**conversion, "duplicate": True},
    ]
    assert again == {"accepted": 5, "rejected": [], "events": expected}


@pytest.mark.parametrize("index", range(5))
def test_each_item_of_the_batch_is_rejected_without_its_name(caller, index):
    names = "event_type", "user_id", "previous_id", "group_id", "conversion_type"
    required = names[index]
    batch = golden("event_batch.json")
    del batch["events"][index][required]

    reply = caller().post("/events", batch).json()

    entry = next(entry for entry in reply["rejected"] if entry["index"] == index)
    assert entry == {
        "index": index,
        "id": batch["events"][index]["id"],
        "event_type": None,
        "errors": [f"{required} is required"],
        "status": "rejected",
    }


FIELD = golden("field_clients.json")


def at(value, place):
    """Return what *value* has at a place such as ``events.0.id``."""
    for name in place.split("."):
        value = value[int(name)] if name.isdigit() else value[name]
    return str(value)


@pytest.mark.parametrize("said", FIELD, ids=[said["client"] for said in FIELD])
def test_what_clients_of_the_field_send_is_taken_and_answered(caller, said):
    """The table has what each client sends, and where it looks in the answer."""
    client = caller()

    answer = client.post(said["path"], said["body"])

    body = answer.json()
    assert answer.status == said["status"], body
    assert not body.get("rejected")
    assert "unknown fields" not in answer.body.decode()
    for place, pattern in said["reads"].items():
        assert re.search(pattern, at(body, place)), place


def test_protocol_is_pinned():
    assert golden("protocol.json") == {
        "api_prefix": protocol.API_PREFIX,
        "default_api_url": protocol.DEFAULT_API_URL,
        "authorization_scheme": protocol.AUTHORIZATION_SCHEME,
        "api_key": protocol.API_KEY.pattern,
        "page_view": protocol.PAGE_VIEW,
        "kinds": sorted(protocol.KINDS),
        "cookies": {
            protocol.VISITOR_COOKIE: {
                "max_age": protocol.VISITOR_COOKIE_MAX_AGE,
                "value": protocol.COOKIE_VISITOR_ID.pattern,
            },
            protocol.SESSION_COOKIE: {
                "max_age": protocol.SESSION_COOKIE_MAX_AGE,
                "value": protocol.COOKIE_SESSION_ID.pattern,
            },
        },
        "wire_id": protocol.WIRE_ID.pattern,
        "limits": {
            name: value
            for name, value in vars(protocol).items()
            if name.startswith("MAX_")
        },
    }
