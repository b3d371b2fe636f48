"""The server's clock jumps, by hours and either way: nothing that counts follows."""

import json
from collections import Counter
from contextlib import closing

import pytest

from mbuzz.server import bootstrap
from mbuzz.server.app import create_app
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage import maintenance
from mbuzz.testing import ManualClock, WSGITransport

HOUR = 3_600
VISITOR = "visitor-of-the-shop"


class JumpingClock(ManualClock):
    """A wall clock that somebody sets, beside seconds that go on."""

    def jump(self, seconds):
        self._now_ms += round(seconds * 1000)


class Shop:
    def __init__(self, path):
        self.clock = JumpingClock()
        settings = ServerSettings(database=str(path), rate_limit=10, rate_burst=20)
        self.app = create_app(settings, clock=self.clock)
        self.key = bootstrap.prepare(self.app.storage, self.clock).api_key
        self.close = self.app.close

    def post(self, path, body):
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
        }
        answer = WSGITransport(self.app).post(
            path, json.dumps(body).encode(), headers, 60.0
        )
        return answer.status, json.loads(answer.body)

    def page(self, **more):
        page = {
            "event_type": "page_view",
            "visitor_id": VISITOR,
            "properties": {"url": "https://shop.example/"},
            **more,
        }
        status, reply = self.post("/events", {"events": [page]})
        assert (status, reply["rejected"]) == (202, [])
        return reply["events"][0]


@pytest.fixture
def shop(tmp_path):
    with closing(Shop(tmp_path / "mbuzz.db")) as made:
        yield made


JUMPS = [-2 * HOUR, 5 * HOUR, -24 * HOUR, 1, 72 * HOUR, -HOUR]


def test_ids_stay_unique_and_every_event_is_taken(shop, tmp_path):
    names = []
    for jump in JUMPS:
        names += [shop.page()["id"] for _ in range(3)]
        shop.clock.jump(jump)
        shop.clock.advance(1)

    found = maintenance.check(str(tmp_path / "mbuzz.db"))

    assert Counter(names).most_common(1)[0][1] == 1
    assert found.counts["events"] == len(names) == 3 * len(JUMPS)
    assert found.problems == []


def test_visits_follow_the_times_that_clients_say(shop, tmp_path):
    """The clock of the server is set while two visits, with times, come in."""
    start = shop.clock.now_ms()
    sessions = []
    for number, jump in enumerate((0, 3 * HOUR, -4 * HOUR, HOUR, 2 * HOUR, -HOUR)):
        shop.clock.jump(jump)
        ago_ms = (60 if number % 2 else 300) * 60_000 - number * 1_000
        sessions.append((number % 2, shop.page(timestamp=start - ago_ms)["session_id"]))

    found = maintenance.check(str(tmp_path / "mbuzz.db"))

    assert len(set(sessions)) == 2
    assert found.counts["sessions"] == 2
    assert found.problems == []


def test_repeat_after_a_jump_is_still_a_repeat(shop):
    said = {"id": "evt_" + "7" * 32, "timestamp": shop.clock.now_ms() - 60_000}
    shop.page(**said)
    for jump in JUMPS:
        shop.clock.jump(jump)
        assert shop.page(**said)["duplicate"] is True


@pytest.mark.parametrize("jump", [-24 * HOUR, 24 * HOUR])
def test_rate_limit_goes_by_seconds_that_never_jump(shop, jump):
    def statuses(count):
        return [shop.post("/identify", {"user_id": "7"})[0] for _ in range(count)]

    assert statuses(21) == [200] * 20 + [429]

    shop.clock.jump(jump)
    assert statuses(1) == [429]

    shop.clock.advance(1)  # brings ten
    assert statuses(11) == [200] * 10 + [429]


@pytest.mark.parametrize("jump", JUMPS)
def test_client_with_a_right_clock_is_not_refused(shop, jump):
    now = shop.clock.now_ms()
    shop.clock.jump(jump)

    status, reply = shop.post(
        "/events",
        {
            "sent_at": now,
            "events": [
                {
                    "event_type": "page_view",
                    "visitor_id": VISITOR,
                    "timestamp": now - 1_000,
                }
            ],
        },
    )

    assert (status, reply["accepted"]) == (202, 1)
