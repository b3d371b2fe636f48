"""The client: takes whatever it is given, and says what became of it."""

import asyncio
import decimal
import gzip
import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbuzz import api
from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.context import RequestContext, context_scope, serving
from mbuzz.delivery.transport import Response, TransportError
from mbuzz.testing import ManualClock, capture

KEY = "sk_test_" + "k" * 32


class Recorder:
    """A transport that keeps what it is sent, and answers what it is told."""

    def __init__(self):
        self.sent = []
        self.said = {}
        self.status = 202

    def post(self, path, body, headers, timeout):
        if self.status == 0:
            raise TransportError("TimeoutError")
        if "Content-Encoding" in headers:
            body = gzip.decompress(body)
        self.sent += json.loads(body)["events"]
        return Response(
            status=self.status, headers={}, body=json.dumps(self.said).encode()
        )

    def close(self):
        pass


class Unprintable:
    def __str__(self):
        raise RuntimeError("hunter2")

    __repr__ = __bool__ = __hash__ = __len__ = __iter__ = __eq__ = __str__


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def client(recorder):
    client = Client(
        Config(api_key=KEY, network=True, delivery="sync"),
        clock=ManualClock(1_795_170_600_250),
        transport=lambda: recorder,
    )
    yield client
    client.close(0.0)


# -- what is sent --


def test_track(client, recorder):
    result = client.track(
        " Signup ",
        user_id=42,
        anonymous_id="v",
        properties={"plan": "pro"},
        timestamp=datetime(2026, 11, 20, 10, 30, tzinfo=UTC),
        event_id="evt_own",
        session_id="s",
        request_id="r",
        flow_id="f",
        parent_id="p",
    )

    assert result
    assert result["event_id"] == "evt_own"
    assert recorder.sent == [
        {
            "type": "track",
            "id": "evt_own",
            "event_type": "Signup",
            "visitor_id": "v",
            "user_id": "42",
            "timestamp": "2026-11-20T10:30:00.000Z",
            "properties": {"plan": "pro"},
            "session_id": "s",
            "correlation": {"request_id": "r", "flow_id": "f", "parent_id": "p"},
        }
    ]


def test_page(client, recorder):
    result = client.page(
        url="https://h/a",
        referrer="https://r",
        visitor_id="v",
        properties={"url": "https://other", "category": "shoes"},
    )

    assert result
    (item,) = recorder.sent
    assert item["event_type"] == "page_view"
    assert item["properties"] == {
        "url": "https://h/a",
        "referrer": "https://r",
        "category": "shoes",
    }
    assert item["timestamp"] == "2026-11-20T10:30:00.250Z"


def test_identify(client, recorder):
    assert client.identify(42, visitor_id="v", traits={"name": "Zoë"}) is True

    (item,) = recorder.sent
    assert item.pop("id").startswith("evt_")
    assert item == {
        "type": "identify",
        "visitor_id": "v",
        "user_id": "42",
        "timestamp": "2026-11-20T10:30:00.250Z",
        "traits": {"name": "Zoë"},
    }


def test_alias(client, recorder):
    assert client.alias(42, "guest-1") is True

    (item,) = recorder.sent
    assert item.pop("id").startswith("evt_")
    assert item == {
        "type": "alias",
        "user_id": "42",
        "previous_id": "guest-1",
        "timestamp": "2026-11-20T10:30:00.250Z",
    }


