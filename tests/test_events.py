"""What callers say, checked: identity, times, money, names."""

import enum
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz import events
from mbuzz.clock import iso, to_ms
from mbuzz.context import RequestContext
from mbuzz.events import InvalidEventError

NOW_MS = 1_795_170_600_250
NOW = "2026-11-20T10:30:00.250Z"


class Unprintable(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError


class Number(enum.Enum):
    ONE = 1


class Word(enum.StrEnum):
    A = "a"


class Index:
    """What numpy's integers are like."""

    def __index__(self):
        return 7

    __int__ = __index__


def kind(value):
    return type(value).__name__  # pytest cannot write all of them


# -- ids --


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        (" 42 ", "42"),
        (42, "42"),
        (0, "0"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("x" * 255, "x" * 255),
        (b" 42 ", "42"),
        (42.0, "42"),
        (Decimal(42), "42"),
        (Number.ONE, "1"),
        (Word.A, "a"),
        (Unprintable("x"), "x"),
        (Index(), "7"),
    ],
    ids=kind,
)
def test_ids_are_text(given, text):
    assert events.text_id(given, "bad") == text


@pytest.mark.parametrize(
    "given",
    [True, 1.5, b"\xff", ["42"], {}, object(), "x" * 256, 10**5000, float("nan")],
    ids=kind,
)
def test_what_is_no_id_is_an_error(given):
    with pytest.raises(InvalidEventError, match=r"^bad$"):
        events.text_id(given, "bad")


@pytest.mark.parametrize("given", ["evt_1", "a" * 128, "~!"])
def test_own_event_ids(given):
    assert events.item_id(given) == given


@pytest.mark.parametrize("given", ["a b", "ü", "a" * 129, "a\n.b", 1.5])
def test_own_event_ids_that_the_wire_does_not_take(given):
    with pytest.raises(InvalidEventError, match="invalid_event_id"):
        events.item_id(given)


# -- names --


def test_a_name_is_stripped_and_cut():
    assert events.name("  Sign up ", "missing") == "Sign up"
    assert len(events.name("x" * 999, "missing")) == 255


@pytest.mark.parametrize("given", ["", " ", None, 1.5, b"\xff", ["x"], object()])
def test_a_name_must_be_there(given):
    with pytest.raises(InvalidEventError, match=r"^missing$"):
        events.name(given, "missing")


# -- times --


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, NOW),
        (datetime(2026, 11, 20, 10, 30, tzinfo=UTC), "2026-11-20T10:30:00.000Z"),
        (
            datetime(2026, 11, 20, 10, 30, tzinfo=timezone(timedelta(hours=-5))),
            "2026-11-20T15:30:00.000Z",
        ),
        ("2026-11-20T10:30:00.250Z", NOW),
        (" 2026-11-20T11:30:00.25+01:00 ", NOW),
        (1_795_170_600, "2026-11-20T10:30:00.000Z"),
        (1_795_170_600.25, NOW),
        (1_795_170_600_250, NOW),
        (0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_times_in_every_form(given, text):
    assert events.when(given, NOW_MS) == text


def test_a_naive_time_is_local():
    moment = datetime(2026, 11, 20, 10, 30)

    assert events.when(moment, NOW_MS) == iso(to_ms(moment.astimezone()))


@pytest.mark.parametrize(
    "given",
    [
        "yesterday",
        "",
        True,
        date(2026, 11, 20),
        float("nan"),
        float("inf"),
        10**20,
        -(10**20),
        10**5000,
        datetime.min,
        [],
        object(),
    ],
    ids=kind,
)
def test_times_that_are_none(given):
    with pytest.raises(InvalidEventError, match="invalid_timestamp"):
        events.when(given, NOW_MS)


@given(st.one_of(st.integers(), st.floats(), st.text(), st.datetimes()))
def test_every_time_is_iso_or_an_error(given):
    try:
        text = events.when(given, NOW_MS)
    except InvalidEventError:
        return
    assert datetime.fromisoformat(text).tzinfo is not None


# -- money --


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, None),
        (Decimal("99.99"), "99.99"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.10"), "0.10"),
        ("99.99", "99.99"),
        (" 5 ", "5"),
        (5, "5"),
        (9.9, "9.9"),
        (0, "0"),
        (1e-7, "0.0000001"),
        (10**12, "1000000000000"),
    ],
)
def test_money_is_exact(given, text):
    assert events.money(given) == text


@pytest.mark.parametrize(
    "given",
    [
        True,
        -1,
        "-0.01",
        "ten",
        "",
        "1,50",
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        10**12 + 1,
        10**5000,
        "1e-999999",
        "0e999999",
        "9" * 9999,
        [],
        object(),
    ],
    ids=kind,
)
def test_money_that_is_none(given):
    with pytest.raises(InvalidEventError, match="invalid_revenue"):
        events.money(given)


