"""Anything goes in; bounded, valid JSON without secrets comes out."""

import dataclasses
import enum
import json
import math
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

import attrs
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbuzz import protocol
from mbuzz.clock import iso, to_ms
from mbuzz.redaction import REDACTED
from mbuzz.serialization import EventTooLargeError, encode
from mbuzz.server.ingestion import validation
from mbuzz.server.ingestion.timing import Timing


def properties(value, **options):
    """Return what becomes of *value* as the properties of an event."""
    return json.loads(encode({"properties": value}, **options))["properties"]


def one(value):
    return properties({"v": value})["v"]


def kind(value):
    return type(value).__name__  # pytest cannot ask all of them


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    YES = "yes"


class Flag(enum.Flag):
    A = 1


@dataclasses.dataclass
class Order:
    number: int
    total: Decimal
    password: str = "hunter2"


class Point(NamedTuple):
    x: int
    y: int


class Model(pydantic.BaseModel):
    plan: str
    since: date
    secret: pydantic.SecretStr = pydantic.SecretStr("hunter2")


class Pydantic1:
    """What pydantic 1 looks like, without pydantic 1."""

    __fields__ = ("plan",)

    def dict(self):
        return {"plan": "pro"}


@attrs.define
class Attrs:
    plan: str
    api_key: str = "hunter2"


class Lazy:
    """A translation that is made when it is asked for."""

    def __str__(self):
        return "Bonjour"


class Scalar:
    """What a numpy scalar looks like, without numpy."""

    shape = ()

    def item(self):
        return 7


class MyStr(str):
    __slots__ = ()

    def __str__(self):
        return "other"


class MyInt(int):
    pass


class MyFloat(float):
    pass


class Unprintable:
    def __str__(self):
        raise RuntimeError("hunter2")


class Hostile:
    def __getattr__(self, name):
        raise OSError("hunter2")

    def __repr__(self):
        return "hostile"


def recursive():
    loop = {"a": 1}
    loop["self"] = loop
    return loop


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, None),
        (True, True),
        (5, 5),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, str(2**63)),
        (1.5, 1.5),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        ("text", "text"),
        (MyStr("text"), "text"),
        (MyInt(5), 5),
        (MyFloat(1.5), 1.5),
        (MyFloat("nan"), None),
        (Decimal("19.990"), "19.990"),
        (Decimal("0.1") + Decimal("0.2"), "0.3"),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
        (Fraction(1, 3), "1/3"),
        (
            datetime(2026, 11, 20, 10, 30, 0, 250_000, UTC),
            "2026-11-20T10:30:00.250Z",
        ),
        (
            datetime(2026, 11, 20, 11, 30, tzinfo=timezone(timedelta(hours=1))),
            "2026-11-20T10:30:00.000Z",
        ),
        (date(2026, 11, 20), "2026-11-20"),
        (time(10, 30), "10:30:00"),
        (timedelta(minutes=1.5), 90.0),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (Word.YES, "yes"),
        (Flag.A, 1),
        (Order(1, Decimal("9.9")), {"number": 1, "total": "9.9", "password": REDACTED}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (namedtuple("P", "a")(1), {"a": 1}),
        (
            Model(plan="pro", since=date(2026, 1, 2)),
            {"plan": "pro", "since": "2026-01-02", "secret": REDACTED},
        ),
        (Pydantic1(), {"plan": "pro"}),
        (Attrs("pro"), {"plan": "pro", "api_key": REDACTED}),
        (Lazy(), "Bonjour"),
        (Scalar(), 7),
        ({1}, [1]),
        (frozenset({1}), [1]),
        ((1, "a"), [1, "a"]),
        (b"bytes", "bytes"),
        (bytearray(b"bytes"), "bytes"),
        (memoryview(b"bytes"), "bytes"),
        (b"\xff\xfe", "//4="),
        (PurePosixPath("/tmp/a"), "/tmp/a"),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "(1, 2)": "c"}),
        ({Unprintable(): 1}, {"[unreadable]": 1}),
        ("a\0b", "ab"),
        ("a\ud800b", "a?b"),
        ({"a\ud800\0": 1}, {"a?": 1}),
        ("Zoë 🎉", "Zoë 🎉"),
        (Unprintable(), "[Unprintable: cannot be encoded]"),
        (Hostile(), "hostile"),
        (object(), "[object: cannot be encoded]"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))),
         "[datetime: cannot be encoded]"),
        (Order, "Order"),
    ],
    ids=kind,
)  # fmt: skip
def test_what_programs_put_into_properties(value, encoded):
    assert one(value) == encoded