def test_conversion(client, recorder):
    recorder.said = {
        "events": [
            {
                "conversion_id": "conv_first",
                "attribution_credits": {"linear": [{"channel": "email"}]},
                "duplicate": True,
            }
        ]
    }

    result = client.conversion(
        " purchase ",
        user_id=uuid.UUID(int=5),
        visitor_id="v",
        event_id="evt_1",
        revenue=Decimal("99.90"),
        currency="EUR",
        order_id=1001,
        idempotency_key="k",
        properties={"items": 2},
        is_acquisition=True,
        inherit_acquisition=True,
    )

    assert result
    assert result.conversion_id == "conv_first"
    assert result.attribution == {"linear": [{"channel": "email"}]}
    assert result.duplicate is True
    (item,) = recorder.sent
    assert item.pop("id").startswith("conv_")
    assert item == {
        "type": "conversion",
        "conversion_type": "purchase",
        "timestamp": "2026-11-20T10:30:00.250Z",
        "properties": {"items": 2},
        "visitor_id": "v",
        "user_id": "00000000-0000-0000-0000-000000000005",
        "event_id": "evt_1",
        "revenue": "99.90",
        "currency": "EUR",
        "order_id": "1001",
        "idempotency_key": "k",
        "is_acquisition": True,
        "inherit_acquisition": True,
    }


def test_what_was_left_out_is_not_sent(client, recorder):
    client.conversion("purchase", user_id="1")

    assert set(recorder.sent[0]) == {
        "type", "id", "conversion_type", "timestamp", "properties", "user_id",
    }  # fmt: skip


def test_an_event_is_identity_enough_for_a_conversion(client, recorder):
    assert client.conversion("purchase", event_id="evt_1")
    assert recorder.sent[0]["event_id"] == "evt_1"

    refused = client.conversion("purchase", event_id="evt_1", visitor_id="a b")
    assert refused.error == "invalid_visitor_id"


# -- the request's context --


def test_identity_page_and_correlation_come_from_the_request(client, recorder):
    context = RequestContext(
        visitor_id="v",
        session_id="s",
        user_id="1",
        url="https://h/a?token=hunter2",
        referrer="https://r",
        user_agent="UA",
        request_id="r",
    )

    with serving(context):
        assert client.track("Signup")

    (item,) = recorder.sent
    assert (item["visitor_id"], item["session_id"], item["user_id"]) == ("v", "s", "1")
    assert item["properties"] == {
        "url": "https://h/a?token=[redacted]",
        "referrer": "https://r",
        "user_agent": "UA",
    }
    assert item["correlation"] == {"request_id": "r"}
    assert context.visitor_used


def test_a_context_that_is_handed_in_beats_the_current_one(client, recorder):
    with context_scope(visitor_id="v"):
        client.track("Signup", context=RequestContext(visitor_id="w"))

    assert recorder.sent[0]["visitor_id"] == "w"


def test_later_calls_of_the_request_know_the_user(client, recorder):
    with context_scope(visitor_id="v"):
        client.track("Before")
        client.identify("42")
        client.track("After")
        client.conversion("purchase")

    assert [item.get("user_id") for item in recorder.sent] == [None, "42", "42", "42"]
    assert {item["visitor_id"] for item in recorder.sent} == {"v"}


def test_identifying_another_visitor_is_no_log_in(client):
    with context_scope(visitor_id="v") as scope:
        client.identify("42", visitor_id="w")

    assert scope.user_id is None


# -- results --


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"event": ""}, "missing_event"),
        ({"event": None}, "missing_event"),
        ({"user_id": None}, "missing_identity"),
        ({"user_id": 1.5}, "invalid_user_id"),
        ({"visitor_id": "a b"}, "invalid_visitor_id"),
        ({"timestamp": "yesterday"}, "invalid_timestamp"),
        ({"event_id": "a b"}, "invalid_event_id"),
    ],
)
def test_what_cannot_become_an_event_says_why_and_is_counted(
    client, recorder, given, error
):
    result = client.track(**{"event": "Signup", "user_id": "1", **given})

    assert not result
    assert result.error == error
    assert client.stats().refused == {error: 1}
    assert recorder.sent == []


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"conversion_type": " "}, "missing_conversion_type"),
        ({"user_id": None}, "missing_identity"),
        ({"revenue": "much"}, "invalid_revenue"),
        ({"revenue": -1}, "invalid_revenue"),
        ({"currency": 1.5}, "invalid_currency"),
        ({"order_id": ["a"]}, "invalid_order_id"),
        ({"idempotency_key": b"\xff"}, "invalid_idempotency_key"),
        ({"event_id": 1.5}, "invalid_event_id"),
        ({"timestamp": []}, "invalid_timestamp"),
    ],
)
def test_what_cannot_become_a_conversion_says_why(client, given, error):
    result = client.conversion(
        **{"conversion_type": "purchase", "user_id": "1", **given}
    )

    assert (result.success, result.error) == (False, error)
    assert client.stats().refused == {error: 1}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.identify(None), "missing_identity"),
        (lambda c: c.identify(""), "missing_identity"),
        (lambda c: c.identify(1.5), "invalid_user_id"),
        (lambda c: c.alias("1", None), "missing_identity"),
        (lambda c: c.alias(None, "v"), "missing_identity"),
        (lambda c: c.alias("1", b"\xff"), "invalid_previous_id"),
    ],
)
def test_calls_that_return_a_bool_count_their_refusals(client, call, error):
    assert call(client) is False
    assert client.stats().refused == {error: 1}


