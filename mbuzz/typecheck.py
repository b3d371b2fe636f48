"""From a type annotation to a quick check of values, and to the text that shows it."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from enum import Enum
from itertools import islice

from mbuzz import guard, protocol

Test = Callable[[object], bool]

_MOST_ITEMS = protocol.MAX_PROPERTIES  # an event holds no more of a list either
_DEEPEST = 8  # of an annotation; a recursive alias has no end
_LISTS = (list, set, frozenset, collections.deque)
_SEQUENCES = (
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Iterable,
    collections.abc.Set,
)
_MAPPINGS: tuple[type, ...] = (
    dict,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
)


class Check:
    """One compiled annotation.

    `quick` are the exact types that need no further look, `slow` decides about all
    others, `text` is the annotation as people read it, `near` are the types of which
    only some values fit.
    """

    __slots__ = ("near", "quick", "slow", "text")

    def __init__(
        self,
        text: str,
        *quick: type,
        slow: Test | None = None,
        near: Iterable[type] = (),
    ) -> None:
        self.text = text
        self.quick = frozenset(quick)
        self.slow = slow
        self.near = frozenset(near)

    def fits(self, value: object) -> bool:
        """Tell whether *value* is of the type; what cannot be looked at is not."""
        if type(value) in self.quick:
            return True
        slow = self.slow
        return slow is not None and guard.attempt(lambda: slow(value), lambda _: False)

    def complaint(self, value: object) -> str:
        """Return what is wrong with a *value* that does not fit, without showing it."""
        kind = "None" if value is None else type(value).__name__
        another = "another " if type(value) in self.near else ""
        return f"must be {self.text}, got {another}{kind}"


def compiled(annotation: object, depth: int = 0) -> Check:
    """Return the check of a resolved annotation.

    It follows the type checkers, with two differences: True is no int, and a datetime
    is no date, since both would be stored as something else than was declared. The
    items of a list or dict are checked up to the hundredth.

    Raises:
        TypeError: If the annotation is not one that values can be checked against.
    """
    if annotation in (typing.Any, object) or depth > _DEEPEST:
        return Check("Any", slow=lambda _: True)
    if annotation in (None, types.NoneType):
        return Check("None", types.NoneType)
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _parametrized(annotation, origin, depth)
    if isinstance(annotation, type):
        return _plain(annotation)
    for hidden in ("__value__", "__supertype__"):  # of `type X = ...` and of NewType
        inner = getattr(annotation, hidden, None)
        if inner is not None:
            return compiled(inner, depth + 1)
    raise TypeError(f"values cannot be checked against {annotation!r}")


def _plain(kind: type) -> Check:
    name = kind.__name__
    if kind is int:
        return Check(name, int, slow=lambda v: isinstance(v, int) and not _is_bool(v))
    if kind is float:
        return Check(
            name,
            float,
            int,
            slow=lambda v: isinstance(v, int | float) and not _is_bool(v),
        )
    if kind is date:
        return Check(
            name,
            date,
            slow=lambda v: isinstance(v, date) and not isinstance(v, datetime),
        )
    if typing.is_typeddict(kind):
        return Check(name, dict)
    if getattr(kind, "_is_protocol", False):  # its methods are not for us to look up
        return Check(name, slow=lambda _: True)
    if issubclass(kind, Enum):
        values = " | ".join(repr(member.value) for member in kind)
        return Check(f"{name}({values})", slow=lambda v: isinstance(v, kind))
    return Check(name, kind, slow=lambda v: isinstance(v, kind))


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _parametrized(annotation: object, origin: object, depth: int) -> Check:
    given = typing.get_args(annotation)
    if origin is typing.Annotated:
        return compiled(given[0], depth)
    if origin is typing.Literal:
        return _literal(given)
    if origin in (typing.Union, types.UnionType):
        return _union([compiled(one, depth + 1) for one in given])
    if origin is tuple:
        return _tuple(given, depth)
    if origin in _LISTS or origin in _SEQUENCES:
        kind = typing.cast("type", origin)
        return _items(kind, compiled(given[0], depth + 1))
    if origin in _MAPPINGS:
        key, value = (compiled(one, depth + 1) for one in given)
        return _pairs(origin, key, value)
    if isinstance(origin, type):  # a generic class of the project
        return _plain(origin)
    raise TypeError(f"values cannot be checked against {annotation!r}")


def _literal(members: tuple[object, ...]) -> Check:
    # with its type: 1 and True are equal, but not the same literal
    pairs = frozenset((type(member), member) for member in members)
    kinds = frozenset(type(member) for member in members)

    def test(value: object) -> bool:
        kind = type(value)
        if kind not in kinds and isinstance(value, str):  # such as Django's SafeString
            kind, value = str, str.__str__(value)
        return kind in kinds and (kind, value) in pairs

    texts = (repr(m.value if isinstance(m, Enum) else m) for m in members)
    return Check(" | ".join(texts), slow=test, near=kinds - {types.NoneType})


def _union(checks: list[Check]) -> Check:
    quick = frozenset[type]().union(*(check.quick for check in checks))
    near = frozenset[type]().union(*(check.near for check in checks))
    slow = [check.fits for check in checks if check.slow is not None]
    return Check(
        " | ".join(check.text for check in checks),
        *quick,
        slow=(lambda v: any(fits(v) for fits in slow)) if slow else None,
        near=near,
    )


def _items(kind: type, item: Check) -> Check:
    def test(value: object) -> bool:
        if not isinstance(value, kind) or isinstance(value, str | bytes):
            return False
        values = typing.cast("Iterable[object]", value)
        return all(map(item.fits, islice(values, _MOST_ITEMS)))

    near = (list, tuple, set) if kind in _SEQUENCES else (kind,)
    return Check(f"{kind.__name__}[{item.text}]", slow=test, near=near)


def _pairs(kind: type, key: Check, value: Check) -> Check:
    def test(given: object) -> bool:
        if not isinstance(given, kind):
            return False
        pairs = typing.cast("Mapping[object, object]", given).items()
        some = islice(pairs, _MOST_ITEMS)
        return all(key.fits(k) and value.fits(v) for k, v in some)

    text = f"{kind.__name__}[{key.text}, {value.text}]"
    return Check(text, slow=test, near=(dict,))


def _tuple(given: tuple[object, ...], depth: int) -> Check:
    if len(given) == 2 and given[1] is ...:
        item = compiled(given[0], depth + 1)
        return Check(
            f"tuple[{item.text}, ...]",
            slow=lambda v: (
                isinstance(v, tuple) and all(map(item.fits, islice(v, _MOST_ITEMS)))
            ),
            near=(tuple,),
        )
    items = [compiled(one, depth + 1) for one in given]
    return Check(
        f"tuple[{', '.join(item.text for item in items)}]",
        slow=lambda v: (
            isinstance(v, tuple)
            and len(v) == len(items)
            and all(item.fits(part) for item, part in zip(items, v, strict=True))
        ),
        near=(tuple,),
    )
