"""`health()` in every state of delivery, and what `stats()` says of it."""

import logging
import threading
from concurrent.futures import Future

import pytest

import mbuzz
from mbuzz.delivery.breaker import FAILURES_TO_OPEN, OPEN_FOR
from mbuzz.delivery.stats import Health, Stats
from tests.delivery.conftest import KEY, adds_up
from tests.delivery.fault_server import PATIENCE
from tests.delivery.scripted import scripted_clients

OK = Health()


@pytest.fixture
def scripted():
    with scripted_clients() as make:
        yield make


def track(client, *names):
    return [client.track(name, user_id="1") for name in names]


def failing(client, times):
    for number in range(times):
        track(client, f"failing_{number}")
        client.clock.advance(OPEN_FOR * 2)


# -- health --


def test_a_client_that_did_nothing_yet_is_well(scripted):
    assert scripted(202).health() == OK


def test_it_is_well_while_events_arrive(scripted):
    client = scripted(202)

    track(client, "A")

    assert client.health() == OK
    assert client.health()


@pytest.mark.parametrize("answer", [503, 429, "TimeoutError", "bad_answer"])
def test_a_failed_try_is_degraded_until_one_succeeds(scripted, answer):
    client = scripted(answer, 202)

    track(client, "A")
    during = client.health()
    client.clock.advance(60.0)
    track(client, "B")

    reason = f"http_{answer}" if isinstance(answer, int) else answer
    assert during == Health(status="degraded", reason=reason)
    assert during
    assert client.health() == OK


def test_an_open_breaker_is_failing_until_a_try_succeeds(scripted):
    client = scripted(*[503] * FAILURES_TO_OPEN, 202)

    failing(client, FAILURES_TO_OPEN - 1)
    before = client.health()
    track(client, "A")
    opened = (client.health(), client.stats().breaker)
    client.clock.advance(OPEN_FOR)
    probing = (client.health(), client.stats().breaker)
    track(client, "B")

    assert before == Health(status="degraded", reason="http_503")
    assert opened == (Health(status="failing", reason="http_503"), "open")
    assert not opened[0]
    assert probing == (Health(status="failing", reason="http_503"), "half_open")
    assert (client.health(), client.stats().breaker) == (OK, "closed")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_refusal_of_everything_is_failing_until_the_next_batch(scripted, status):
    client = scripted(status, 202)

    track(client, "A")
    refused = client.health()
    client.clock.advance(600.0)
    later = client.health()
    track(client, "B")

    assert refused == Health(status="failing", reason=f"http_{status}")
    assert not refused
    assert later == refused  # time alone makes no key valid
    assert client.health() == Health()


def test_losses_degrade_it_for_a_minute(scripted):
    said = {"rejected": [{"index": 0, "errors": ["no"]}]}
    client = scripted((202, said), 202)

    track(client, "bad")
    lost = client.health()
    client.clock.advance(59.0)
    still = client.health()
    client.clock.advance(2.0)

    assert lost == still == Health(status="degraded", reason="events_lost")
    assert lost
    assert client.health() == OK


def test_what_was_no_event_degrades_it_as_well(scripted):
    client = scripted(202)

    client.track("", user_id="1")

    assert client.health() == Health(status="degraded", reason="events_lost")


def test_a_full_queue_degrades_it(scripted):
    client = scripted(202, delivery="background", queue_size=1, batch_interval=600)

    track(client, "A", "B")

    assert client.health() == Health(status="degraded", reason="events_lost")


def test_what_was_left_out_on_purpose_is_no_loss(scripted):
    client = scripted(202, before_send=lambda event: None)

    track(client, "A")

    assert client.health() == OK


def test_a_spool_in_trouble_degrades_it(scripted, tmp_path):
    folder = tmp_path / "spool"
    folder.write_text("in the way of the folder")
    client = scripted(202, spool_dir=folder, durable=True)

    assert all(track(client, "A"))

    health = client.health()
    assert health.status == "degraded"
    assert health.reason
    assert str(tmp_path) not in health.reason


