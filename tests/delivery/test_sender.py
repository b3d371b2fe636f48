"""One batch, one request: what is sent, and what the answer is taken for."""

import gzip
import json

import pytest

from mbuzz import __version__
from mbuzz.delivery import retry
from mbuzz.delivery.breaker import Breaker
from mbuzz.delivery.counters import Counters
from mbuzz.delivery.queue import Item
from mbuzz.delivery.sender import Sender
from mbuzz.delivery.transport import Response, TransportError
from mbuzz.testing import ManualClock

KEY = "sk_test_" + "k" * 32


class Recorded:
    """A transport with one answer ready."""

    def __init__(self, status=202, body=b"{}", headers=None):
        self.answer = Response(status=status, headers=headers or {}, body=body)

    def post(self, path, body, headers, timeout):
        self.path, self.body, self.headers = path, body, headers
        if self.answer.status == 0:
            raise TransportError("TimeoutError")
        return self.answer

    def close(self):
        pass


@pytest.fixture
def counters():
    return Counters(ManualClock())


@pytest.fixture
def sender(counters):
    clock = ManualClock(1_795_170_600_250)
    return Sender(KEY, clock, counters, Breaker(clock))


def items(*names, size=0):
    return [
        Item(json.dumps({"id": name, "x": "x" * size}).encode(), 0.0) for name in names
    ]


def test_the_request(sender):
    transport = Recorded()

    sender.send(items("a", "b"), transport, 1.0)

    assert transport.path == "/events"
    assert json.loads(transport.body) == {
        "sent_at": "2026-11-20T10:30:00.250Z",
        "events": [{"id": "a", "x": ""}, {"id": "b", "x": ""}],
    }
    assert transport.headers == {
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": f"mbuzz-python/{__version__}",
    }


def test_a_large_body_is_packed(sender):
    transport = Recorded()

    sender.send(items("a", size=2000), transport, 1.0)

    assert transport.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(transport.body))["events"][0]["id"] == "a"
    assert len(transport.body) < 500


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"status": "accepted", "request_id": "1"}']
)
def test_an_edge_that_says_nothing_of_items_took_them(sender, body):
    outcome = sender.send(items("a", "b"), Recorded(202, body), 1.0)

    assert outcome.verdict == retry.DELIVERED
    assert [answer.delivered for answer in outcome.answers(2)] == [True, True]


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b"null", b"\xff", b'{"a"', b"[" * 100_000, b'"accepted"'],
)
def test_a_success_that_is_no_json_object_comes_from_somebody_else(
    sender, counters, body
):
    outcome = sender.send(items("a"), Recorded(200, body), 1.0)

    assert outcome.verdict == retry.RETRY
    assert counters.last_error == "no_json"


def test_answers_are_matched_to_items(sender):
    said = {
        "accepted": 2,
        "rejected": [{"index": 1, "errors": ["event_type is required"]}],
        "events": [{"id": "a"}, {"id": "c", "duplicate": True}],
    }

    answers = sender.send(
        items("a", "b", "c"), Recorded(202, json.dumps(said).encode()), 1.0
    ).answers(3)

    assert [answer.delivered for answer in answers] == [True, False, True]
    assert answers[1].error == "event_type is required"
    assert answers[2].body == {"id": "c", "duplicate": True}


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ("too large", "too large"),
        ([], "rejected"),
        (None, "rejected"),
        ([{"field": "x"}], "rejected"),
        (["x" * 5000], "x" * 200),
        ({"a": 1}, "rejected"),
    ],
)
def test_a_reason_in_any_shape(sender, errors, said):
    body = json.dumps({"rejected": [{"index": 0, "errors": errors}]}).encode()

    (answer,) = sender.send(items("a"), Recorded(202, body), 1.0).answers(1)

    assert (answer.delivered, answer.error) == (False, said)


@pytest.mark.parametrize(
    "said",
    [
        {"rejected": "all", "events": 5},
        {"rejected": [None, {"index": "0"}, {"index": 99}], "events": [1, "x"]},
    ],
)
def test_nonsense_about_items_is_ignored(sender, said):
    (answer,) = sender.send(
        items("a"), Recorded(202, json.dumps(said).encode()), 1.0
    ).answers(1)

    assert answer.delivered


def test_cookies_belong_to_a_single_item_only(sender):
    transport = Recorded(headers={"set-cookie": ("_mbuzz_vid=1", "_mbuzz_sid=2")})

    alone = sender.send(items("a"), transport, 1.0)
    together = sender.send(items("a", "b"), transport, 1.0)

    assert alone.answers(1)[0].cookies == ("_mbuzz_vid=1", "_mbuzz_sid=2")
    assert together.answers(2)[0].cookies == ()


def test_a_refusal_of_the_batch_is_one_of_each_item(sender, counters):
    outcome = sender.send(items("a", "b"), Recorded(401), 1.0)

    assert outcome.verdict == retry.REJECTED
    assert [answer.error for answer in outcome.answers(2)] == ["http_401"] * 2
    assert counters.last_error == "http_401"


def test_a_server_in_trouble_says_when_to_come_back(sender):
    transport = Recorded(503, headers={"retry-after": ("7",)})

    outcome = sender.send(items("a"), transport, 1.0)

    assert (outcome.verdict, outcome.wait) == (retry.RETRY, 7.0)


def test_no_answer_is_a_retry_without_the_servers_word(sender, counters):
    outcome = sender.send(items("a"), Recorded(0), 1.0)

    assert (outcome.verdict, outcome.wait) == (retry.RETRY, 0.0)
    assert counters.last_error == "TimeoutError"


def test_logs_name_neither_key_nor_payload(sender, caplog):
    caplog.set_level("DEBUG", "mbuzz")

    sender.send(items("secret-id"), Recorded(202), 1.0)
    sender.send(items("secret-id"), Recorded(500), 1.0)

    assert caplog.messages == [
        "batch delivered (events=1)",
        "batch failed (events=1, reason=http_500)",
    ]
