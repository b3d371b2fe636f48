"""What the server's loop takes itself, and what it leaves to the writer at once."""

import json
import threading

import pytest

from tests.processes import PATIENCE

PAGE = {
    "event_type": "page_view",
    "visitor_id": "v" * 64,
    "properties": {"url": "https://shop.example/"},
}
NOW, LONG_AGO = "2026-11-20T10:34:00Z", "2026-11-19T10:34:00Z"


@pytest.mark.parametrize(
    ("event", "on_loop"),
    [
        ({**PAGE, "timestamp": NOW}, True),
        ({**PAGE, "timestamp": LONG_AGO}, False),
        ({"type": "identify", "user_id": "u1", "visitor_id": "v" * 64}, False),
    ],
)
def test_only_recent_events_wait_for_the_loop(caller, event, on_loop):
    shop = caller()
    body = json.dumps({"events": [event]}).encode()
    deferred = shop.app.begin(shop.environ("POST", "/api/v1/events", body, {}))
    done = threading.Event()
    deferred.when_done(done.set)

    if on_loop:
        assert not done.is_set()
        while shop.app.settle():
            pass
    assert done.wait(PATIENCE)
    assert deferred.response().status == 202