def test_a_naive_time_is_local():
    moment = datetime(2026, 11, 20, 10, 30)

    assert one(moment) == iso(to_ms(moment.astimezone()))


def test_one_bad_value_costs_itself_only():
    assert properties({"a": 1, "b": Unprintable(), "c": 3}) == {
        "a": 1,
        "b": "[Unprintable: cannot be encoded]",
        "c": 3,
    }


def test_the_body_is_a_snapshot():
    given = {"list": [1]}
    body = encode({"properties": given})

    given["list"].append(2)

    assert json.loads(body) == {"properties": {"list": [1]}}
    assert given == {"list": [1, 2]}


# -- bounds --


def test_a_graph_that_contains_itself_ends():
    found = properties(recursive())

    for _ in range(4):
        found = found["self"]
    assert found == {"a": 1, "self": "[too deep]"}


def test_a_graph_that_contains_itself_a_hundred_times_ends_soon():
    loop = {}
    for n in range(100):
        loop[str(n)] = loop
    listed = []
    listed.extend([listed] * 100)

    for graph in (loop, {"v": listed}):
        with pytest.raises(EventTooLargeError):
            encode({"properties": graph})


def test_a_mapping_without_end_ends():
    class Endless(Mapping):
        def __getitem__(self, key):
            return 1

        def __iter__(self):
            while True:
                yield "same"

        def __len__(self):
            return 5

    assert one(Endless()) == {"same": 1}


def test_keys_and_items_beyond_the_limit_are_left_out():
    assert len(properties({str(n): n for n in range(500)})) == 100
    assert len(one(list(range(500)))) == 100


def test_long_text_is_cut_and_marked():
    text = one("x" * 100_000)

    assert len(text) == protocol.MAX_STRING
    assert text.endswith("...[cut]")
    assert one("x" * protocol.MAX_STRING) == "x" * protocol.MAX_STRING


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1" * 50_000),
        10**9_000,
        b"\xff" * 100_000,
        "https://h/?" + "pin=1&" * 5_000,
        "https://h/" + "a@b.cd/" * 2_000,
    ],
    ids=kind,
)
def test_no_kind_of_value_is_longer_than_text_may_be(value):
    text = one(value)

    assert isinstance(text, str)
    assert len(text) <= protocol.MAX_STRING


def test_long_keys_are_cut():
    (key,) = properties({"k" * 100_000: 1})

    assert key == "k" * 255


def test_an_event_that_is_too_large_has_its_longest_strings_cut():
    given = {str(n): "x" * 8000 for n in range(9)} | {"plan": "pro", "n": [5] * 50}
    body = encode({"properties": given, "event_type": "Signup"})

    item = json.loads(body)
    assert protocol.MAX_EVENT_BYTES * 0.9 < len(body) <= protocol.MAX_EVENT_BYTES
    assert item["properties"].keys() == given.keys()
    assert item["properties"]["plan"] == "pro"
    assert item["properties"]["n"] == [5] * 50
    assert item["properties"]["0"].endswith("...[cut]")


def test_an_event_that_no_cut_makes_small_is_an_error():
    with pytest.raises(EventTooLargeError, match="32768 bytes"):
        encode({"properties": {str(n): list(range(1000, 1100)) for n in range(100)}})


def test_text_that_escaping_makes_long_still_fits():
    body = encode({"properties": {str(n): "🎉" * 4000 for n in range(20)}})

    assert len(body) <= protocol.MAX_EVENT_BYTES
    assert len(json.loads(body)["properties"]) == 20


