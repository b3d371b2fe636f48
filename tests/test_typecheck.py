"""Compiled annotations: what fits, what does not, and how that is said."""

import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal, NewType, Optional, Protocol, TypedDict
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.typecheck import compiled


class Plan(Enum):
    FREE = "free"
    PRO = "pro"


class Word(StrEnum):
    FREE = "free"


class Safe(str):
    """As Django's SafeString."""


class Address(TypedDict):
    city: str


class Sized(Protocol):
    def __len__(self) -> int: ...


@dataclass
class Point:
    x: int


class Box(list[typing.TypeVar("T")]):
    pass


class Rude:
    def __getattribute__(self, name):
        raise RuntimeError("hunter2")

    def __eq__(self, other):
        raise RuntimeError("hunter2")

    __hash__ = None


Cents = NewType("Cents", int)
NOW = datetime(2026, 1, 2)
ID = UUID(int=7)

FITS = [
    (str, "x", "str"),
    (str, Word.FREE, "str"),
    (str, Safe("x"), "str"),
    (int, 1, "int"),
    (float, 1.5, "float"),
    (float, 1, "float"),
    (bool, True, "bool"),
    (Decimal, Decimal("1.10"), "Decimal"),
    (datetime, NOW, "datetime"),
    (date, NOW.date(), "date"),
    (timedelta, timedelta(1), "timedelta"),
    (UUID, ID, "UUID"),
    (Plan, Plan.PRO, "Plan('free' | 'pro')"),
    (None, None, "None"),
    (Any, Rude(), "Any"),
    (object, Rude(), "Any"),
    (Literal["free", 1, None], "free", "'free' | 1 | None"),
    (Literal["free", 1, None], Safe("free"), "'free' | 1 | None"),
    (Literal["free", 1, None], 1, "'free' | 1 | None"),
    (Literal["free", 1, None], None, "'free' | 1 | None"),
    (Literal[Plan.PRO], Plan.PRO, "'pro'"),
    (str | None, None, "str | None"),
    (Optional[str], "x", "str | None"),  # noqa: UP045 - both forms are in use
    (int | list[str], ["a"], "int | list[str]"),
    (list, [1, "a"], "list"),
    (list[int], [1, 2], "list[int]"),
    (list[int | None], [], "list[int | None]"),
    (set[str], {"a"}, "set[str]"),
    (frozenset[str], frozenset("a"), "frozenset[str]"),
    (Sequence[int], (1, 2), "Sequence[int]"),
    (Iterable[int], {1, 2}, "Iterable[int]"),
    (tuple[int, ...], (1, 2, 3), "tuple[int, ...]"),
    (tuple[int, str], (1, "a"), "tuple[int, str]"),
    (dict, {1: 2}, "dict"),
    (dict[str, float], {"a": 1}, "dict[str, float]"),
    (Mapping[str, Any], {"a": Rude()}, "Mapping[str, Any]"),
    (Annotated[int, "cents"], 1, "int"),
    (Cents, 1, "int"),
    (Address, {"city": "Oslo"}, "Address"),
    (Sized, 1, "Sized"),
    (Point, Point(1), "Point"),
    (Box[int], Box([1]), "Box"),
]


@pytest.mark.parametrize(("annotation", "value", "text"), FITS, ids=range(len(FITS)))
def test_value_of_the_type_fits(annotation, value, text):
    check = compiled(annotation)

    assert check.fits(value)
    assert check.text == text


WRONG = [
    (str, 1, "must be str, got int"),
    (str, b"x", "must be str, got bytes"),
    (str, None, "must be str, got None"),
    (int, True, "must be int, got bool"),
    (int, 1.0, "must be int, got float"),
    (int, "1", "must be int, got str"),
    (float, True, "must be float, got bool"),
    (float, Decimal(1), "must be float, got Decimal"),
    (bool, 1, "must be bool, got int"),
    (Decimal, 1.5, "must be Decimal, got float"),
    (datetime, NOW.date(), "must be datetime, got date"),
    (date, NOW, "must be date, got datetime"),
    (UUID, str(ID), "must be UUID, got str"),
    (Plan, "pro", "must be Plan('free' | 'pro'), got str"),
    (None, 0, "must be None, got int"),
    (Literal["free", "pro"], "hunter2", "must be 'free' | 'pro', got another str"),
    (Literal["free"], ["free"], "must be 'free', got list"),
    (Literal[1], True, "must be 1, got bool"),
    (Literal[0, True], False, "must be 0 | True, got another bool"),
    (str | None, 1, "must be str | None, got int"),
    (list[int], [1, "hunter2"], "must be list[int], got another list"),
    (list[int], (1, 2), "must be list[int], got tuple"),
    (Sequence[str], "abc", "must be Sequence[str], got str"),
    (tuple[int, ...], (1, None), "must be tuple[int, ...], got another tuple"),
    (tuple[int, str], (1,), "must be tuple[int, str], got another tuple"),
    (dict[str, int], {"a": "b"}, "must be dict[str, int], got another dict"),
    (dict[str, int], {1: 1}, "must be dict[str, int], got another dict"),
    (dict[str, int], [1], "must be dict[str, int], got list"),
    (Cents, "1", "must be int, got str"),
    (Address, [], "must be Address, got list"),
    (Point, {"x": 1}, "must be Point, got dict"),
]


@pytest.mark.parametrize(
    ("annotation", "value", "complaint"), WRONG, ids=range(len(WRONG))
)
def test_other_value_does_not_fit_and_is_not_shown(annotation, value, complaint):
    check = compiled(annotation)

    assert not check.fits(value)
    assert check.complaint(value) == complaint


@pytest.mark.parametrize("annotation", [int, Plan, Literal["a"], list[int], Point])
def test_object_that_raises_when_looked_at_does_not_fit(annotation):
    assert not compiled(annotation).fits(Rude())


def test_long_list_is_looked_at_as_far_as_an_event_holds_it():
    check = compiled(list[int])

    assert check.fits([1] * 100 + ["x"] * 1_000_000)
    assert not check.fits([1] * 99 + ["x"])


@pytest.mark.parametrize("annotation", ["str", 5, typing.ClassVar[int]], ids=range(3))
def test_what_is_no_type_is_refused(annotation):
    with pytest.raises(TypeError, match="values cannot be checked against"):
        compiled(annotation)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type X = ...` is of 3.12")
def test_named_alias_is_what_it_stands_for():
    scope = {}
    exec("type Word = str | None\ntype Tree = dict[str, Tree] | int", scope)

    assert compiled(scope["Word"]).text == "str | None"
    assert compiled(scope["Tree"]).fits({"a": {"b": 1}})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_every_value_fits_its_own_shape_and_nothing_raises(value):
    def shape(part):
        if isinstance(part, list):
            inner = {shape(one) for one in part[:100]} or {Any}
            return list[typing.Union[tuple(inner)]]  # noqa: UP007 - made at run time
        if isinstance(part, dict):
            inner = {shape(one) for one in [*part.values()][:100]} or {Any}
            return dict[str, typing.Union[tuple(inner)]]  # noqa: UP007
        return type(part)

    assert compiled(shape(value)).fits(value)
    for annotation, _, _ in FITS:
        assert compiled(annotation).fits(value) in (True, False)
