"""`mbuzz attribute`: what channels earned, by a file of journeys, with no server."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import TYPE_CHECKING, Final

from mbuzz.cli.console import CliError
from mbuzz.cli.models import read_source
from mbuzz.errors import ConfigurationError

if TYPE_CHECKING:
    from mbuzz.cli.attribution.chosen_models import Fitted
    from mbuzz.cli.attribution.earnings import Earnings
    from mbuzz.cli.attribution.sample import Sample
    from mbuzz.server.attribution.dsl.syntax import Program

_DAY_MS: Final = 86_400_000
_LOOKBACK_DAYS: Final = 90.0
_HALF_LIFE_DAYS: Final = 7.0
_MOST_DAYS: Final = 36_500
_ORDER: Final = 1
_MOST_NAMED: Final = 10  # unknown keys

_EPILOG = """\
input
  A JSON object a line; only touches must be there, times are seconds since 1970:
    {"id": 1, "touches": [["email", 1780272000], ["direct", 1780358400]],
     "converted_at": 1780358460, "revenue": "99.90",
     "mql_at": 1780272060, "sql_at": null, "milestones": {"trial": 1780272090}}
  Without converted_at nobody converted; models that learn compare with that.
  Or a table (.csv) with the columns path,conversions,value,null:
    email > direct,2,199.80,5
  A table has no times, so that all models but time_decay, w_shaped and z_shaped work.

models
  rules    first_touch last_touch last_non_direct linear time_decay u_shaped
           w_shaped z_shaped
  learned  markov shapley shapley_conversions algorithmic
  yours    custom, with --model-file (`mbuzz models check` explains what is wrong)

