"""What real programs put into properties, on purpose or by mistake, kind by kind."""

import collections
import dataclasses
import datetime as dt
import enum
import json
import math
import pathlib
import sys
import threading
import types
import uuid
import weakref
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import pytest
from django.utils.functional import lazystr as gettext_lazy

from mbuzz.serialization import Encoder

MODES = ["standard", "strict", "off"]
encoders = {mode: Encoder(pii=mode) for mode in MODES}


class Raising:
    """Raises in whatever is asked of it."""

    def _raise(self, *args):
        raise RuntimeError("hunter2")

    __str__ = __repr__ = __iter__ = __eq__ = __len__ = __getitem__ = _raise
    __getattr__ = __bool__ = __float__ = __int__ = __index__ = __fspath__ = _raise

    def __hash__(self):
        return 5


class Unhashable(Raising):
    __hash__ = Raising._raise


class Liar:
    @property
    def __class__(self):
        raise RuntimeError("hunter2")


class RaisingItems(dict):
    def items(self):
        raise RuntimeError("hunter2")

    copy = keys = __iter__ = items


class RaisingFlag(enum.Flag):
    A = 1
    B = 2


class Color(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: int = 1


@dataclasses.dataclass
class Order:
    number: int = 1

    @property
    def broken(self):
        raise RuntimeError("hunter2")


class HalfAttrs:
    __attrs_attrs__ = (types.SimpleNamespace(name="plan"),)

    @property
    def plan(self):
        raise RuntimeError("hunter2")


class RaisingModel:
    model_fields = ("plan",)

    def model_dump(self):
        raise RuntimeError("hunter2")


class Scalar:
    """What a boolean of numpy looks like."""

    shape = ()

    def item(self):
        return True


class Text(str):
    __slots__ = ()
    __str__ = __repr__ = Raising._raise


class Whole(int):
    __str__ = __repr__ = __int__ = Raising._raise


def itself(kind):
    loop = kind()
    loop.append(loop) if kind is list else loop.update(loop=loop)
    return loop


def deep():
    value = "x"
    for _ in range(900):
        value = [value]
    return value


BAD = {
    "none": None,
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "huge int": 10**5000,
    "Decimal NaN": Decimal("NaN"),
    "Decimal sNaN": Decimal("sNaN"),
    "Decimal huge": Decimal("1E+999999"),
    "naive": dt.datetime(2026, 1, 1),
    "aware": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "min": dt.datetime.min,
    "max": dt.datetime.max,
    "aware min": dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=9))),
    "date": dt.date.min,
    "time": dt.time(1, 2),
    "timedelta": dt.timedelta.max,
    "uuid": uuid.UUID(int=1),
    "enum": Color.RED,
    "flag": RaisingFlag.A | RaisingFlag.B,
    "dataclass": Order(),
    "NamedTuple": Point(),
    "attrs": HalfAttrs(),
    "pydantic": RaisingModel(),
    "set": {1, "a", None},
    "frozenset": frozenset({2, 1}),
    "bytes": b"text",
    "binary": b"\xff\x00",
    "bytearray": bytearray(b"a"),
    "memoryview": memoryview(b"abc")[::2],
    "path": pathlib.PurePath("a/b"),
    "surrogate": "a\ud800",
    "nul": "a\0b",
    "1 MB": "x" * 10**6,
    "10 000 keys": {str(n): n for n in range(10_000)},
    "deep": deep(),
    "own dict": itself(dict),
    "own list": itself(list),
    "odd keys": {1: 1, None: 2, (1, 2): 3, object(): 4},
    "raising": Raising(),
    "raising key": {Raising(): 1},
    "unhashable": Unhashable(),
    "liar": Liar(),
    "class": Raising,
    "function": itself,
    "generator": (n for n in range(10**9)),
    "lambda": lambda: 1,
    "module": math,
    "exception": ValueError("no"),
    "raising exception": ValueError(Raising()),
    "complex": 1 + 2j,
    "fraction": Fraction(1, 3),
    "range": range(10**9),
    "deque": collections.deque([1]),
    "views": {"a": 1}.keys(),
    "str subclass": Text("a"),
    "int subclass": Whole(1),
    "bool scalar": Scalar(),
    "lazy": gettext_lazy("Bonjour"),
    "UserString": collections.UserString("abc"),
    "file": sys.__stderr__,
    "lock": threading.Lock(),
    "raising items": RaisingItems(a=1),
    "ellipsis": ...,
    "bound method": "".join,
    "proxy": weakref.proxy(Color),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("mode", MODES)
def test_bad_input_costs_itself_only(kind, mode):
    properties = {"before": "a", "bad": BAD[kind], "after": [1, 2]}

    encoded = encoders[mode].mapping(properties)

    found = json.loads(encoded, parse_constant=pytest.fail)
    assert found.pop("bad", 0) != 0
    assert found == {"before": "a", "after": [1, 2]}
    assert "hunter2" not in encoded


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [
        ("nan", None),
        ("Decimal huge", "1E+999999"),
        ("set", [1, None, "a"]),
        ("frozenset", [1, 2]),
        ("flag", 3),
        ("attrs", {"plan": "[plan: cannot be encoded]"}),
        ("pydantic", "[RaisingModel: cannot be encoded]"),
        ("raising", "[Raising: cannot be encoded]"),
        ("raising items", "[RaisingItems: cannot be encoded]"),
        ("lock", "[lock: cannot be encoded]"),
        ("class", "Raising"),
        ("module", "math"),
        ("exception", "ValueError: no"),
        ("complex", "(1+2j)"),
        ("views", ["a"]),
        ("range", list(range(100))),
        ("lazy", "Bonjour"),
        ("UserString", "abc"),
        ("str subclass", "a"),
        ("int subclass", 1),
        ("bool scalar", True),
        ("memoryview", "ac"),
    ],
)
def test_what_becomes_of_odd_values(kind, encoded):
    assert json.loads(encoders["standard"].mapping({"v": BAD[kind]}))["v"] == encoded


@pytest.mark.parametrize("kind", ["raising items", "raising", "own list", "none"])
def test_properties_that_cannot_be_read_are_marked(kind):
    assert encoders["standard"].mapping(BAD[kind]) == '{"unreadable":true}'


def test_a_dict_that_another_thread_changes_is_encoded_all_the_same():
    source = {"a": "x"}
    done = threading.Event()

    def change():
        n = 0
        while not done.is_set():
            n += 1
            source[f"k{n % 50}"] = {"b": n} if n % 3 else n
            source.pop(f"k{(n + 7) % 50}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2000):
            assert json.loads(encoders["standard"].mapping(source))["a"] == "x"
    finally:
        done.set()
        thread.join()
