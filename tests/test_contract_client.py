"""The client's half of the contract: what it sends is what the golden file holds."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

import mbuzz
from mbuzz import protocol
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.context import RequestContext, serving
from mbuzz.delivery.breaker import Breaker
from mbuzz.delivery.counters import Counters
from mbuzz.delivery.queue import Item
from mbuzz.delivery.sender import Sender
from mbuzz.delivery.transport import Response
from mbuzz.testing import capture

CONTRACT = Path(__file__).parent / "contract"
GOLDEN = json.loads((CONTRACT / "event_batch.json").read_text())["events"]
VISITOR = "a" * 64


@pytest.fixture
def sent():
    """Make one call of each kind, with everything that it can say."""
    context = RequestContext(
        visitor_id=VISITOR,
        session_id="b" * 32,
        url="https://shop.example/shoes?utm_source=google",
        referrer="https://www.google.com/",
        user_agent="Mozilla/5.0",
        request_id="req-1",
        flow_id="flow-1",
        parent_id="parent-1",
    )
    with capture() as events:
        with serving(context):
            mbuzz.page(properties={"category": "shoes"})
        mbuzz.identify("123", visitor_id=VISITOR, traits={"plan": "pro"})
        mbuzz.alias("123", "guest-9f2c")
        mbuzz.group("acme", user_id="123", visitor_id=VISITOR, traits={"seats": 25})
        mbuzz.conversion(
            "purchase",
            visitor_id=VISITOR,
            user_id="123",
            event_id="evt_1",
            revenue=Decimal("99.99"),
            currency="USD",
            order_id="A-1001",
            idempotency_key="purchase-A-1001",
            properties={"items": 2},
            is_acquisition=True,
            inherit_acquisition=True,
        )
    return {item["type"]: item for item in events}


def golden(kind):
    """Return the golden items of *kind*."""
    return [item for item in GOLDEN if item["type"] == kind]


def shape(value):
    """Return keys and kinds of values, all the way down."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return type(value).__name__


@pytest.mark.parametrize("kind", sorted(protocol.KINDS))
def test_each_kind_is_sent_in_the_agreed_shape(sent, kind):
    shapes = [shape(item) for item in golden(kind)]

    assert shapes
    assert shape(sent[kind]) in shapes


def test_the_golden_file_has_every_kind_and_no_other():
    assert {item["type"] for item in GOLDEN} == protocol.KINDS


def test_the_agreed_answer_is_understood():
    reply = json.loads((CONTRACT / "batch_reply.json").read_text())
    count = len(reply["events"]) + len(reply["rejected"])

    class Agreed:
        def post(self, path, body, headers, timeout):
            return Response(status=202, headers={}, body=json.dumps(reply).encode())

    counters = Counters(SYSTEM_CLOCK)
    sender = Sender("key", SYSTEM_CLOCK, counters, Breaker(SYSTEM_CLOCK))
    outcome = sender.send([Item(b"{}", 0.0)] * count, Agreed(), 1.0)
    answers = outcome.answers(count)

    rejected = {entry["index"]: entry["errors"][0] for entry in reply["rejected"]}
    assert {
        index: answer.error
        for index, answer in enumerate(answers)
        if not answer.delivered
    } == rejected
    assert [dict(a.body) for a in answers if a.delivered] == reply["events"]
