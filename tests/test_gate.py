"""What is held back before it is queued, and that nothing else is."""

import gzip
import json
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz import catalog, definitions, events
from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.context import RequestContext, serving
from mbuzz.delivery.transport import Response
from mbuzz.testing import ManualClock, capture

KEY = "sk_test_" + "k" * 32
SECRET = "hunter2-hunter2"


class Recorder:
    """A transport that keeps what it is sent."""

    def __init__(self):
        self.sent = []
        self.raw = b""

    def post(self, path, body, headers, timeout):
        if "Content-Encoding" in headers:
            body = gzip.decompress(body)
        self.raw += body
        self.sent += json.loads(body)["events"]
        return Response(status=202, headers={}, body=b"{}")

    def close(self):
        pass


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def make_client(recorder):
    made = []

    def make(**options):
        given = {"api_key": KEY, "network": True, "delivery": "sync", **options}
        clock = ManualClock()
        client = Client(Config(**given), clock=clock, transport=lambda: recorder)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close(0.0)


@pytest.fixture
def catalog_of_one(monkeypatch):
    """Declare one event and one conversion, and nothing else."""
    known = {"track": {}, "conversion": {}}
    monkeypatch.setattr(definitions, "_declared", known)
    monkeypatch.setattr(catalog, "_warned", {})

    class Signup(catalog.Event, name="Signup"):
        plan: str

    class Purchase(catalog.Conversion, name="purchase"):
        items: int = 0


@pytest.fixture
def everything_left_out(make_client):
    return make_client(sample_rate=0)


# -- sampling --


def test_a_visitor_is_in_the_sample_as_a_whole(make_client):
    client = make_client(sample_rate=0.5)

    for visitor in (f"v{number}" for number in range(40)):
        taken = {
            bool(call)
            for call in (
                client.track("Signup", visitor_id=visitor),
                client.track("Other", visitor_id=visitor, properties={"a": "b"}),
                client.track("Other", anonymous_id=visitor, session_id="s"),
                client.page(url="https://shop.example/", visitor_id=visitor),
                client.track("Later", visitor_id=visitor, timestamp=1_700_000_000),
            )
        }
        assert len(taken) == 1, visitor


def test_the_visitors_of_a_log_in_stays_what_it_was(make_client):
    client = make_client(sample_rate=0.5)
    visitors = [f"v{number}" for number in range(40)]

    before = [bool(client.track("Seen", visitor_id=one)) for one in visitors]
    after = [
        bool(client.track("Seen", visitor_id=one, user_id="7")) for one in visitors
    ]

    assert before == after
    assert set(before) == {True, False}


def test_the_request_says_which_visitor_it_is(make_client):
    client = make_client(sample_rate=0.5)

    for number in range(20):
        visitor = f"v{number}"
        with serving(RequestContext(visitor_id=visitor, session_id="s", user_id="u")):
            inside = bool(client.track("Seen"))
        assert inside is bool(client.track("Seen", visitor_id=visitor))


def test_a_user_counts_where_no_visitor_is_known(make_client):
    client = make_client(sample_rate=0.5)

    taken = {
        user: {bool(client.track(name, user_id=user)) for name in ("A", "B", "C")}
        for user in range(40)
    }

    assert {len(each) for each in taken.values()} == {1}
    assert set.union(*taken.values()) == {True, False}


def test_every_client_draws_the_same_sample(make_client):
    first, second = make_client(sample_rate=0.3), make_client(sample_rate=0.3)

    for number in range(40):
        visitor = f"visitor-{number}"
        result = first.track("Seen", visitor_id=visitor)
        assert bool(result) is bool(second.track("Other", visitor_id=visitor))


@given(st.text(max_size=300), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_sample_has_everybody_of_a_smaller_one(visitor, one, other):
    who = {"visitor_id": visitor}
    small, large = sorted([one, other])

    assert not events.in_sample(who, small) or events.in_sample(who, large)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["random", "counted", "prefixed"])
def test_the_share_is_near_the_rate(rate, kind):
    chance = random.Random(7)
    makers = {
        "random": lambda number: f"{chance.getrandbits(128):032x}",
        "counted": str,
        "prefixed": lambda number: f"vis_0192f3a4-{number:08d}",
    }
    ids = [makers[kind](number) for number in range(20_000)]

    taken = sum(events.in_sample({"visitor_id": one}, rate) for one in ids)

    assert taken / len(ids) == pytest.approx(rate, abs=0.015)


