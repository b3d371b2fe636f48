"""The registry of declared events: what they are, and what does not fit them."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum

from mbuzz import guard, protocol
from mbuzz.errors import ConfigurationError
from mbuzz.typecheck import Check, compiled

_KINDS = {protocol.TRACK: "event", protocol.CONVERSION: "conversion"}
_A_KIND = {protocol.TRACK: "an event", protocol.CONVERSION: "a conversion"}
_OWN = frozenset({"url", "referrer", "user_agent"})  # what the SDK adds by itself
_METHODS = frozenset({"arecord", "record", "track"})
_LONGEST_NAME = 80  # characters of a stray name in a text
# Words; not an address, a token or a number of somebody.
_A_NAME = re.compile(rf"(?!.*\d{{5}})(?!.*\w{{33}})[\w .,:/$[\]-]{{1,{_LONGEST_NAME}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One declared property of an event."""

    name: str
    check: Check
    required: bool
    default: object  # JSON-able; None for a required one
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One declared event or conversion, compiled."""

    name: str
    kind: str  # "track" or "conversion", as on the wire
    doc: str
    properties: tuple[Property, ...]
    declared_by: type
    checks: Mapping[str, Check]
    required: frozenset[str]


_declared: dict[str, dict[str, Definition]] = {kind: {} for kind in _KINDS}


def declare(cls: type, kind: str, name: str, doc: str) -> Definition:
    """Compile the fields of a dataclass and enter them as *name*.

    Raises:
        ConfigurationError: If the declaration cannot work or is there already.
    """
    what = f"{_KINDS[kind]} {name!r}"
    if name != name.strip() or not 0 < len(name) <= protocol.MAX_EVENT_TYPE:
        raise ConfigurationError(
            f"{what} needs a name of 1 to {protocol.MAX_EVENT_TYPE} characters "
            "without spaces around it"
        )
    if _own(name, kind):
        raise ConfigurationError(f"{what} is mbuzz's own; take another name")
    before = _declared[kind].get(name)
    if before is not None and _place(before.declared_by) != _place(cls):
        raise ConfigurationError(
            f"{what} is declared twice, by {_place(before.declared_by)} and by "
            f"{_place(cls)}; keep one"
        )
    properties = tuple(_properties(cls, what))
    definition = _declared[kind][name] = Definition(
        name=name,
        kind=kind,
        doc=doc,
        properties=properties,
        declared_by=cls,
        checks={one.name: one.check for one in properties},
        required=frozenset(one.name for one in properties if one.required),
    )
    return definition


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _properties(cls: type, what: str) -> typing.Iterator[Property]:
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"{what} has a type that is not known at run time ({error}); "
            "import it above, outside of `if TYPE_CHECKING`"
        ) from None
    for entry in fields(cls):
        if entry.name in _METHODS:
            raise ConfigurationError(
                f"{what} cannot have a property {entry.name!r}, which is a method; "
                "take another name"
            )
        try:
            check = compiled(hints[entry.name])
        except TypeError as error:
            raise ConfigurationError(
                f"{what}, property {entry.name}: {error}"
            ) from None
        notes = getattr(hints[entry.name], "__metadata__", ())
        yield Property(
            name=entry.name,
            check=check,
            required=entry.default is MISSING and entry.default_factory is MISSING,
            default=_default(entry),
            doc=next((note for note in notes if isinstance(note, str)), ""),
        )


def _default(entry: Field[typing.Any]) -> object:
    """Return a default as JSON has it, the same in every run of the program."""
    if entry.default_factory is not MISSING:  # may give something else each time
        return f"{getattr(entry.default_factory, '__name__', 'factory')}()"
    if entry.default is MISSING:
        return None
    return guard.attempt(
        lambda: json.loads(
            json.dumps(entry.default, default=_text), parse_constant=str
        ),
        lambda _: type(entry.default).__name__,
    )


def _text(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    shown = type(value).__str__ is not object.__str__
    shown = shown or type(value).__repr__ is not object.__repr__  # not an address
    return str(value) if shown else type(value).__name__


def is_declared(name: str, kind: str = protocol.TRACK) -> bool:
    """Tell whether there is a declaration of that name; mbuzz's own always count."""
    return name in _declared.get(kind, ()) or _own(name, kind)


def _own(name: str, kind: str) -> bool:
    return kind == protocol.TRACK and name == protocol.PAGE_VIEW


def problems(
    name: str, properties: Mapping[str, object] | None, kind: str = protocol.TRACK
) -> list[str]:
    """Return what does not fit the declaration of *name*, one sentence each.

    *kind* is "track" or "conversion". The sentences name properties and types, never
    values. Never raises.
    """
    return guard.attempt(
        lambda: _found(name, properties or {}, kind),
        lambda error: [f"the event cannot be checked ({type(error).__name__})"],
    )


def _found(name: str, properties: Mapping[str, object], kind: str) -> list[str]:
    definition = _declared[kind].get(name)
    if definition is not None:
        return misfits(definition, properties)
    if _own(name, kind):
        return []
    if not any(_declared.values()):
        return ["nothing is declared; import the module that declares the events"]
    return [f"{_KINDS[kind]} {_shown(name)} is not declared{_hint(name, kind)}"]


def misfits(definition: Definition, properties: Mapping[str, object]) -> list[str]:
    """Return what of *properties* does not fit, one sentence each; may raise."""
    found: list[str] = []
    checks = definition.checks
    for name, value in properties.items():
        check = checks.get(name)
        if check is None:
            if name not in _OWN:
                near = _meant(name, checks)
                found.append(f"{_shown(name)} is not a property{near}")
        elif type(value) not in check.quick and not check.fits(value):
            found.append(f"{name} {check.complaint(value)}")
    if not definition.required <= properties.keys():
        missing = sorted(definition.required - properties.keys())
        found += [f"{name} is missing" for name in missing]
    return found


def _shown(name: object) -> str:
    """Return a name that nobody declared; it may be anything, also a secret."""
    text = name if isinstance(name, str) else f"[{type(name).__name__}]"
    return repr(text if _A_NAME.fullmatch(text) else f"[{len(text)} characters]")


def _hint(name: str, kind: str) -> str:
    for other, known in _declared.items():
        if other != kind and name in known:
            return f", only {_A_KIND[other]}"
    return _meant(name, _declared[kind])


def _meant(name: object, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(str(name)[:_LONGEST_NAME], known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def registered() -> list[Definition]:
    """Return every declaration, sorted by name."""
    found = [one for kind in _declared.values() for one in kind.values()]
    return sorted(found, key=lambda one: (one.name, one.kind))


def describe() -> list[dict[str, object]]:
    """Return the catalog as JSON-able values, the same for the same declarations."""
    return [
        {
            "name": one.name,
            "kind": _KINDS[one.kind],
            "doc": one.doc,
            "properties": [
                {
                    "name": entry.name,
                    "type": entry.check.text,
                    "required": entry.required,
                    "default": entry.default,
                    "doc": entry.doc,
                }
                for entry in sorted(one.properties, key=lambda entry: entry.name)
            ],
        }
        for one in registered()
    ]
