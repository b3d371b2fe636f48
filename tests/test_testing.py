"""What the tests of other programs use."""

import datetime as dt
import enum
import threading
from decimal import Decimal
from unittest import mock

import pytest

import mbuzz
from mbuzz import api
from mbuzz.client import Client
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.config import Config
from mbuzz.server import bootstrap
from mbuzz.server.app import create_app
from mbuzz.server.settings import ServerSettings
from mbuzz.testing import ManualClock, WSGITransport, capture

KEY = "sk_test_" + "k" * 32


@pytest.fixture
def events():
    with capture() as events:
        yield events


# -- capturing --


def test_without_configuration(events):
    assert mbuzz.track("Signup", user_id="1")

    assert [item["event_type"] for item in events] == ["Signup"]


def test_afterwards_all_is_as_it_was():
    with capture():
        mbuzz.track("Signup", user_id="1")

    assert api.current_client() is None


def test_a_client_that_was_configured_is_kept_and_sends_nothing():
    mbuzz.configure(api_key=KEY, network=True, api_url="http://127.0.0.1:9")
    client = mbuzz.default_client()

    with capture() as events:
        assert mbuzz.default_client() is client
        assert mbuzz.conversion("purchase", user_id="1")

    assert len(events) == 1
    assert client.stats().accepted == 0


def test_a_client_that_is_turned_off_is_captured_all_the_same():
    mbuzz.configure(enabled=False)
    off = mbuzz.default_client()

    with capture() as events:
        mbuzz.track("Signup", user_id="1")

    assert len(events) == 1
    assert mbuzz.default_client() is off


def test_what_the_tested_code_configures_is_kept():
    with capture() as events:
        mbuzz.configure(api_key=KEY, batch_size=7)
        mbuzz.track("Signup", user_id="1")

    assert len(events) == 1
    assert mbuzz.default_client().config.batch_size == 7


def test_every_client_is_captured(events):
    Client(Config(api_key=KEY, network=True)).track("Signup", user_id="1")

    events.assert_tracked("Signup")


