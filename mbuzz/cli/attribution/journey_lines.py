"""A line of JSON as a journey: what it must say, and what is wrong if it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeGuard

from mbuzz.cli.attribution.line_values import (
    Channels,
    LineError,
    check_name,
    millionths,
    shown,
)

KEYS: Final = frozenset(
    "id touches converted_at revenue mql_at sql_at milestones".split()
)
_MILESTONES: Final = (("mql", "mql_at"), ("sql", "sql_at"))
_YEAR_3000: Final = 32_503_680_000  # Unix time
_SCALARS: Final = frozenset({int, float})
_NONE: Final = frozenset[str]()


class JourneyLine(NamedTuple):
    """A journey as its line has it: touches in the order given, times in milliseconds.

    `revenue` is in millionths of the currency unit. `unknown` are keys that mean
    nothing here.
    """

    id: str | None
    channels: Sequence[str]
    times_ms: Sequence[int]
    converted_at_ms: int | None
    revenue: int | None
    milestones: Mapping[str, int]
    unknown: frozenset[str]


def parse(line: str, channels: Channels) -> JourneyLine:
    """Return the journey that a line describes.

    Raises:
        LineError: If it does not describe one.
    """
    said = _object(line)
    touches = said.get("touches")
    if not isinstance(touches, list):
        raise LineError(
            'touches must be a list such as [["email", 1780272000]], '
            f"got {_given(said, 'touches')}"
        )
    names, times_ms = _touches(touches, channels)
    converted_at_ms = _optional_time(said, "converted_at")
    amount = said.get("revenue")
    revenue = None if amount is None else millionths(amount, "revenue")
    if revenue and converted_at_ms is None:
        raise LineError(
            f"there is revenue of {shown(amount)} but no converted_at; "
            "say when the journey converted, or leave the revenue out"
        )
    return JourneyLine(
        _id(said.get("id")),
        names,
        times_ms,
        converted_at_ms,
        revenue if converted_at_ms is not None else None,
        _milestones(said),
        _NONE if said.keys() <= KEYS else frozenset(said.keys() - KEYS),
    )


def _object(line: str) -> dict[str, Any]:
    try:
        said = _DECODER.decode(line)
    except RecursionError:
        raise LineError("this is nested too deeply to be a journey") from None
    except json.JSONDecodeError as error:
        raise LineError(
            f"this is not JSON ({error.msg}, column {error.colno}): {shown(line)}; "
            "each line must be one journey"
        ) from None
    except LineError:
        raise
    except ValueError:  # Python does not read thousands of digits
        raise LineError("a number has too many digits") from None
    if not isinstance(said, dict):
        raise LineError(
            f"a journey must be an object, got {shown(said)}; each line must be one "
            'such as {"id": 1, "touches": [["email", 1780272000]]}'
        )
    return said


def _no_number(name: str) -> NoReturn:
    raise LineError(f"{name} is not a number that can be used; give null for none")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)


def _touches(
    touches: Sequence[Any], channels: Channels
) -> tuple[Sequence[str], Sequence[int]]:
    try:
        names = [channels[name] for name, _ in touches]
        times = [at for _, at in touches]
    except (TypeError, ValueError) as error:
        if isinstance(error, LineError):
            raise
        raise LineError(_wrong_touch(touches)) from None
    if not _SCALARS.issuperset(map(type, times)) or (
        times and not -_YEAR_3000 <= min(times) <= max(times) <= _YEAR_3000
    ):
        raise LineError(_wrong_touch(touches))
    return names, [round(at * 1000) for at in times]


def _wrong_touch(touches: Sequence[Any]) -> str:
    """Return what is wrong with the first of *touches* that is none."""
    for number, touch in enumerate(touches, 1):
        if not isinstance(touch, list) or len(touch) != 2:
            what = f"touch {number} must be a channel and a time"
            return f'{what}, such as ["email", 1780272000], got {shown(touch)}'
        channel, at = touch
        if not isinstance(channel, str):
            return f"a channel must be text, got {shown(channel)}"
        if not _is_time(at):
            return _no_time(f"the time of touch {number}", at)
    raise AssertionError  # for type checkers: one of them is wrong


def _time(value: object, what: str) -> int:
    if not _is_time(value):
        raise LineError(_no_time(what, value))
    return round(value * 1000)


def _is_time(value: object) -> TypeGuard[float]:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_YEAR_3000 <= value <= _YEAR_3000
    )


def _no_time(what: str, value: object) -> str:
    start = f"{what} must be in seconds since 1970, such as 1780272000, "
    if type(value) in _SCALARS:
        return (
            f"{start}got {shown(value)}, which no calendar has; "
            "divide milliseconds by 1000"
        )
    return f"{start}got {shown(value)}; times are numbers"


def _optional_time(said: Mapping[str, Any], key: str) -> int | None:
    return None if (value := said.get(key)) is None else _time(value, key)


def _milestones(said: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the milestones with a time, by name: ``mql_at`` is that of "mql"."""
    named = said.get("milestones")
    times = {} if named is None else _named_times(named)
    for name, key in _MILESTONES:
        at_ms = _optional_time(said, key)
        if at_ms is not None and times.setdefault(name, at_ms) != at_ms:
            raise LineError(
                f"{key} and milestones say two times of {name}; leave one out"
            )
    return times


def _named_times(named: object) -> dict[str, int]:
    if not isinstance(named, dict):
        raise LineError(
            'milestones must be an object such as {"trial": 1780272000}, '
            f"got {shown(named)}"
        )
    return {
        name: _time(value, f"milestone {shown(name)}")
        for name, value in named.items()
        if value is not None
    }


def _id(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        check_name(value, "id")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise LineError(f"id must be text or a whole number, got {shown(value)}")


def _given(said: Mapping[str, Any], key: str) -> str:
    return shown(said[key]) if key in said else "none"