def test_an_event_of_the_largest_size_is_left_whole():
    size = protocol.MAX_EVENT_BYTES
    item = {"properties": {str(n): "x" * 8000 for n in range(4)}, "fill": ""}
    item["fill"] = "x" * (size - len(encode(item)))

    assert len(encode(item)) == size
    assert b"[cut]" not in encode(item)
    item["fill"] += "x"
    assert b"[cut]" in encode(item)


# -- secrets --


def nested(secret, depth):
    value = {"password": secret}
    for n in range(depth):
        value = [value] if n % 2 else {"inner": value}
    return {"v": value}


@pytest.mark.parametrize("depth", range(8))
def test_a_secret_does_not_come_out_at_any_depth(depth):
    assert b"hunter2" not in encode({"properties": nested("hunter2", depth)})


@pytest.mark.parametrize(
    "value",
    [
        {"user": {"Password": "hunter2"}},
        {"p" * 300 + "_password": "hunter2"},
        {MyStr("x"): {"apiKey": ["hunter2"]}},
        {"traits": [{"card": {"number": "hunter2"}}]},
        Order(1, Decimal(1)),
        {"url": "https://h/?token=hunter2"},
        {"url": "HTTPS://h/?token=hunter2"},
        {"url": "/next?token=hunter2"},
        {"url": b"https://h/?token=hunter2"},
        {"note": "Bearer hunter2hunter2"},
    ],
)
def test_a_secret_does_not_come_out_in_any_shape(value):
    assert b"hunter2" not in encode({"properties": {"v": value}})


def test_a_secret_that_the_cut_goes_through_does_not_come_out():
    for begin in range(protocol.MAX_STRING - 40, protocol.MAX_STRING):
        text = one("x" * (begin - 1) + " 4111111111111111 " + "y" * 200)
        assert "4111" not in text


def test_traits_are_redacted_too_but_keep_name_and_address():
    body = encode({"traits": {"email": "me@x.org", "name": "Me", "password": "x"}})

    assert json.loads(body)["traits"] == {
        "email": "me@x.org",
        "name": "Me",
        "password": REDACTED,
    }


def test_redaction_can_be_turned_off():
    given = {"password": "hunter2", "url": "https://h/?token=x", "p" * 300: 1}

    assert properties(given, redact=False)["password"] == "hunter2"


def test_text_beside_the_properties_is_made_storable():
    body = encode({"event_type": "a\ud800\0b", "number": 5})

    assert json.loads(body) == {"event_type": "a?b", "number": 5}


# -- anything at all --

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(alphabet=st.characters(), max_size=50),
    st.binary(),
    st.decimals(),
    st.fractions(),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.complex_numbers(),
    st.sampled_from(
        [Color.RED, Level.HIGH, Unprintable(), Lazy(), Scalar(), Point(1, 2),
         Order(1, Decimal(1)), object(), Order, len, recursive(), iter("a"), ...]
    ),
)  # fmt: skip
keys = st.one_of(st.text(max_size=20), st.integers(), st.none(), st.dates())
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.dictionaries(keys, inner, max_size=6),
    ),
    max_leaves=40,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys, anything, max_size=8))
def test_any_graph_becomes_bounded_json_that_the_server_takes(given):
    try:
        body = encode({"type": "track", "event_type": "x", "user_id": "7",
                       "properties": given})  # fmt: skip
    except EventTooLargeError:
        return

    assert len(body) <= protocol.MAX_EVENT_BYTES
    item = json.loads(body)
    checked = validation.check_item(
        item, Timing(received_at_ms=0, currency="USD"), None
    )
    assert checked.call.properties == item["properties"]
    assert checked.warnings == []


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(anything, st.sampled_from(["password", "apiKey", "Auth-Token", "CVV"]))
def test_a_planted_secret_never_comes_out(around, name):
    planted = {"a": around, "b": [{name: "PLANTED"}, {name: [{"x": "PLANTED"}]}]}

    try:
        body = encode({"properties": planted, "traits": planted})
    except EventTooLargeError:
        return

    assert b"PLANTED" not in body