def test_threads_are_captured(events):
    def work(number):
        mbuzz.track("Job", user_id=number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(events.tracked("Job")) == 20


def test_the_inner_capture_takes_what_happens_inside(events):
    mbuzz.track("Outer", user_id="1")
    with capture() as inner:
        mbuzz.track("Inner", user_id="1")
    mbuzz.track("Outer", user_id="1")

    assert [item["event_type"] for item in inner] == ["Inner"]
    assert [item["event_type"] for item in events] == ["Outer", "Outer"]


def test_an_error_in_the_block_ends_the_capture():
    with pytest.raises(KeyError), capture():
        raise KeyError

    assert mbuzz.track("Signup", user_id="1").error == "not_configured"


# -- filters --


@pytest.fixture
def some(events):
    mbuzz.page(url="https://h/", visitor_id="v")
    mbuzz.track("Signup", user_id="1", properties={"plan": "pro", "seats": {"n": 5}})
    mbuzz.track("Signup", user_id="2", properties={"plan": "free"})
    mbuzz.identify("1", visitor_id="v", traits={"name": "Zoë"})
    mbuzz.conversion("purchase", user_id="1", revenue=Decimal("9.90"))
    mbuzz.conversion("refund", visitor_id="v")
    return events


def test_filters(some):
    assert len(some.tracked()) == 3
    assert len(some.tracked("Signup")) == 2
    assert len(some.page_views()) == 1
    assert len(some.identified()) == 1
    assert len(some.conversions()) == 2
    assert len(some.conversions("purchase")) == 1
    some.clear()
    assert some.tracked() == []


# -- assertions --


def test_assertions_that_hold(some):
    found = some.assert_tracked("Signup", user_id=2, properties={"plan": "free"})
    assert found["user_id"] == "2"
    some.assert_tracked("Signup", properties={"seats": {"n": 5}})
    some.assert_tracked("page_view", visitor_id="v")
    some.assert_identified(1, visitor_id="v", traits={"name": "Zoë"})
    some.assert_converted("purchase", revenue=9.9)
    some.assert_converted("purchase", user_id="1", revenue="9.9", properties={})
    some.assert_converted("refund", visitor_id="v")
    some.assert_not_tracked("Login")


class Plan(enum.Enum):
    PRO = "pro"


def test_properties_may_be_what_was_given_or_what_was_sent(events):
    day = dt.date(2026, 11, 20)
    mbuzz.track(
        "Order",
        user_id="1",
        properties={
            "total": Decimal("9.90"),
            "plan": Plan.PRO,
            "day": day,
            "t": (1, 2),
        },
    )

    events.assert_tracked(
        "Order",
        properties={
            "total": Decimal("9.90"),
            "plan": Plan.PRO,
            "day": day,
            "t": (1, 2),
        },
    )
    events.assert_tracked("Order", properties={"total": "9.90", "t": [1, 2]})
    events.assert_tracked("Order", properties={"total": mock.ANY})


@pytest.mark.parametrize(
    "check",
    [
        lambda e: e.assert_tracked("Login"),
        lambda e: e.assert_tracked("Signup", user_id="3"),
        lambda e: e.assert_tracked("Signup", visitor_id="w"),
        lambda e: e.assert_tracked("Signup", user_id="1", properties={"plan": "free"}),
        lambda e: e.assert_tracked("Signup", properties={"seats": 5}),
        lambda e: e.assert_tracked("Signup", properties={"other": 5}),
        lambda e: e.assert_not_tracked("Signup"),
        lambda e: e.assert_not_tracked(),
        lambda e: e.assert_identified("2"),
        lambda e: e.assert_identified("1", traits={"name": "Zoe"}),
        lambda e: e.assert_converted("trial"),
        lambda e: e.assert_converted("purchase", revenue="9.91"),
        lambda e: e.assert_converted("refund", revenue="9.90"),
    ],
)
def test_assertions_that_fail(some, check):
    with pytest.raises(AssertionError):
        check(some)


def test_a_failure_shows_the_nearest_event_as_a_diff(some):
    with pytest.raises(AssertionError) as caught:
        some.assert_tracked("Signup", user_id="2", properties={"plan": "pro"})

    assert str(caught.value).splitlines() == [
        "no captured item matches 'Signup'",
        "--- expected",
        "+++ nearest captured",
        "@@ -1,4 +1,4 @@",
        " {'event_type': 'Signup',",
        "- 'properties': {'plan': 'pro'},",
        "+ 'properties': {'plan': 'free'},",
        "  'type': 'track',",
        "  'user_id': '2'}",
    ]


def test_a_failure_of_money_shows_both_amounts(some):
    with pytest.raises(AssertionError) as caught:
        some.assert_converted("purchase", revenue="9.91")

    assert str(caught.value).splitlines()[-2:] == [
        "-{'conversion_type': 'purchase', 'revenue': '9.91', 'type': 'conversion'}",
        "+{'conversion_type': 'purchase', 'revenue': '9.90', 'type': 'conversion'}",
    ]


def test_a_failure_without_events_says_so(events):
    with pytest.raises(AssertionError, match="'Signup', but nothing was captured"):
        events.assert_tracked("Signup")


def test_a_failure_among_other_kinds_shows_one_of_them(events):
    mbuzz.track("Signup", user_id="1")

    with pytest.raises(AssertionError, match="nearest captured"):
        events.assert_identified("1")


def test_what_should_not_have_happened_is_shown(some):
    with pytest.raises(AssertionError) as caught:
        some.assert_not_tracked("Signup")
    assert "expected 'Signup' not to be tracked, but it was, 2 times:" in str(
        caught.value
    )

    with pytest.raises(AssertionError, match="expected anything not to be tracked"):
        some.assert_not_tracked()


def test_equal_amounts_have_equal_hashes(some):
    from mbuzz.testing import _Amount

    assert hash(_Amount(9.9)) == hash(_Amount("9.90"))
    assert _Amount("9.90") != 9.9
    assert _Amount("9.90") != "much"


# -- the clock --


def test_a_manual_clock_stands_still_until_told():
    clock = ManualClock(1_000)
    before = clock.monotonic()

    clock.advance(1.5)

    assert clock.now_ms() == 2_500
    assert clock.monotonic() - before == 1.5


# -- the backend without a socket --


def test_the_real_bytes_reach_the_real_backend():
    app = create_app(ServerSettings(database=":memory:"))
    try:
        first = bootstrap.prepare(app.storage, SYSTEM_CLOCK)
        config = Config(api_key=first.api_key, network=True, delivery="sync")
        client = Client(config, transport=lambda: WSGITransport(app))

        assert client.track(
            "Signup", visitor_id="a" * 64, properties={"note": "x" * 2000}
        )
        result = client.conversion("purchase", visitor_id="a" * 64, revenue="9.90")
        bad = client.conversion("purchase", user_id="anonymous")
        client.close()

        assert result.attribution["linear"]
        assert bad.error.startswith("illegal_user_id")
    finally:
        app.close()


def test_headers_of_the_answer_come_back_together():
    def app(environ, start_response):
        assert environ["HTTP_X_A"] == "1"
        assert environ["CONTENT_TYPE"] == "application/json"
        assert environ["wsgi.input"].read() == b"{}"
        start_response("202 Accepted", [("Set-Cookie", "a"), ("set-cookie", "b")])
        return [b"{", b"}"]

    headers = {"X-A": "1", "Content-Type": "application/json"}

    answer = WSGITransport(app).post("/events", b"{}", headers, 1.0)

    assert (answer.status, answer.body) == (202, b"{}")
    assert answer.headers == {"set-cookie": ("a", "b")}