def test_what_is_left_out_is_false_with_a_word_and_counted_without_a_warning(
    everything_left_out, recorder, caplog
):
    client = everything_left_out

    results = [client.track("Signup", user_id=n) for n in range(3)]

    assert not any(results)
    assert {result.error for result in results} == {"sampled_out"}
    assert client.stats().left_out == {"sampled_out": 3}
    assert client.stats().refused == {}
    assert client.stats().accepted == 0
    assert client.health() == client.health().replace(status="ok", reason=None)
    assert recorder.sent == []
    assert caplog.messages == []


def test_a_rate_of_one_sends_everything(make_client, recorder):
    client = make_client(sample_rate=1.0)

    assert all(client.track("Signup", user_id=n) for n in range(50))
    assert len(recorder.sent) == 50
    assert client.stats().left_out == {}


def test_what_says_who_somebody_is_and_what_was_earned_is_never_left_out(
    everything_left_out, recorder
):
    client = everything_left_out

    for number in range(20):
        assert client.identify(number, visitor_id=f"v{number}")
        assert client.alias(number, f"guest-{number}")
        assert client.group(f"team-{number}", user_id=number)
        assert client.conversion("purchase", user_id=number, revenue="9.90")

    kinds = [item["type"] for item in recorder.sent]
    assert kinds == ["identify", "alias", "group", "conversion"] * 20
    assert client.stats().left_out == {}


def test_a_mistake_is_told_before_the_sample_is_asked(everything_left_out):
    client = everything_left_out

    assert client.track("", user_id="1").error == "missing_event"
    assert client.track("Signup").error == "missing_identity"
    assert client.stats().refused == {"missing_event": 1, "missing_identity": 1}


# -- before_send --


def test_what_before_send_changes_is_sent(make_client, recorder):
    def add(event):
        event["properties"]["shop"] = "north"
        del event["properties"]["internal"]
        event["event_type"] = event["event_type"].lower()
        return event

    client = make_client(before_send=add)

    assert client.track("Signup", user_id="1", properties={"internal": 1, "plan": "a"})
    (item,) = recorder.sent
    assert item["event_type"] == "signup"
    assert item["properties"] == {"plan": "a", "shop": "north"}


def test_a_new_dict_is_as_good_as_the_old_one(make_client, recorder):
    client = make_client(before_send=lambda event: {**event, "properties": {"new": 1}})

    assert client.track("Signup", user_id="1", properties={"old": 1})
    assert recorder.sent[0]["properties"] == {"new": 1}


def test_every_kind_of_call_is_reviewed(make_client, recorder):
    seen = []

    def note(event):
        seen.append(event["type"])
        return event

    client = make_client(before_send=note)
    client.track("Signup", user_id="1")
    client.page(url="https://shop.example/", visitor_id="v")
    client.identify("1")
    client.alias("1", "2")
    client.group("g", user_id="1")
    client.conversion("purchase", user_id="1")

    assert seen == ["track", "track", "identify", "alias", "group", "conversion"]
    assert [item["type"] for item in recorder.sent] == seen


def test_none_leaves_the_event_out_without_a_warning(make_client, recorder, caplog):
    client = make_client(before_send=lambda event: None)

    track = client.track("Signup", user_id="1")
    conversion = client.conversion("purchase", user_id="1")

    assert (track.success, track.error) == (False, "before_send")
    assert (conversion.success, conversion.error) == (False, "before_send")
    assert client.identify("1") is False
    assert client.stats().left_out == {"before_send": 3}
    assert client.stats().refused == {}
    assert client.stats().accepted == 0
    assert recorder.sent == []
    assert caplog.messages == []


def test_type_and_id_are_not_before_sends_to_change(make_client, recorder):
    def tamper(event):
        event.update(type="conversion", id="evt_other")
        return event

    client = make_client(before_send=tamper)

    result = client.track("Signup", user_id="1", event_id="evt_own")

    assert result.event_id == "evt_own"
    (item,) = recorder.sent
    assert (item["type"], item["id"]) == ("track", "evt_own")


def test_type_and_id_cannot_be_removed(make_client, recorder):
    client = make_client(before_send=lambda event: {"event_type": "Bare"})

    result = client.track("Signup", user_id="1")

    assert recorder.sent == [
        {"type": "track", "id": result.event_id, "event_type": "Bare"}
    ]