@given(st.decimals(min_value=0, max_value=10**12, places=2))
def test_no_cent_is_lost(amount):
    assert Decimal(events.money(amount)) == amount


# -- identity --


def request(**given):
    return RequestContext(**{"visitor_id": "v", "session_id": "s", **given})


@pytest.mark.parametrize(
    ("user_id", "visitor_id", "context", "who"),
    [
        ("1", None, None, {"user_id": "1"}),
        (None, "w", None, {"visitor_id": "w"}),
        (1, "w", None, {"user_id": "1", "visitor_id": "w"}),
        (None, None, request(), {"visitor_id": "v", "session_id": "s"}),
        (
            None,
            None,
            request(user_id="1"),
            {"visitor_id": "v", "session_id": "s", "user_id": "1"},
        ),
        # the request's own user, or one it did not know
        (
            "1",
            None,
            request(user_id="1"),
            {"visitor_id": "v", "session_id": "s", "user_id": "1"},
        ),
        (
            "1",
            None,
            request(),
            {"visitor_id": "v", "session_id": "s", "user_id": "1"},
        ),
        # the number of the same user
        (
            42,
            None,
            request(user_id=42),
            {"visitor_id": "v", "session_id": "s", "user_id": "42"},
        ),
        # somebody else: not the request's visitor
        ("2", None, request(user_id="1"), {"user_id": "2"}),
        # another visitor: not the request's user or session
        (None, "w", request(user_id="1"), {"visitor_id": "w"}),
        # what is empty was not given
        ("", " ", request(user_id="1"), {
            "visitor_id": "v", "session_id": "s", "user_id": "1",
        }),
        (None, None, RequestContext(user_id="1"), {"user_id": "1"}),
        (
            None,
            None,
            RequestContext(visitor_id="v", session_id=None),
            {"visitor_id": "v"},
        ),
    ],
)  # fmt: skip
def test_who_a_call_is_about(user_id, visitor_id, context, who):
    assert events.identity(user_id, visitor_id, context) == who


def test_speaking_for_the_visitor_is_remembered():
    own, other = request(), request(user_id="1")

    events.identity(None, None, own)
    events.identity("2", None, other)

    assert (own.visitor_used, other.visitor_used) == (True, False)


@pytest.mark.parametrize(
    ("user_id", "visitor_id", "context", "error"),
    [
        (None, None, None, "missing_identity"),
        ("", " ", None, "missing_identity"),
        (None, None, RequestContext(), "missing_identity"),
        (True, None, None, "invalid_user_id"),
        (None, "a b", None, "invalid_visitor_id"),
        (None, ["v"], None, "invalid_visitor_id"),
        (None, None, request(visitor_id="a b"), "invalid_visitor_id"),
        (None, None, request(user_id=1.5), "invalid_user_id"),
    ],
)
def test_who_cannot_be_told(user_id, visitor_id, context, error):
    with pytest.raises(InvalidEventError, match=f"^{error}$"):
        events.identity(user_id, visitor_id, context)


# -- properties and correlation --


def test_the_page_of_the_request_is_filled_in():
    context = RequestContext(url="https://h/a", referrer="https://r", user_agent="UA")
    given = {"plan": "pro", "referrer": "mine"}

    merged = events.with_page(given, context)

    assert merged == {
        "plan": "pro",
        "referrer": "mine",
        "url": "https://h/a",
        "user_agent": "UA",
    }
    assert given == {"plan": "pro", "referrer": "mine"}


def test_a_page_that_was_given_is_left_alone():
    context = RequestContext(url="https://h/a", referrer="https://r")

    assert events.with_page({"url": "/b"}, context) == {"url": "/b"}
    assert events.with_page(None, RequestContext(url="/a")) == {"url": "/a"}
    assert events.with_page(None, RequestContext()) == {}


@pytest.mark.parametrize("odd", [5, "x", ["x"], object()], ids=kind)
def test_what_is_no_mapping_is_kept_as_a_value(odd):
    assert events.mapping(odd) == {"value": odd}


def test_a_mapping_that_cannot_be_read_is_marked():
    class Broken(dict):
        def keys(self):
            raise OSError

        def __iter__(self):
            raise OSError

    assert events.mapping(Broken(a=1)) == {"unreadable": True}
    assert events.mapping(None) == {}


def test_correlation_is_given_or_the_requests():
    context = RequestContext(request_id="r", flow_id="f")

    found = events.correlation(context, request_id=None, flow_id="g", parent_id=None)

    assert found == {"request_id": "r", "flow_id": "g"}
    assert events.correlation(None, request_id=None) is None
    assert events.correlation(None, request_id=5) == {"request_id": "5"}
    assert len(events.correlation(None, flow_id="x" * 999)["flow_id"]) == 255


def test_correlation_that_is_no_text_is_left_out():
    assert events.correlation(None, request_id=object(), flow_id="f") == {
        "flow_id": "f"
    }
