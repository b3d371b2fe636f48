"""What the host is told of losses and failures, and what its functions can break."""

import json
import logging
import threading

import pytest

from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.context import RequestContext, serving
from mbuzz.delivery.notices import Notices
from mbuzz.delivery.queue import Item
from tests.delivery.conftest import KEY, adds_up
from tests.delivery.fault_server import PATIENCE
from tests.delivery.scripted import scripted_clients
from tests.processes import wait_for

SECRET = "hunter2-hunter2"
SOON = PATIENCE / 3  # seconds that a callback waits for another thread


class Told:
    """Two callbacks that keep what they are told."""

    def __init__(self):
        self.drops = []
        self.errors = []

    def on_drop(self, reason, events):
        self.drops.append((reason, [event.get("event_type") for event in events]))

    def on_error(self, reason):
        self.errors.append(reason)

    @property
    def options(self):
        return {"on_drop": self.on_drop, "on_error": self.on_error}


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def scripted():
    """Return a function that makes clients of a transport that answers so."""
    with scripted_clients() as make:
        yield make


def track(client, *names):
    return [client.track(name, user_id="1") for name in names]


def item(name="Signup"):
    body = {"type": "track", "id": f"evt_{name}", "event_type": name, "user_id": "1"}
    return Item(json.dumps(body).encode(), 0.0)