@pytest.mark.parametrize("odd", [5, "x", ["a"], ("a", 1)])
def test_properties_that_are_no_mapping_are_kept_as_a_value(client, recorder, odd):
    assert client.track("Signup", user_id="1", properties=odd)
    assert client.page(user_id="1", properties=odd)
    assert client.identify("1", traits=odd)

    kept = list(odd) if isinstance(odd, tuple) else odd
    assert [item.get("properties", item.get("traits")) for item in recorder.sent] == [
        {"value": kept}
    ] * 3


@pytest.mark.parametrize("odd", [1.5, object(), Unprintable(), [], True, b"\xff"])
def test_what_only_ties_events_together_is_left_out_if_it_is_no_text(
    client, recorder, odd
):
    hints = dict.fromkeys(("session_id", "request_id", "flow_id", "parent_id"), odd)

    assert client.track("Signup", user_id="1", **hints)

    (item,) = recorder.sent
    assert hints.keys().isdisjoint(item)
    assert "correlation" not in item


def test_what_the_server_rejects_is_false_with_its_reason(client, recorder):
    recorder.said = {"rejected": [{"index": 0, "errors": ["no"]}]}

    results = [
        client.track("Signup", user_id="1"),
        client.conversion("purchase", user_id="1"),
    ]

    assert [result.error for result in results] == ["no", "no"]
    assert client.identify("1") is False
    assert client.alias("1", "v") is False
    assert client.stats().rejected == 4


def test_an_answer_without_the_conversion_is_a_success_without_attribution(
    client, recorder
):
    recorder.said = {"events": [{"attribution_credits": "soon", "duplicate": "no"}]}

    result = client.conversion("purchase", user_id="1")

    assert result.conversion_id.startswith("conv_")
    assert (result.attribution, result.duplicate) == (None, False)


def test_no_answer_in_time_is_a_success_on_its_way(client, recorder):
    recorder.status = 0

    result = client.conversion("purchase", user_id="1")

    assert result.success
    assert result.attribution is None
    assert client.stats().queued == 1


def test_a_client_that_is_turned_off_does_nothing():
    client = Client(Config(enabled=False))

    assert client.track("Signup", user_id="1").error == "disabled"
    assert client.page(user_id="1").error == "disabled"
    assert client.conversion("purchase", user_id="1").error == "disabled"
    assert client.identify("1") is False
    assert client.alias("1", "v") is False
    assert client.flush()
    assert client.close()


# -- never raising --

ODD = [
    Unprintable(),
    object(),
    float("nan"),
    10**5000,
    b"\xff",
    "\ud800",
    "x" * 100_000,
    [[]],
    {"a": {1: Unprintable()}},
    lambda: None,
    decimal.Decimal("sNaN"),
    True,
]


