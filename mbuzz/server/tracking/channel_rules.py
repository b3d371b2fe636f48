"""Channel rules of an account: ordered conditions that come before the table.

Pure, and bounded in everything that an account can choose: there are no regular
expressions, only ``*`` for any text, so that no rule can be slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

MAX_RULES: Final = 100
MAX_CONDITIONS: Final = 10  # of a rule
MAX_VALUE: Final = 255  # characters
MAX_STARS: Final = 8  # of a pattern

FIELDS: Final = (
    "source",
    "medium",
    "campaign",
    "content",
    "term",
    "id",
    "referrer_host",
    "landing_path",
    "click_id",
)
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{1,31}")
_RESERVED: Final = frozenset({"unattributed"})  # a row of the reports
_UNARY: Final = frozenset({"is_set", "is_empty"})

# What a visit says, in lower case: every field has no value, one, or several.
Facts = Mapping[str, Sequence[str]]


class Condition(NamedTuple):
    """What one field must be like."""

    field: str
    operator: str
    value: str = ""


class ChannelRule(NamedTuple):
    """Visits that meet all conditions are of the channel."""

    channel: str
    conditions: tuple[Condition, ...]


def _matches(value: str, pattern: str) -> bool:
    """Tell whether *value* is *pattern*, in which ``*`` stands for any text."""
    begin, *middle = pattern.split("*")
    if not middle:
        return value == begin
    end = middle.pop()
    if len(value) < len(begin) + len(end):
        return False
    if not (value.startswith(begin) and value.endswith(end)):
        return False
    at, last = len(begin), len(value) - len(end)
    for part in middle:  # the first place that fits leaves most room for the others
        found = value.find(part, at, last)
        if found < 0:
            return False
        at = found + len(part)
    return True


_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = MappingProxyType(
    {
        "is": lambda value, given: value == given,
        "contains": lambda value, given: given in value,
        "starts_with": lambda value, given: value.startswith(given),
        "ends_with": lambda value, given: value.endswith(given),
        "matches": _matches,
    }
)
OPERATORS: Final = (*_TESTS, "is_not", *sorted(_UNARY))


def find_rule(rules: Sequence[ChannelRule], facts: Facts) -> int | None:
    """Return the index of the first rule that a visit meets; None if of none."""
    for index, rule in enumerate(rules):
        if all(_holds(condition, facts) for condition in rule.conditions):
            return index
    return None


def _holds(condition: Condition, facts: Facts) -> bool:
    values = facts[condition.field]
    match condition.operator:
        case "is_set":
            return bool(values)
        case "is_empty":
            return not values
        case "is_not":
            return condition.value not in values
        case operator:
            test = _TESTS[operator]
            return any(test(value, condition.value) for value in values)


# -- from JSON --


def parse_rules(given: object) -> tuple[ChannelRule, ...]:
    """Return the rules that a JSON value is.

    Raises:
        ValueError: If it is none; the text says which rule, and what is wrong.
    """
    if not isinstance(given, list) or len(given) > MAX_RULES:
        raise ValueError(f"channel_rules must be a list of at most {MAX_RULES} rules")
    return tuple(_rule(one, number) for number, one in enumerate(given, 1))


def _rule(given: object, number: int) -> ChannelRule:
    if not isinstance(given, dict) or set(given) != {"channel", "when"}:
        raise ValueError(f'rule {number} must be {{"channel": KEY, "when": [...]}}')
    channel, when = given["channel"], given["when"]
    if not is_channel_key(channel):
        raise ValueError(
            f"rule {number}: a channel is 2 to 32 letters a-z, digits or _ and begins "
            f"with a letter, got {channel!r}"
        )
    if not isinstance(when, list) or not 1 <= len(when) <= MAX_CONDITIONS:
        raise ValueError(
            f"rule {number}: when must be a list of 1 to {MAX_CONDITIONS} conditions"
        )
    return ChannelRule(channel, tuple(_condition(one, number) for one in when))


def is_channel_key(given: object) -> bool:
    """Tell whether *given* can be the key of a channel."""
    return (
        isinstance(given, str)
        and _KEY.fullmatch(given) is not None
        and given not in _RESERVED
    )


def _condition(given: object, number: int) -> Condition:
    where = f"rule {number}:"
    if not isinstance(given, dict) or not {"field", "operator"} <= set(given) <= {
        "field",
        "operator",
        "value",
    }:
        raise ValueError(
            f'{where} a condition is {{"field": ..., "operator": ..., "value": ...}}'
        )
    field, operator = given["field"], given["operator"]
    if field not in FIELDS:
        raise ValueError(f"{where} field must be one of {', '.join(FIELDS)}")
    if operator not in OPERATORS:
        raise ValueError(f"{where} operator must be one of {', '.join(OPERATORS)}")
    if operator in _UNARY:
        if given.get("value"):
            raise ValueError(f"{where} {operator} takes no value")
        return Condition(field, operator)
    value = given.get("value")
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_VALUE:
        raise ValueError(
            f"{where} value must be text of 1 to {MAX_VALUE} characters, got {value!r}"
        )
    if operator == "matches" and value.count("*") > MAX_STARS:
        raise ValueError(f"{where} a pattern may have {MAX_STARS} stars")
    return Condition(field, operator, value.lower())
