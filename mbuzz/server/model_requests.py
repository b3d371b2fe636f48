"""What is asked for of an account's own models: read, checked, and named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from mbuzz.server.attribution.dsl.errors import ProgramError
from mbuzz.server.attribution.dsl.formatter import format_program
from mbuzz.server.attribution.dsl.json_form import from_json
from mbuzz.server.attribution.dsl.parser import parse
from mbuzz.server.attribution.models import MODEL_LABELS
from mbuzz.server.attribution.trained import WORTHS
from mbuzz.server.conversion_settings import read_lookback
from mbuzz.server.model_definitions import (
    BUILT_IN,
    CUSTOM,
    JOURNEYS,
    MARKOV,
    SHAPLEY,
    TIME_DECAY,
    Definition,
    Models,
)

MOST_OWN: Final = 20  # each has credits for every conversion
_LONGEST_NAME: Final = 100
_LONGEST_KEY: Final = 60
_TAKEN: Final = (CUSTOM, "preview")  # a base, and a path beside those of models
_MOST_HALF_LIFE: Final = 365  # days
_HIGHEST_ORDER: Final = 4

# Names of a body, in the words of the API, beside `name`.
FIELDS: Final = (
    *("name", "base", "program", "ast", "lookback_days", "exclude_direct"),
    *("half_life_days", "order", "worth", "active"),
)


class ModelRefusedError(ValueError):
    """A model cannot be as it was asked for; `errors` has a sentence for each why."""

    def __init__(self, *errors: str, program: ProgramError | None = None) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors
        self.program = program


def defined(body: Mapping[str, object], known: Models) -> Definition:
    """Return the new model that *body* describes.

    Raises:
        ModelRefusedError: If it describes none, or there are enough.
    """
    own = [one for one in known.definitions.values() if one.own]
    if len(own) >= MOST_OWN:
        raise ModelRefusedError(
            f"there are {MOST_OWN} models of your own already; delete one first"
        )
    asked = described(body)
    if "name" not in body and asked.base != CUSTOM:
        raise ModelRefusedError("name is required; a program has one, others do not")
    return replace(asked, key=_key(asked.name, known))


def described(body: Mapping[str, object]) -> Definition:
    """Return the model that *body* describes; without a name it has its program's.

    Raises:
        ModelRefusedError: If it describes none.
    """
    base = body.get("base", CUSTOM if _has_program(body) else None)
    if base not in (*BUILT_IN, CUSTOM):
        raise ModelRefusedError(
            "give a program, or as base one of "
            f"{', '.join(BUILT_IN)}; got {_shown(base)}"
        )
    name = MODEL_LABELS.get(str(base), "")
    asked = _applied(Definition(key=CUSTOM, name=name, base=str(base)), body)
    if asked.program is not None and not asked.name:
        return replace(asked, name=_name(parse(asked.program).name))
    return asked


def changed(definition: Definition, body: Mapping[str, object]) -> Definition:
    """Return *definition* as *body* wants it, of the next version if that differs.

    Raises:
        ModelRefusedError: If it cannot be so.
    """
    if not definition.own:
        return _switched(definition, body)
    if "base" in body and body["base"] != definition.base:
        raise ModelRefusedError(
            f"base cannot be changed, it is {definition.base}; make another model"
        )
    asked = _applied(definition, body)
    if asked.gives_as(definition):
        return asked
    return replace(asked, version=definition.version + 1)


def _switched(definition: Definition, body: Mapping[str, object]) -> Definition:
    """Return a model that everybody knows switched on or off: it is what it is."""
    if set(body) - {"active"} or not body:
        raise ModelRefusedError(
            f"{definition.key} means the same for everybody and can only be switched "
            'off or on, with {"active": false}; make a model of your own on its base'
        )
    asked = _applied(definition, body)
    if definition.key == JOURNEYS and not asked.active:
        raise ModelRefusedError(
            f"{JOURNEYS} cannot be switched off: journeys are remembered by its credits"
        )
    return asked


def _has_program(body: Mapping[str, object]) -> bool:
    return "program" in body or "ast" in body


def _applied(definition: Definition, body: Mapping[str, object]) -> Definition:
    errors = [
        f"{name[:60]} is not known here; a model has {', '.join(FIELDS)}"
        for name in body
        if name not in FIELDS
    ]
    values: dict[str, Any] = {}
    for name, read in _READERS.items():
        if name in body:
            try:
                values[name] = read(body[name])
            except ValueError as error:
                errors.append(str(error))
    errors += [
        f"{name} is only for models on the base {' or '.join(bases)}"
        for name, bases in _ONLY_FOR.items()
        if name in body and definition.base not in bases
    ]
    if definition.base == CUSTOM and "lookback_days" in body:
        errors.append("lookback_days: a program says that itself, `lookback 30 days`")
    if definition.base == CUSTOM and "exclude_direct" in body:
        errors.append(
            'exclude_direct: a program says that itself, `exclude channel("direct")`'
        )
    if definition.base == CUSTOM and (_has_program(body) or not definition.program):
        try:
            values["program"] = _program(body)
        except ProgramError as error:
            raise ModelRefusedError(str(error), program=error) from None
        except ValueError as error:
            errors.append(str(error))
    if errors:
        raise ModelRefusedError(*errors)
    return replace(definition, **values)


def _program(body: Mapping[str, object]) -> str:
    """Return the program of *body*, text or tree, in its canonical form.

    Raises:
        ProgramError: If there is an error in it.
        ValueError: If there is none, or two.
    """
    if ("program" in body) == ("ast" in body):
        raise ValueError("give either program, a text, or ast, its tree")
    if "ast" in body:
        return format_program(from_json(body["ast"]))
    return format_program(parse(_source(body["program"])))


def _source(given: object) -> str:
    if isinstance(given, str):
        return given
    raise ValueError(f"program must be a text, got {_shown(given)}")


def _key(name: str, known: Models) -> str:
    """Return what a model of that name is called by programs; no other is."""
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    stem = words[:_LONGEST_KEY].strip("_") or "model"
    key, number = stem, 1
    while key in known.definitions or key in _TAKEN:
        number += 1
        key = f"{stem}_{number}"
    return key


# -- the fields --


def _name(given: object) -> str:
    name = given.strip() if isinstance(given, str) else ""
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ValueError(
            f"name must have 1 to {_LONGEST_NAME} printable characters, "
            f"got {_shown(given)}"
        )
    return name


def _lookback(given: object) -> int | None:
    return None if given is None else read_lookback(given)


def _flag(name: str) -> Callable[[object], bool]:
    def read(given: object) -> bool:
        if isinstance(given, bool):
            return given
        raise ValueError(f"{name} must be true or false, got {_shown(given)}")

    return read


def _half_life(given: object) -> float:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not 0 < given <= _MOST_HALF_LIFE:  # type: ignore[operator]
        raise ValueError(
            f"half_life_days must be more than 0 and at most {_MOST_HALF_LIFE}, "
            f"got {_shown(given)}"
        )
    return float(given)  # type: ignore[arg-type]


def _order(given: object) -> int:
    is_whole = isinstance(given, int) and not isinstance(given, bool)
    if not is_whole or not 1 <= given <= _HIGHEST_ORDER:  # type: ignore[operator]
        raise ValueError(f"order must be 1 to {_HIGHEST_ORDER}, got {_shown(given)}")
    return given  # type: ignore[return-value]


def _worth(given: object) -> str:
    if given not in WORTHS:
        raise ValueError(
            f"worth must be one of {', '.join(WORTHS)}, got {_shown(given)}"
        )
    return str(given)


def _shown(given: object) -> str:
    return repr(given)[:80]


_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "name": _name,
    "active": _flag("active"),
    "lookback_days": _lookback,
    "exclude_direct": _flag("exclude_direct"),
    "half_life_days": _half_life,
    "order": _order,
    "worth": _worth,
}
_ONLY_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "half_life_days": (TIME_DECAY,),
    "order": (MARKOV,),
    "worth": (SHAPLEY,),
    "program": (CUSTOM,),
    "ast": (CUSTOM,),
}