@pytest.mark.parametrize("odd", ODD, ids=lambda value: type(value).__name__)
def test_no_call_raises_whatever_it_is_given(client, odd):
    names = {
        "track": "event user_id visitor_id anonymous_id properties timestamp event_id "
        "session_id request_id flow_id parent_id wait",
        "page": "url referrer user_id visitor_id properties timestamp event_id "
        "session_id",
        "identify": "user_id visitor_id traits timestamp",
        "alias": "user_id previous_id",
        "conversion": "conversion_type user_id visitor_id event_id revenue currency "
        "order_id idempotency_key properties is_acquisition inherit_acquisition "
        "timestamp wait",
        "flush": "timeout",
    }
    needed = {
        "track": {"event": "Signup", "user_id": "1"},
        "page": {"user_id": "1"},
        "identify": {"user_id": "1"},
        "alias": {"user_id": "1", "previous_id": "v"},
        "conversion": {"conversion_type": "purchase", "user_id": "1"},
        "flush": {},
    }
    for call, arguments in names.items():
        for name in arguments.split():
            result = getattr(client, call)(**{**needed[call], name: odd})
            assert isinstance(bool(result), bool)
        with serving(RequestContext(visitor_id=odd, session_id=odd, url=odd)):
            getattr(client, call)(**needed[call])
    client.close(timeout=odd)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.dictionaries(st.text(), st.text()))
def test_any_text_is_taken_or_refused_with_a_word(client, recorder, name, user, given):
    recorder.sent.clear()

    result = client.track(name, user_id=user, properties=given)

    assert result.success is bool(recorder.sent)
    assert result.success or result.error in {
        "missing_event", "missing_identity", "invalid_user_id", "event_too_large",
    }  # fmt: skip


def test_a_clock_that_is_broken_costs_the_call_not_the_caller(caplog):
    class Broken:
        def now_ms(self):
            raise OSError("hunter2")

        monotonic = now_ms

    client = Client(Config(api_key=KEY, network=True), clock=Broken())

    assert client.track("Signup", user_id="1").error == "internal_error"
    assert client.conversion("purchase", user_id="1").error == "internal_error"
    assert client.identify("1") is False
    assert "hunter2" not in caplog.text


# -- event loops --


def test_nothing_waits_inside_an_event_loop(recorder):
    recorder.status = 0
    client = Client(
        Config(api_key=KEY, network=True, conversion_timeout=60.0),
        transport=lambda: recorder,
    )

    async def main():
        return (
            client.conversion("purchase", user_id="1"),
            client.track("Signup", user_id="1", wait=60.0),
        )

    conversion, tracked = asyncio.run(asyncio.wait_for(main(), 30.0))
    client.close(0.0)

    assert conversion.success
    assert conversion.attribution is None
    assert tracked.success


def test_track_waits_for_the_answer_if_asked_to(recorder):
    recorder.said = {"rejected": [{"index": 0, "errors": ["no"]}]}
    client = Client(
        Config(api_key=KEY, network=True, batch_interval=3600.0),
        transport=lambda: recorder,
    )

    assert client.track("Signup", user_id="1", wait=30.0).error == "no"
    assert client.close()


def test_the_longest_waits_are_none_too_long(recorder):
    client = Client(Config(api_key=KEY, network=True), transport=lambda: recorder)

    assert client.track("Signup", user_id="1", wait=float("inf"))
    assert client.flush(float("inf"))
    assert client.close(float("inf"))


# -- capture goes through all of it --


def test_captured_calls_are_checked_and_redacted_but_not_sent(client, recorder):
    with capture() as events:
        client.track("Signup", user_id="1", properties={"password": "hunter2"})
        client.track("")

    assert recorder.sent == []
    assert [item["properties"] for item in events] == [{"password": "[redacted]"}]


# -- what ties events together --

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_the_trace_of_a_request_ties_its_events_together(client, recorder):
    with context_scope(traceparent=TRACEPARENT, request_id="r", flow_id="f"):
        client.track("Seen", user_id="1")
        client.page(url="https://shop.example/", visitor_id="v")
        client.conversion("purchase", user_id="1")

    tied = {"trace_id": TRACE, "request_id": "r", "flow_id": "f"}
    assert [item["correlation"] for item in recorder.sent] == [tied] * 3


