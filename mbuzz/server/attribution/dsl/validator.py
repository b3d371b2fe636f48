"""What has to hold of a program as a whole, so that every journey gets its credit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from mbuzz.server.attribution.dsl.errors import Place, ProgramError
from mbuzz.server.attribution.dsl.syntax import (
    CreditTo,
    Distribute,
    Equally,
    Selector,
    Statement,
)

Part: TypeAlias = Literal["kind", "selector", "weight", "sharing"]
# Where a part of a statement is, by the statement's index; None is the end.
Locate: TypeAlias = Callable[[int | None, Part], Place]

_WEIGHING: Final = ("weight", "distribute")
# Each of these has a touch in every journey.
_COVERING: Final = (
    *(Selector(name=name) for name in ("first_touch", "last_touch")),
    *(Selector(name=name) for name in ("all_touches", "other_touches")),
    *(Selector(name="touch", argument=number) for number in (1, -1)),
)
_LONGEST_SHOWN: Final = 10**12


def check(statements: Sequence[Statement], locate: Locate) -> None:
    """Refuse a program that gives no, too little or too much credit to some journey.

    Raises:
        ProgramError: The first that applies of E505, E502, then E501, E402, E506 where
            credits are given, E503, E507, E502 where weights are.
    """
    kinds = [statement.kind for statement in statements]
    shares = [kind for kind in kinds if kind == "credit" or kind in _WEIGHING]
    if not shares:
        raise ProgramError(
            "E505",
            locate(None, "kind"),
            "the model gives nobody credit",
            "add a credit or a distribute statement",
        )
    if "credit" not in kinds:
        _check_weights(statements, kinds, locate)
        return
    foreign = _WEIGHING if shares[0] == "credit" else ("credit",)
    for index, kind in enumerate(kinds):
        if kind in foreign:
            raise _mixed(kind, shares[0], locate(index, "kind"))
    _check_credits(statements, locate)


def _check_credits(statements: Sequence[Statement], locate: Locate) -> None:
    given = {
        index: statement
        for index, statement in enumerate(statements)
        if isinstance(statement, CreditTo)
    }
    seen = set()
    for index, credit in given.items():
        whom = (credit.selector, credit.condition)
        if whom in seen:
            raise ProgramError(
                "E501",
                locate(index, "selector"),
                f"{credit.selector.name} was given a credit already",
                "add the two credits up in one statement",
            )
        seen.add(whom)
    total = sum((credit.weight for credit in given.values()), Fraction())
    if total != 1:
        raise _wrong_sum(total, locate(max(given), "weight"))
    covered = any(
        credit.selector in _COVERING and credit.condition is None
        for credit in given.values()
    )
    if not covered and all(statement.kind != "otherwise" for statement in statements):
        raise ProgramError(
            "E506",
            locate(min(given), "kind"),
            "some journeys have none of these touches",
            "say who gets the credit then, such as: otherwise last_touch",
        )


def _check_weights(
    statements: Sequence[Statement], kinds: Sequence[str], locate: Locate
) -> None:
    if "distribute" not in kinds:
        raise ProgramError(
            "E503",
            locate(None, "kind"),
            "the weights are not distributed",
            "add a line: distribute proportionally",
        )
    for index, statement in enumerate(statements):
        if (
            isinstance(statement, Distribute)
            and isinstance(statement.sharing, Equally)
            and "weight" in kinds
        ):
            raise ProgramError(
                "E507",
                locate(index, "sharing"),
                "to distribute equally leaves the weights without effect",
                "distribute proportionally, or leave the weights out",
            )
    if "otherwise" in kinds:
        raise _mixed("otherwise", "weight", locate(kinds.index("otherwise"), "kind"))


def _mixed(kind: str, first: str, place: Place) -> ProgramError:
    if kind == "otherwise":
        return ProgramError(
            "E502",
            place,
            "otherwise has no meaning beside distribute, which leaves no journey out",
            "leave it out",
        )
    return ProgramError(
        "E502",
        place,
        f"{kind} cannot be mixed with {first}",
        "a model either gives credits, or weighs and distributes",
    )


def _wrong_sum(total: Fraction, place: Place) -> ProgramError:
    gap = abs(1 - total)
    side = "missing" if total < 1 else "too much"
    hint = f"{_amount(gap)} is {side}"
    return ProgramError("E402", place, f"credits sum to {_amount(total)}, not 1", hint)


def _amount(value: Fraction) -> str:
    """Return a value exactly, and about; only about where exactly is long."""
    about = f"{float(value):.12g}"
    if value.denominator == 1:
        return about
    if value.denominator > _LONGEST_SHOWN:
        return f"about {about}"
    return f"{value} ({about})"