def test_a_full_spool_degrades_it(scripted, tmp_path):
    leave = threading.Event()
    client = scripted(
        lambda: 202 if leave.wait(PATIENCE) else 503,
        delivery="background",
        queue_size=1,  # what is being sent included
        spool_dir=tmp_path / "spool",
        spool_bytes=1,
    )

    track(client, "A", "B")
    health = client.health()
    leave.set()

    assert health == Health(status="degraded", reason="spool_full")


def test_the_worst_is_told_first(scripted):
    client = scripted(*[503] * FAILURES_TO_OPEN, 401)

    client.track("", user_id="1")
    lost = client.health()
    track(client, "A")
    retrying = client.health()
    client.clock.advance(60.0)
    failing(client, FAILURES_TO_OPEN - 1)
    broken = client.health()
    track(client, "B")
    refused = client.health()

    assert [lost.reason, retrying.reason] == ["events_lost", "http_503"]
    assert (broken.status, broken.reason) == ("failing", "http_503")
    assert (refused.status, refused.reason) == ("failing", "http_401")


def test_without_configuration_it_is_failing():
    assert mbuzz.health() == Health(status="failing", reason="not_configured")
    assert not mbuzz.health()
    assert mbuzz.stats() == Stats()


def test_it_is_cheap_while_a_request_hangs(server, make_client):
    server.mode = "hang"
    client = make_client(timeout=PATIENCE)
    track(client, "A")
    server.wait_for(lambda: server.requests)
    told = []

    asking = threading.Thread(
        target=lambda: told.extend([client.health(), client.stats()]), daemon=True
    )
    asking.start()
    asking.join(PATIENCE / 3)

    assert told
    assert told[0] == OK
    assert told[1].in_flight == 1


def test_asking_sends_and_starts_nothing(scripted):
    client = scripted(202)

    client.health()
    client.stats()

    assert client.transport.sent == []


# -- stats --


def test_a_client_that_did_nothing_counts_nothing(scripted):
    assert scripted(202).stats() == Stats()


def test_deliveries_count_events_batches_and_bytes(scripted):
    client = scripted(202)

    track(client, "A", "B")
    client.identify("1")

    stats = client.stats()
    assert (stats.accepted, stats.delivered, stats.batches) == (3, 3, 3)
    assert stats.sent_bytes == sum(len(body) for body in client.transport.sent)
    assert (stats.retries, stats.last_error) == (0, None)
    assert adds_up(stats)


def test_bytes_are_counted_as_they_are_sent(scripted):
    client = scripted(202)

    client.track("A", user_id="1", properties={"text": "x" * 5_000})

    assert client.stats().sent_bytes == len(client.transport.sent[0]) < 2_000


def test_every_try_counts_its_bytes(scripted):
    client = scripted(503, 202)

    track(client, "A")
    once = client.stats().sent_bytes
    client.clock.advance(60.0)
    assert client.flush(PATIENCE)

    stats = client.stats()
    assert stats.sent_bytes == 2 * once
    assert (stats.retries, stats.last_error, stats.batches) == (1, "http_503", 1)


def test_the_oldest_event_has_an_age_until_it_is_settled(scripted):
    client = scripted(503, 202)

    track(client, "A")
    client.clock.advance(7.0)
    waiting = client.stats()
    client.clock.advance(60.0)
    assert client.flush(PATIENCE)

    assert waiting.oldest == pytest.approx(7.0)
    assert waiting.queued == 1
    assert client.stats().oldest is None


def test_an_event_on_its_way_has_an_age_too(scripted):
    seen = []

    def slow():
        client.clock.advance(3.0)
        seen.append(client.stats())
        return 202

    client = scripted(slow)

    track(client, "A")

    (during,) = seen
    assert during.in_flight == 1
    assert during.oldest == pytest.approx(3.0)


def test_an_age_is_told_while_the_spool_is_replayed(scripted, tmp_path):
    folder = tmp_path / "spool"
    before = scripted("TimeoutError", spool_dir=folder)
    track(before, "Old")
    before.close(0.0)
    seen = []

    def slow():
        if b"Old" in client.transport.sent[-1]:
            client.clock.advance(5.0)
            seen.append(client.stats())
        return 202

    client = scripted(slow, spool_dir=folder)
    track(client, "First", "Second")

    (during,) = seen
    assert (during.queued, during.in_flight) == (1, 1)
    assert during.oldest == pytest.approx(5.0)