def failing(event):
    raise RuntimeError(SECRET)


class Odd(dict):
    def items(self):
        raise RuntimeError(SECRET)


@pytest.mark.parametrize(
    ("before_send", "error"),
    [
        (failing, "before_send_failed"),
        (lambda: None, "before_send_failed"),
        (lambda event: "text", "before_send_failed"),
        (lambda event: [event], "before_send_failed"),
        (lambda event: True, "before_send_failed"),
        (lambda event: json.dumps(event).encode(), "before_send_failed"),
        (lambda event: Odd(event), "internal_error"),
    ],
    ids="raises wrong_arguments text list bool bytes odd_dict".split(),
)
def test_a_before_send_that_fails_sends_nothing_and_is_told(
    make_client, recorder, caplog, before_send, error
):
    client = make_client(before_send=before_send)

    result = client.track("Signup", user_id="1", properties={"note": SECRET})

    assert (result.success, result.error) == (False, error)
    assert recorder.sent == []
    assert client.stats().accepted == 0
    assert caplog.messages
    assert SECRET not in caplog.text
    if error == "before_send_failed":
        assert client.stats().refused == {"before_send_failed": 1}


def test_a_before_send_that_fails_now_and_then_costs_those_events_only(
    make_client, recorder
):
    def moody(event):
        if event["user_id"] == "1":
            raise KeyError("user")
        return event

    client = make_client(before_send=moody)

    taken = [bool(client.track("Signup", user_id=n)) for n in (0, 1, 2)]

    assert taken == [True, False, True]
    assert [item["user_id"] for item in recorder.sent] == ["0", "2"]


def test_before_send_is_called_after_redaction(make_client, recorder):
    seen = []

    def look(event):
        seen.append(json.dumps(event))
        return event

    client = make_client(before_send=look)
    client.track(
        "Signup",
        user_id="1",
        properties={
            "password": SECRET,
            "card": "4111 1111 1111 1111",
            "url": f"https://shop.example/reset?token={SECRET}",
            "plan": "pro",
        },
    )

    (text,) = seen
    assert "pro" in text
    assert SECRET not in text
    assert "4111" not in text
    assert SECRET.encode() not in recorder.raw


def test_what_before_send_puts_in_is_meant_and_encoded(make_client, recorder):
    from datetime import UTC, datetime
    from decimal import Decimal

    def add(event):
        event["properties"] = {
            "password": "given on purpose",
            "at": datetime(2026, 11, 20, tzinfo=UTC),
            "price": Decimal("9.90"),
            "tags": ("a", "b"),
            "odd": float("nan"),
            "what": object(),
        }
        return event

    client = make_client(before_send=add)

    assert client.track("Signup", user_id="1")
    properties = recorder.sent[0]["properties"]
    assert properties.pop("what")
    assert properties == {
        "password": "given on purpose",
        "at": "2026-11-20T00:00:00.000Z",
        "price": "9.90",
        "tags": ["a", "b"],
        "odd": None,
    }


def test_what_before_send_puts_in_is_bounded(make_client, recorder):
    def grow(event):
        event["properties"]["text"] = "x" * 100_000
        return event

    client = make_client(before_send=grow)

    assert client.track("Signup", user_id="1")
    assert len(recorder.raw) < 40_000


def test_an_event_that_before_send_makes_too_large_is_refused_or_cut(
    make_client, recorder
):
    def grow(event):
        event["properties"] = {f"key {n}": "x" * 1_000 for n in range(1_000)}
        return event

    client = make_client(before_send=grow)

    result = client.track("Signup", user_id="1")

    assert result or result.error == "event_too_large"
    assert len(recorder.raw) < 40_000


def test_a_recursive_event_costs_no_more_than_itself(make_client, recorder):
    def knot(event):
        event["properties"]["self"] = event
        return event

    client = make_client(before_send=knot)

    client.track("Signup", user_id="1")

    assert len(recorder.raw) < 40_000


def test_the_callers_dict_is_not_before_sends_to_change(make_client):
    def clear(event):
        event["properties"].clear()
        return event

    client = make_client(before_send=clear)
    properties = {"plan": "pro", "deep": {"er": [1]}}

    assert client.track("Signup", user_id="1", properties=properties)
    assert properties == {"plan": "pro", "deep": {"er": [1]}}


