"""Frozen values for the SDK, without `dataclasses`.

That module loads `inspect`, which alone would cost a fifth of what importing mbuzz and
sending a first event may cost.
"""

from __future__ import annotations

from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_options):  # noqa: D103
        return lambda cls: cls


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Frozen:
    """A value: annotated fields, given by keyword, that never change.

    A field with a value in the class body may be left out. `_hidden` names the fields
    that `repr` leaves out.
    """

    _hidden: tuple[str, ...] = ()
    _names: tuple[str, ...] = ()

    if not TYPE_CHECKING:

        def __init__(self, **given):
            values = self.__dict__
            for name in self.fields():
                if name in given:
                    values[name] = given.pop(name)
                elif not hasattr(type(self), name):
                    raise TypeError(f"{type(self).__name__} needs {name}=")
            if given:
                raise TypeError(f"{type(self).__name__} has no {sorted(given)}")

    @classmethod
    def annotations(cls) -> dict[str, Any]:
        """Return the types of the fields by their names, those of bases last."""
        found: dict[str, Any] = {}
        for base in cls.__mro__:
            for name, kind in getattr(base, "__annotations__", {}).items():
                if not name.startswith("_"):
                    found.setdefault(name, kind)
        return found

    @classmethod
    def fields(cls) -> Iterator[str]:
        """Yield the names of the fields, in order."""
        return iter(cls._names)

    def __init_subclass__(cls) -> None:
        cls._names = tuple(cls.annotations())

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def _values(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.fields()}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]  # some hold mappings

    def __repr__(self) -> str:
        shown = (
            f"{name}={value!r}"
            for name, value in self._values().items()
            if name not in self._hidden
        )
        return f"{type(self).__name__}({', '.join(shown)})"