def test_latency_is_from_call_to_answer(scripted):
    def slow():
        client.clock.advance(2.0)
        return 202

    client = scripted(slow)

    assert client.stats().latency is None
    track(client, "A")

    assert client.stats().latency == pytest.approx(2.0)


def test_latency_has_the_time_of_an_outage(scripted):
    client = scripted(503, 202)

    track(client, "A")
    client.clock.advance(40.0)
    assert client.flush(PATIENCE)

    assert client.stats().latency == pytest.approx(40.0)


def test_latency_is_smoothed(scripted):
    pauses = iter([1.0, 6.0, 6.0])

    def slow():
        client.clock.advance(next(pauses))
        return 202

    client = scripted(slow)
    track(client, "A", "B")
    second = client.stats().latency
    track(client, "C")

    assert second == pytest.approx(2.0)
    assert second < client.stats().latency < 6.0


def test_mistakes_are_refused_by_word(scripted):
    client = scripted(202)

    client.track("")
    client.track("A")
    client.track("A")
    client.conversion("purchase", user_id="1", revenue="a lot")
    client.alias("1", None)

    assert client.stats().refused == {
        "missing_event": 1,
        "missing_identity": 3,
        "invalid_revenue": 1,
    }
    assert client.stats().accepted == 0


def test_what_was_left_out_is_counted_by_why(scripted):
    def only_a(event):
        return event if event.get("event_type") == "A" else None

    client = scripted(202, before_send=only_a)

    track(client, "A", "B", "C")

    stats = client.stats()
    assert stats.left_out == {"before_send": 2}
    assert (stats.accepted, stats.delivered) == (1, 1)


def test_counts_by_reason_are_copies(scripted):
    client = scripted(202)
    client.track("")
    before = client.stats()

    client.track("")

    assert before.refused == {"missing_event": 1}
    assert client.stats().refused == {"missing_event": 2}


def test_what_a_process_left_is_recovered_by_the_next(scripted, tmp_path):
    folder = tmp_path / "spool"
    first = scripted("TimeoutError", spool_dir=folder)
    track(first, "A", "B")
    first.close(0.0)

    second = scripted(202, spool_dir=folder)
    track(second, "C", "D")

    left, stats = first.stats(), second.stats()
    assert (left.accepted, left.spooled) == (2, 2)
    assert (stats.recovered, stats.accepted, stats.delivered) == (2, 4, 4)
    assert adds_up(left)
    assert adds_up(stats)


def test_dead_letters_are_counted(scripted, tmp_path):
    client = scripted(401, spool_dir=tmp_path / "spool")

    track(client, "A")

    stats = client.stats()
    assert (stats.dead_lettered, stats.rejected) == (1, 0)
    assert client.health() == Health(status="failing", reason="http_401")
    assert adds_up(stats)


def test_an_express_event_is_counted_like_others(server, make_client):
    client = make_client(batch_interval=600)
    reply = Future()

    client.track("Seen", user_id="1", express=reply)

    assert reply.result(PATIENCE).delivered
    stats = client.stats()
    assert (stats.accepted, stats.delivered, stats.batches) == (1, 1, 1)
    assert stats.latency is not None


def test_stats_begin_anew_after_close(scripted):
    client = scripted(202)
    track(client, "A")

    client.close(1.0)
    kept = client.stats()
    track(client, "B")

    assert kept.delivered == 1
    assert client.stats().delivered == 1


def test_neither_stats_nor_health_nor_log_holds_what_is_nobodys_business(
    scripted, caplog
):
    caplog.set_level(logging.DEBUG, "mbuzz")
    client = scripted(503, 401, 202, debug=True)

    for name in "ABC":
        client.track(name, user_id="user-77", properties={"note": "hunter2"})
        client.track(name, user_id=["hunter2"])
        client.clock.advance(60.0)

    told = [repr(client.stats()), repr(client.health()), caplog.text]
    for text in told:
        for secret in (KEY, "hunter2", "user-77"):
            assert secret not in text