def in_time(call):
    """Run *call* in another thread; tell whether that was soon over."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(SOON)
    return not thread.is_alive()


# -- the callbacks --


def test_on_drop_gets_the_reason_and_the_events_as_dicts(told):
    notices = Notices(Config(api_key=KEY, **told.options))

    notices.lost("expired", [item("A"), item("B")])
    notices.failed("http_503")
    assert (told.drops, told.errors) == ([], [])  # a lock may be held
    notices.speak()
    notices.speak()

    assert told.drops == [("expired", ["A", "B"])]
    assert told.errors == ["http_503"]


def test_without_callbacks_and_without_losses_nothing_happens(told):
    for options in ({}, told.options):
        notices = Notices(Config(api_key=KEY, **options))
        notices.lost("expired", [item()] if not options else [])
        notices.speak()

    assert (told.drops, told.errors) == ([], [])


def test_a_callback_is_not_called_from_inside_itself():
    calls = []

    def on_drop(reason, events):
        calls.append(reason)
        notices.lost("again", [item()])
        notices.failed("again")
        notices.speak()

    notices = Notices(Config(api_key=KEY, on_drop=on_drop, on_error=calls.append))

    notices.lost("first", [item()])
    notices.speak()
    notices.lost("second", [item()])
    notices.speak()

    assert calls == ["first", "second"]


def test_a_callback_of_one_thread_does_not_silence_another():
    calls = []

    def lose():
        notices.lost("there", [item()])
        notices.speak()

    def on_drop(reason, events):
        calls.append(reason)
        if reason == "here":
            assert in_time(lose)

    notices = Notices(Config(api_key=KEY, on_drop=on_drop))

    notices.lost("here", [item()])
    notices.speak()

    assert calls == ["here", "there"]


def test_a_callback_that_raises_is_named_once_and_quotes_nothing(caplog):
    def failing(*_):
        raise RuntimeError(SECRET)

    notices = Notices(Config(api_key=KEY, on_drop=failing, on_error=failing))

    for _ in range(3):
        notices.lost("expired", [item()])
        notices.failed("http_503")
        notices.speak()

    assert caplog.messages == [
        "call failed (place=on_drop, error=RuntimeError)",
        "call failed (place=on_error, error=RuntimeError)",
    ]


def test_a_callback_is_called_again_after_it_raised():
    calls = []

    def moody(reason, events):
        calls.append(reason)
        raise RuntimeError(SECRET)

    notices = Notices(Config(api_key=KEY, on_drop=moody))
    notices.lost("first", [item()])
    notices.speak()
    notices.lost("second", [item()])
    notices.speak()

    assert calls == ["first", "second"]


# -- what on_drop is told --


def test_nothing_is_told_while_events_arrive(scripted, told):
    client = scripted(202, **told.options)

    track(client, "A", "B")
    client.track("")  # a mistake of the caller is no event yet

    assert (told.drops, told.errors) == ([], [])


def test_what_the_server_rejects_is_told_alone_with_its_word(scripted, told):
    said = {"rejected": [{"index": 1, "errors": ["event_type is required"]}]}
    client = scripted(503, (202, said), **told.options)
    track(client, "A")
    client.clock.advance(60.0)

    track(client, "B")

    assert told.drops == [("event_type is required", ["B"])]
    assert told.errors == ["http_503"]
    assert adds_up(client.stats())


def test_what_is_refused_as_a_whole_is_told_as_a_whole(scripted, told):
    client = scripted(503, 401, **told.options)
    track(client, "A")
    client.clock.advance(60.0)

    track(client, "B")

    assert told.drops == [("http_401", ["A", "B"])]
    assert told.errors == ["http_503", "http_401"]


def test_an_item_too_large_for_the_server_is_told_alone(scripted, told):
    client = scripted(503, 413, 202, 413, **told.options)
    track(client, "A")
    client.clock.advance(60.0)

    track(client, "B")

    assert told.drops == [("http_413", ["B"])]
    assert client.stats().delivered == 1


def test_what_waited_too_long_is_told(scripted, told):
    client = scripted(503, 202, retry_for=10.0, **told.options)
    track(client, "Old")
    client.clock.advance(11.0)

    track(client, "New")

    assert told.drops == [("expired", ["Old"])]
    assert client.stats().dropped == {"expired": 1}


def test_what_finds_no_room_is_told(scripted, told):
    client = scripted(
        202, delivery="background", queue_size=2, batch_interval=600, **told.options
    )

    results = track(client, "A", "B", "C")

    assert [bool(result) for result in results] == [True, True, False]
    assert told.drops == [("queue_full", ["C"])]


def test_what_makes_room_for_a_conversion_is_told(scripted, told):
    client = scripted(
        202, delivery="background", queue_size=2, batch_interval=600, **told.options
    )
    track(client, "A", "B")

    assert client.conversion("purchase", user_id="1", wait=False)

    assert told.drops == [("queue_full", ["A"])]
    assert client.stats().dropped == {"queue_full": 1}


def test_what_the_end_leaves_is_told(scripted, told):
    client = scripted(
        "TimeoutError", delivery="background", batch_interval=600, **told.options
    )
    track(client, "A", "B")

    client.close(0.0)

    assert told.drops == [("closed", ["A", "B"])]
    assert client.stats().dropped == {"closed": 2}


def test_without_a_network_it_is_told(scripted, told):
    client = scripted(202, network=False, **told.options)

    track(client, "A")

    assert told.drops == [("network_off", ["A"])]
    assert told.errors == []


def test_what_is_left_out_on_purpose_is_not_lost(scripted, told):
    client = scripted(202, before_send=lambda event: None, **told.options)

    track(client, "A")

    assert told.drops == []


def test_what_goes_to_disk_is_not_lost(scripted, told, tmp_path):
    client = scripted(
        401,
        delivery="background",
        queue_size=1,
        batch_interval=600,
        spool_dir=tmp_path / "spool",
        **told.options,
    )

    assert all(track(client, "A", "B", "C"))
    assert client.flush(PATIENCE)
    client.close(PATIENCE)

    stats = client.stats()
    assert stats.dead_lettered + stats.spooled == 3
    assert told.drops == []
    assert "http_401" in told.errors


def test_every_accepted_event_is_delivered_or_told(server, make_client):
    lost = []

    def on_drop(reason, events):
        lost.extend((reason, event["id"]) for event in events)

    server.reject = {"bad": "no such event"}
    client = make_client(queue_size=5, on_drop=on_drop)
    results = [
        client.track("bad" if number % 7 == 0 else "good", user_id=number)
        for number in range(200)
    ]
    assert client.flush(PATIENCE)
    client.close(PATIENCE)

    told = [event_id for _, event_id in lost]
    assert len(told) == len(set(told))
    assert set(told) | set(server.arrived) == {result.event_id for result in results}
    assert not set(told) & set(server.arrived)
    stats = client.stats()
    counted = stats.rejected + sum(stats.refused.values())
    assert counted == len(told)
    assert {reason for reason, _ in lost} <= {"queue_full", "no such event"}


# -- what on_error is told --


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (503, "http_503"),
        (429, "http_429"),
        (401, "http_401"),
        (302, "http_302"),
        ("TimeoutError", "TimeoutError"),
        ("bad_answer", "bad_answer"),
        ((200, []), "no_json"),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_a_request_that_fails_is_told_with_its_reason(scripted, told, answer, reason):
    client = scripted(answer, **told.options)

    track(client, "A")

    assert told.errors == [reason]
    assert client.stats().last_error == reason


def test_every_failed_request_is_told_once(scripted, told):
    client = scripted(503, 500, "TimeoutError", 202, **told.options)

    for name in "ABCD":
        track(client, name)
        client.clock.advance(60.0)

    assert told.errors == ["http_503", "http_500", "TimeoutError"]
    assert client.stats().delivered == 4


def test_a_transport_with_a_bug_is_told_without_its_words(scripted, told):
    class Broken:
        def post(self, *_):
            raise ValueError(SECRET)

        def close(self):
            pass

    client = Client(
        Config(api_key=KEY, network=True, delivery="sync", **told.options),
        transport=Broken,
    )

    track(client, "A")
    client.close(0.0)

    assert told.errors[0] == "internal_error"
    assert SECRET not in repr(told.errors)


def test_of_an_express_event_it_is_told_too(server, make_client, told):
    from concurrent.futures import Future

    server.mode = "401"
    client = make_client(batch_interval=600, **told.options)
    reply = Future()

    client.track("Seen", user_id="1", express=reply)

    assert reply.result(PATIENCE).error == "http_401"
    wait_for(lambda: told.drops, "what was lost")
    assert told.errors == ["http_401"]
    assert told.drops == [("http_401", ["Seen"])]


# -- what a callback can break --


@pytest.mark.parametrize("delivery", ["sync", "background"])
@pytest.mark.parametrize("callback", ["on_drop", "on_error"])
def test_callbacks_that_raise_harm_no_event(server, make_client, delivery, callback):
    def failing(*_):
        raise RuntimeError(SECRET)

    server.reject = {"bad": "no"}
    client = make_client(delivery=delivery, **{callback: failing})
    server.mode = "401" if callback == "on_error" else "ok"
    track(client, "bad", "good")
    assert client.flush(PATIENCE)
    server.mode = "ok"

    track(client, "bad", "good")

    assert client.flush(PATIENCE)
    assert server.names[-1] == "good"
    assert adds_up(client.stats())


@pytest.mark.parametrize("delivery", ["sync", "background"])
@pytest.mark.parametrize("callback", ["on_drop", "on_error"])
def test_what_callbacks_track_is_delivered(server, make_client, delivery, callback):
    once = threading.Event()

    def tracking(*_):
        if not once.is_set():
            once.set()
            server.mode = "ok"
            assert client.track("Told", user_id="1")

    server.reject = {"bad": "no"}
    client = make_client(delivery=delivery, **{callback: tracking})
    server.mode = "401"

    track(client, "bad")
    client.flush(PATIENCE)

    assert once.wait(PATIENCE)
    client.flush(PATIENCE)
    assert server.wait_for(lambda: server.events)
    assert server.names == ["Told"]


def test_a_slow_callback_of_the_worker_slows_no_call(server, make_client):
    entered, leave = threading.Event(), threading.Event()

    def slow(reason):
        entered.set()
        leave.wait(PATIENCE)

    server.mode = "503"
    client = make_client(on_error=slow)
    track(client, "A")
    assert entered.wait(PATIENCE)

    def calls():
        track(client, *(f"event_{number}" for number in range(50)))
        client.identify("1", visitor_id="v")
        client.stats()
        client.health()

    over = in_time(calls)
    server.mode = "ok"
    leave.set()

    assert over
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 52


def test_a_slow_callback_holds_up_no_close(server, make_client):
    entered, leave = threading.Event(), threading.Event()

    def slow(reason):
        entered.set()
        leave.wait(PATIENCE)

    server.mode = "503"
    client = make_client(on_error=slow)
    track(client, "A")
    assert entered.wait(PATIENCE)

    over = in_time(lambda: client.close(0.1))
    leave.set()

    assert over


WAYS = {
    "refused": ("401", {}),
    "rejected": ("ok", {}),
    "failed": ("503", {}),
    "no_room": ("hang", {"queue_size": 1, "batch_interval": 600}),
}


@pytest.mark.parametrize(
    ("delivery", "way"),
    [
        *(("background", way) for way in WAYS),
        *(("sync", way) for way in WAYS if way != "no_room"),  # nothing is queued
    ],
)
def test_a_callback_may_wait_for_a_thread_that_tracks(
    server, make_client, delivery, way
):
    entered, left = [], threading.Event()

    def elsewhere():
        client.track("There", user_id="2")
        client.identify("2")
        client.stats()
        client.health()

    def waiting(*_):
        if not entered:
            entered.append(way)
            server.mode = "ok"
            if in_time(elsewhere):
                left.set()

    mode, options = WAYS[way]
    server.mode = mode
    server.reject = {"bad": "no"} if way == "rejected" else {}
    given = {"on_drop": waiting, "on_error": waiting, "timeout": PATIENCE}
    client = make_client(delivery=delivery, **given, **options)

    track(client, "bad", "bad")

    assert left.wait(SOON * 2)


# -- the debug log --


@pytest.fixture
def debug_log(caplog):
    caplog.set_level(logging.DEBUG, "mbuzz")

    def path(event_id):
        """Return the stations of an event."""
        return [
            text.removeprefix("event ")
            for text in caplog.messages
            if text.startswith("event ") and event_id in text
        ]

    path.text = lambda: caplog.text
    return path


def stations(result, *names):
    """Return what the log says of an event that came through these."""
    told = []
    for name in names:
        station, _, reason = name.partition("/")
        why = f", reason={reason}" if reason else ""
        told.append(f"{station} (id={result.event_id}, type=track{why})")
    return told


def test_debug_tells_the_way_of_an_event_that_arrives(scripted, debug_log):
    client = scripted(202, debug=True)

    (result,) = track(client, "A")

    assert debug_log(result.event_id) == stations(result, "queued", "delivered")


def test_debug_tells_of_tries_that_failed(scripted, debug_log):
    client = scripted(503, 202, debug=True)
    first, second = (
        track(client, "A"),
        client.clock.advance(60.0),
        track(client, "B"),
    )[::2]

    assert debug_log(first[0].event_id) == stations(
        first[0], "queued", "to be retried/http_503", "delivered"
    )
    assert debug_log(second[0].event_id) == stations(second[0], "queued", "delivered")


def test_debug_tells_of_losses_and_why(scripted, debug_log):
    said = {"rejected": [{"index": 0, "errors": ["no such event"]}]}
    refused = scripted(401, debug=True)
    rejected = scripted((202, said), debug=True)
    expired = scripted(503, 202, debug=True, retry_for=10.0)
    old = track(expired, "A")[0]
    expired.clock.advance(11.0)
    track(expired, "B")
    one, two = track(refused, "A")[0], track(rejected, "A")[0]

    assert debug_log(one.event_id) == stations(one, "queued", "lost/http_401")
    assert debug_log(two.event_id) == stations(two, "queued", "lost/no such event")
    assert debug_log(old.event_id) == stations(
        old, "queued", "to be retried/http_503", "lost/expired"
    )


def test_debug_tells_of_a_full_queue(scripted, debug_log):
    client = scripted(
        202, debug=True, delivery="background", queue_size=1, batch_interval=600
    )

    _, result = track(client, "A", "B")

    assert debug_log(result.event_id)[-1:] == stations(result, "lost/queue_full")


def test_debug_tells_of_dead_letters(scripted, debug_log, tmp_path):
    client = scripted(401, debug=True, spool_dir=tmp_path / "spool")

    (result,) = track(client, "A")

    assert debug_log(result.event_id) == stations(
        result, "queued", "dead-lettered/http_401"
    )


def test_debug_tells_of_every_kind_of_call(scripted, debug_log):
    client = scripted(202, debug=True)

    client.identify("1", visitor_id="v")
    client.alias("1", "2")
    client.group("g")
    client.conversion("purchase", user_id="1")

    for kind in ("identify", "alias", "group", "conversion"):
        assert len(debug_log(f"type={kind})")) == 2


def test_without_debug_no_event_is_named(scripted, debug_log):
    client = scripted(202)

    (result,) = track(client, "A")

    assert debug_log(result.event_id) == []


def test_without_somebody_who_reads_debug_nothing_is_parsed(scripted, caplog):
    caplog.set_level(logging.INFO, "mbuzz")
    client = scripted(202, debug=True)

    assert all(track(client, "A"))

    assert caplog.messages == []


@pytest.mark.parametrize("mode", ["ok", "503", "401", "garbage", "refuse", "hang"])
@pytest.mark.parametrize("delivery", ["background", "sync"])
def test_no_log_holds_a_key_a_payload_a_cookie_or_an_address(
    server, make_client, debug_log, told, tmp_path, mode, delivery
):
    server.mode = mode
    server.cookies = [f"mb_session={SECRET}; Path=/"]
    client = make_client(
        delivery=delivery,
        debug=True,
        spool_dir=tmp_path / "spool",
        queue_size=3,
        conversion_timeout=0.2,
        timeout=0.1,
        **told.options,
    )
    around = RequestContext(
        visitor_id="visitor-of-the-cookie",
        url=f"https://shop.example/{SECRET}",
        user_agent="198.51.100.7",
    )
    with serving(around):
        for _ in range(5):
            client.track("Seen", properties={"note": SECRET, "ip": "198.51.100.7"})
    client.identify("user-77", traits={"name": SECRET})
    client.conversion("purchase", user_id="user-77", properties={"note": SECRET})
    client.track("Signup", user_id=object(), properties={"note": SECRET})
    client.flush(0.2)
    client.close(0.2)

    texts = [debug_log.text(), repr(client.stats()), repr(client.health())]
    texts += [repr(told.errors), repr(client.config)]
    for text in texts:
        for secret in (KEY, SECRET, "198.51.100", "visitor-of-the-cookie", "user-77"):
            assert secret not in text


def test_debug_changes_nothing_but_the_log(scripted):
    said = {"rejected": [{"index": 0, "errors": ["no"]}]}
    answers = [202, 503, (202, said), 401, 413, "TimeoutError", 202]

    def run(debug):
        told = Told()
        client = scripted(*answers, debug=debug, retry_for=90.0, **told.options)
        words = []
        for number in range(10):
            result = client.track(f"event_{number}", user_id="1")
            words.append(result.error)
            words.append(client.track("").error)
            words.append(client.conversion("purchase", user_id="1").error)
            client.clock.advance(60.0)
        sizes = [body.count(b'"id"') for body in client.transport.sent]
        return words, sizes, told.drops, told.errors, client.stats(), client.health()

    assert run(debug=True) == run(debug=False)


def test_a_log_that_fails_harms_no_event(scripted):
    class Broken(logging.Handler):
        def handle(self, record):
            raise OSError(SECRET)

    handler = Broken()
    logger = logging.getLogger("mbuzz")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        client = scripted(202, debug=True)
        assert all(track(client, "A", "B"))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)

    assert client.stats().delivered == 2