@pytest.mark.parametrize(
    ("options", "given", "sent"),
    [
        ({}, "req_" + "0123456789abcdef" * 2, "req_" + "0123456789abcdef" * 2),
        ({}, "7f9c-41", "7f9c-41"),
        ({}, "sk_live_" + "a1" * 20, "[redacted]"),
        ({}, "AKIAIOSFODNN7EXAMPLE", "[redacted]"),
        ({"redact_patterns": [r"CASE-\d+"]}, "CASE-12", "[redacted]"),
        ({"pii": "strict"}, "DE89370400440532013000", "[iban]"),
    ],
)
def test_what_a_proxy_calls_a_request_is_redacted(options, given, sent):
    api.configure(api_key=KEY, **options)

    with capture() as events, context_scope(user_id="1", request_id=given):
        api.track("Seen")

    assert events.assert_tracked("Seen")["correlation"] == {"request_id": sent}


def test_what_a_call_says_beats_the_request_id_by_id(client, recorder):
    with context_scope(traceparent=TRACEPARENT, request_id="r", parent_id="p"):
        client.track("Seen", user_id="1", request_id="own", flow_id="flow")

    (item,) = recorder.sent
    assert item["correlation"] == {
        "trace_id": TRACE,
        "request_id": "own",
        "flow_id": "flow",
        "parent_id": "p",
    }


@pytest.mark.parametrize(
    "header",
    ["", "00", TRACEPARENT[:-1], f"00-{'0' * 32}-00f067aa0ba902b7-01", "x" * 300],
    ids="empty version short zeros long".split(),
)
def test_a_traceparent_that_is_none_ties_nothing(client, recorder, header):
    with context_scope(traceparent=header):
        client.track("Seen", user_id="1")

    assert "correlation" not in recorder.sent[0]


def test_without_a_request_nothing_is_tied(client, recorder):
    client.track("Seen", user_id="1")
    client.conversion("purchase", user_id="1")

    assert not any("correlation" in item for item in recorder.sent)


def test_long_correlation_ids_are_cut_and_odd_ones_left_out(client, recorder):
    client.track("Seen", user_id="1", request_id="r" * 1_000, flow_id=Unprintable())

    (item,) = recorder.sent
    assert item["correlation"] == {"request_id": "r" * 255}


# -- groups --


def test_group(client, recorder):
    assert client.group(7, user_id=42, traits={"name": "Team", "seats": 3}) is True

    (item,) = recorder.sent
    assert item.pop("id").startswith("evt_")
    assert item == {
        "type": "group",
        "group_id": "7",
        "user_id": "42",
        "timestamp": "2026-11-20T10:30:00.250Z",
        "traits": {"name": "Team", "seats": 3},
    }


def test_a_group_may_be_nobodys(client, recorder):
    assert client.group("team", traits={"seats": 3})

    (item,) = recorder.sent
    assert not {"user_id", "visitor_id"} & item.keys()


def test_a_group_knows_the_user_of_the_request(client, recorder):
    with serving(RequestContext(visitor_id="v", user_id="42")):
        assert client.group("team")

    (item,) = recorder.sent
    assert (item["user_id"], item["visitor_id"]) == ("42", "v")


# -- what to do about it --


def test_a_result_that_is_false_says_what_to_do(client):
    results = [
        client.track("", user_id="1"),
        client.track("Signup"),
        client.page(url="https://shop.example/"),
        client.conversion("purchase"),
        client.conversion("purchase", user_id="1", revenue="a lot"),
    ]

    for result in results:
        assert not result
        assert result.message != result.error
        assert result.message.endswith(".")
    assert client.track("Signup", user_id="1").message is None


def test_the_word_of_the_server_is_the_message(client, recorder):
    recorder.said = {"rejected": [{"index": 0, "errors": ["event_type is reserved"]}]}

    result = client.track("Signup", user_id="1")

    assert result.error == result.message == "event_type is reserved"


def test_a_refusal_by_the_server_says_what_to_do(client, recorder):
    recorder.status = 401

    result = client.track("Signup", user_id="1")

    assert result.error == "http_401"
    assert "api_key" in result.message
