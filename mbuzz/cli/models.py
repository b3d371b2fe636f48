"""`mbuzz models`: check, format and explain programs of custom models."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError, table

if TYPE_CHECKING:
    from mbuzz.server.attribution.dsl.errors import ProgramError

_LONGEST_FRACTION = 1000  # the largest denominator that says more than a decimal


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "models",
        help="check, format and explain custom attribution models",
        description="Work on programs of custom attribution models, without a "
        "database or a backend.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="say whether a program is valid")
    check.add_argument("--json", action="store_true", help="answer with JSON")
    form = actions.add_parser("format", help="print a program as all are written")
    how = form.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true", help="change the file itself")
    how.add_argument(
        "--check", action="store_true", help="only say, by exit code 1, if it differs"
    )
    explain = actions.add_parser("explain", help="say in plain English what it does")
    for action, run in ((check, run_check), (form, run_format), (explain, run_explain)):
        action.add_argument(
            "file", metavar="FILE", help="the program; - is the standard input"
        )
        action.set_defaults(run=run)


def run_check(args: argparse.Namespace) -> int:
    """Say whether a program is valid, and if not, where and why."""
    from mbuzz.server.attribution.dsl.errors import ProgramError
    from mbuzz.server.attribution.dsl.formatter import canonical
    from mbuzz.server.attribution.dsl.parser import parse

    try:
        program = parse(read_source(args.file))
        text = canonical(program)
    except ProgramError as error:
        if not args.json:
            return _refused(error)
        others = [_body(one) for one in error.others]
        print(json.dumps({"ok": False, **_body(error), "others": others}))
        return 1
    if args.json:
        print(json.dumps({"ok": True, "canonical": text}))
    else:
        count = len(program.lines)
        print(f"{program.name!r} is valid ({count} statement{'s' * (count != 1)})")
    return 0


def run_format(args: argparse.Namespace) -> int:
    """Print a program as it should be written, or put that into its file."""
    from mbuzz.server.attribution.dsl.errors import ProgramError
    from mbuzz.server.attribution.dsl.formatter import format_program
    from mbuzz.server.attribution.dsl.parser import parse

    if args.write and args.file == "-":
        raise CliError("--write needs a file, and - is the standard input")
    try:
        source = read_source(args.file)
        text = format_program(parse(source))
    except ProgramError as error:
        return _refused(error)
    if args.check:
        if text != source:
            print(f"{args.file} would be written differently", file=sys.stderr)
        return int(text != source)
    if not args.write:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())  # as the file is, whatever the terminal
    elif text != source:
        _replace(Path(args.file), text)
    return 0


def run_explain(args: argparse.Namespace) -> int:
    """Say what a program does, and what that gives to whom."""
    from mbuzz.server.attribution.dsl.errors import ProgramError, printable
    from mbuzz.server.attribution.dsl.explanation import effective_weights, explain
    from mbuzz.server.attribution.dsl.parser import parse

    try:
        program = parse(read_source(args.file))
    except ProgramError as error:
        return _refused(error)
    print(printable(program.name))
    for sentence in explain(program):
        print(f"- {printable(sentence)}")
    print(
        "\nShares of one, two and three touches that count: a day between them, the\n"
        "last at the conversion, no milestones, on channels it does not name.\n"
    )
    rows = effective_weights(program)
    longest = len(rows[-1])
    cells = [
        [str(len(row)), *map(_share, row), *[""] * (longest - len(row))] for row in rows
    ]
    print(table(["touches", *(f"touch {n + 1}" for n in range(longest))], cells))
    return 0


def read_source(name: str) -> str:
    """Return a program's text, of which no more is read than one may have."""
    from mbuzz.server.attribution.dsl.bounds import SOURCE_BYTES, too_large

    try:
        if name == "-":
            read = sys.stdin.buffer.read(SOURCE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                read = file.read(SOURCE_BYTES + 1)
    except OSError as error:
        raise CliError(f"cannot read {name}: {error.strerror or error}") from None
    if len(read) > SOURCE_BYTES:
        raise too_large()
    try:
        return read.decode()
    except UnicodeDecodeError as error:
        raise CliError(
            f"cannot read {name}: byte {error.start + 1} is not UTF-8; save it as UTF-8"
        ) from None


def _refused(error: ProgramError) -> int:
    """Print all that is wrong, the first first."""
    print("\n\n".join(one.render() for one in (error, *error.others)), file=sys.stderr)
    return 1


def _body(error: ProgramError) -> dict[str, object]:
    return {
        "code": error.code,
        "line": error.line,
        "column": error.column,
        "message": error.message,
        "hint": error.hint,
    }


def _share(share: Fraction) -> str:
    exact = share.denominator <= _LONGEST_FRACTION
    return str(share) if exact else f"{float(share):.4f}"


def _replace(path: Path, text: str) -> None:
    """Put a new text into a file at once: whoever reads it sees the old or the new."""
    path = path.resolve()  # a link stays one
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
        new = Path(name)
        new.chmod(path.stat().st_mode)
        new.replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