@pytest.mark.parametrize("delivery", ["sync", "background"])
def test_a_tracking_call_inside_before_send_works(make_client, recorder, delivery):
    def note(event):
        if event["event_type"] == "Outer":
            assert client.track("Inner", user_id="1")
        return event

    client = make_client(before_send=note, delivery=delivery)

    assert client.track("Outer", user_id="1")
    assert client.flush(15.0)
    assert sorted(item["event_type"] for item in recorder.sent) == ["Inner", "Outer"]


def test_before_send_sees_an_event_once_though_it_is_sent_twice(make_client):
    seen = []

    class Flaky(Recorder):
        def post(self, path, body, headers, timeout):
            response = super().post(path, body, headers, timeout)
            response.status = 202 if len(self.sent) > 1 else 500
            return response

    def note(event):
        seen.append(event["id"])
        return event

    flaky = Flaky()
    client = Client(
        Config(api_key=KEY, network=True, before_send=note, batch_interval=60),
        transport=lambda: flaky,
    )
    client.track("Signup", user_id="1")

    assert client.flush(15.0)
    client.close(1.0)
    assert len(seen) == 1
    assert [item["id"] for item in flaky.sent] == seen * 2


def test_captured_events_are_reviewed_too(make_client):
    client = make_client(before_send=lambda event: {**event, "event_type": "Other"})

    with capture() as captured:
        client.track("Signup", user_id="1")

    captured.assert_tracked("Other")


def test_the_sample_is_drawn_before_the_review(make_client):
    seen = []
    client = make_client(sample_rate=0, before_send=seen.append)

    assert client.track("Signup", user_id="1").error == "sampled_out"
    assert seen == []


# -- strict_events --


def test_while_capturing_what_is_not_declared_is_refused_readably(
    make_client, catalog_of_one, caplog
):
    client = make_client(strict_events=True)

    with capture() as captured:
        misspelled = client.track("Singup", user_id="1", properties={"plan": "pro"})
        wrong = client.track("Signup", user_id="1", properties={"plan": 7, "x": SECRET})
        right = client.track("Signup", user_id="1", properties={"plan": "pro"})

    assert (misspelled.error, wrong.error) == ("undeclared_event", "undeclared_event")
    assert right
    assert [item["event_type"] for item in captured] == ["Signup"]
    refusals = [text for text in caplog.messages if text.startswith("event refused")]
    assert "did you mean 'Signup'?" in refusals[0]
    assert "plan" in refusals[1]
    assert SECRET not in caplog.text


def test_with_debug_it_is_refused_and_counted(make_client, recorder, catalog_of_one):
    client = make_client(strict_events=True, debug=True)

    result = client.track("Other", user_id="1")
    conversion = client.conversion("other", user_id="1")

    assert (result.error, conversion.error) == ("undeclared_event", "undeclared_event")
    assert client.stats().refused == {"undeclared_event": 2}
    assert recorder.sent == []


def test_in_production_it_is_sent_and_said_once_a_minute(
    make_client, recorder, catalog_of_one, caplog
):
    client = make_client(strict_events=True)

    for _ in range(5):
        assert client.track("Other", user_id="1", properties={"note": SECRET})
    first = list(caplog.messages)
    client.clock.advance(61.0)
    assert client.track("Other", user_id="1")

    assert len(recorder.sent) == 6
    assert len(first) == 1
    assert len(caplog.messages) == 2
    assert all("Other" in text for text in caplog.messages)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert SECRET not in caplog.text
    assert client.stats().refused == {}
    assert client.health().status == "ok"


def test_conversions_are_held_against_their_own_declarations(
    make_client, recorder, catalog_of_one, caplog
):
    client = make_client(strict_events=True)

    assert client.conversion("purchase", user_id="1", properties={"items": 2})
    assert caplog.messages == []
    assert client.conversion("Signup", user_id="1")
    assert len(caplog.messages) == 1
    assert len(recorder.sent) == 2


def test_page_views_need_no_declaration(make_client, catalog_of_one, caplog):
    client = make_client(strict_events=True, debug=True)

    assert client.page(url="https://shop.example/", visitor_id="v")
    assert "refused" not in caplog.text


def test_without_the_option_nothing_is_held_against_the_catalog(
    make_client, recorder, catalog_of_one, caplog
):
    client = make_client()

    assert client.track("Other", user_id="1")
    assert caplog.messages == []