examples
  mbuzz attribute journeys.jsonl
  mbuzz attribute journeys.jsonl --model markov --order 2 --json
  mbuzz attribute paths.csv --model linear --model shapley
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "attribute",
        help="attribute a file of journeys, without a server",
        description="Say what each channel earned under one model or several.\n"
        "Nothing but the file is read, and nothing is stored.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="journeys; - is standard input")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="a model, may be repeated; all is every one that needs no file (default)",
    )
    parser.add_argument(
        "--model-file", metavar="FILE", help="the program of your own model"
    )
    parser.add_argument(
        "--lookback",
        metavar="DAYS",
        type=_lookback_ms,
        default=round(_LOOKBACK_DAYS * _DAY_MS),
        help="how long before a conversion touches count, or none for no limit "
        f"(default: {_LOOKBACK_DAYS:g})",
    )
    parser.add_argument(
        "--as-of",
        metavar="TIME",
        type=_moment_ms,
        help="from when back the lookback of journeys without a conversion reaches, a "
        "date or seconds since 1970 (default: all their touches count)",
    )
    parser.add_argument(
        "--exclude-direct",
        action="store_true",
        help="rules see direct touches only where there are no others",
    )
    parser.add_argument(
        "--half-life",
        metavar="DAYS",
        type=_days,
        help=f"of time_decay (default: {_HALF_LIFE_DAYS:g})",
    )
    parser.add_argument(
        "--order",
        type=int,
        choices=range(1, 5),
        help=f"how many channels back markov looks (default: {_ORDER})",
    )
    parser.add_argument(
        "--worth",
        choices=["rate", "conversions"],
        help="what shapley takes a set of channels to be worth: its conversion rate "
        "(default) or its conversions; the latter is called shapley_conversions",
    )
    parser.add_argument(
        "--credits", action="store_true", help="also what each touch got"
    )
    parser.add_argument("--json", action="store_true", help="answer with JSON")
    parser.add_argument(
        "--separator",
        metavar="TEXT",
        default=">",
        help="between the channels of a path in a table (default: >)",
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out lines that cannot be read, and say how many there were",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read the file, apply the models, and print what the channels earned."""
    from mbuzz.cli.attribution import chosen_models, journey_files
    from mbuzz.cli.attribution.earnings import earnings

    names = chosen_models.chosen(
        args.model,
        custom=args.model_file is not None,
        by_conversions=args.worth == "conversions",
    )
    _check(args, names)
    program = _program(args.model_file) if args.model_file else None
    sample = journey_files.read(
        args.file,
        journey_files.Reading(
            lookback_ms=args.lookback,
            as_of_ms=args.as_of,
            separator=args.separator,
            skip_bad=args.skip_bad,
        ),
    )
    fitted, left_out = _fitted(args, names, sample, program)
    found = {name: earnings(sample, one) for name, one in fitted.items()}
    _warn(sample, left_out)
    _print(args, sample, found, left_out)
    return 0


def _check(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuse options that do not fit each other, or none of the models."""
    from mbuzz.cli.attribution.chosen_models import LEARNED, RULES

    if not args.separator.strip():
        raise ConfigurationError("--separator must have a character that is no blank")
    if args.file == args.model_file == "-":
        raise ConfigurationError(
            "- cannot be both journeys and --model-file; put one into a file"
        )
    for option, given, needed in (
        ("--order", args.order, ["markov"]),
        ("--half-life", args.half_life, ["time_decay"]),
        ("--worth", args.worth, ["shapley", "shapley_conversions"]),
        ("--as-of", args.as_of, LEARNED),
        ("--exclude-direct", args.exclude_direct or None, RULES),
    ):
        if given is not None and not {*needed} & {*names}:
            raise ConfigurationError(
                f"{option} changes none of the chosen models; add --model {needed[0]}, "
                f"or leave {option} out"
            )


def _program(name: str) -> Program:
    """Return the program in a file.

    Raises:
        CliError: If it cannot be read, or is none; the text shows where.
    """
    from mbuzz.server.attribution.dsl.errors import ProgramError
    from mbuzz.server.attribution.dsl.parser import parse

    try:
        return parse(read_source(name))
    except ProgramError as error:
        raise CliError(f"{name} is no valid model\n{error.render()}") from None


def _fitted(
    args: argparse.Namespace,
    names: Sequence[str],
    sample: Sample,
    program: Program | None,
) -> tuple[dict[str, Fitted], dict[str, str]]:
    """Return the models by name, and why some are left out, which were not asked for.

    Raises:
        CliError: If one that was asked for cannot be.
    """
    from mbuzz.cli.attribution.chosen_models import (
        CUSTOM,
        CannotFitError,
        Fitter,
        Options,
    )

    options = Options(
        order=args.order or _ORDER,
        half_life_days=args.half_life or _HALF_LIFE_DAYS,
        exclude_direct=args.exclude_direct,
    )
    fitter = Fitter(sample, options, program)
    asked = {*args.model, CUSTOM}
    fitted, left_out = {}, {}
    for name in names:
        try:
            fitted[name] = fitter.fit(name)
        except CannotFitError as error:
            if name in asked:
                raise CliError(f"{name} cannot be computed: {error}") from None
            left_out[name] = str(error)
    return fitted, left_out


def _warn(sample: Sample, left_out: Mapping[str, str]) -> None:
    """Say what of the file and of the models is not in the answer."""
    notes = [f"{name} is left out: {why}" for name, why in left_out.items()]
    if sample.unknown:
        named = [repr(name) for name in sorted(sample.unknown)]
        more = ", ..." if len(named) > _MOST_NAMED else ""
        kind = "keys" if sample.timed else "columns"
        notes.append(f"ignored {kind}: {', '.join(named[:_MOST_NAMED])}{more}")
    if sample.skipped:
        notes.append(f"skipped lines: {sample.skipped}; {sample.first_skipped}")
    for note in notes:
        print(f"mbuzz attribute: {note}", file=sys.stderr)


def _print(
    args: argparse.Namespace,
    sample: Sample,
    found: Mapping[str, Earnings],
    left_out: Mapping[str, str],
) -> None:
    from mbuzz.cli.attribution import json_answer, text_answer

    if args.json:
        json_answer.write(sys.stdout, sample, found, left_out, credits_=args.credits)
        return
    if isinstance(sys.stdout, TextIOWrapper):  # not all can show all names
        sys.stdout.reconfigure(errors="backslashreplace")
    for line in text_answer.lines(sample, found):
        print(line)
    if args.credits:
        for line in text_answer.credit_lines(sample, found):
            print(line)


# -- values of options --


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 < days <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(
            f"must be a number of days, more than 0 and at most {_MOST_DAYS}, "
            f"got {text!r}"
        )
    return days


def _lookback_ms(text: str) -> int:
    return 0 if text == "none" else max(1, round(_days(text) * _DAY_MS))


def _moment_ms(text: str) -> int:
    try:
        return round(float(text) * 1000)
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a date such as 2026-06-30 (UTC), or seconds since 1970, "
            f"got {text!r}"
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
