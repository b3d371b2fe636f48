"""A table of rows: what the command line asks of it, and how it is measured."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence

from tests.benchmarks.figures import HEAD, Figure, failed, quiet

Rows = Mapping[str, Callable[[argparse.Namespace], list[Figure]]]


def parser(name: str, about: str | None, rows: Rows) -> argparse.ArgumentParser:
    """Return a parser with the options of every table."""
    made = argparse.ArgumentParser(
        prog=f"python3 -m tests.benchmarks.{name}", description=about
    )
    made.add_argument("rows", nargs="*", help=f"of {', '.join(rows)}; all of them")
    made.add_argument("--json", action="store_true", help="one JSON list, no table")
    return made


def parsed(
    by: argparse.ArgumentParser, rows: Rows, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Return the options, whose rows are all known."""
    options = by.parse_args(arguments)
    unknown = [row for row in options.rows if row not in rows]
    if unknown:
        by.error(f"no row is called {unknown[0]!r}; there are {', '.join(rows)}")
    return options


def isolate() -> None:
    """Let nothing in the environment configure the SDK, nor its log into the table."""
    for name in [name for name in os.environ if name.startswith("MBUZZ_")]:
        del os.environ[name]
    quiet()


def measure(rows: Rows, options: argparse.Namespace) -> None:
    """Measure the rows that were asked for, and print each as soon as it is known."""
    records: list[object] = []
    if not options.json:
        print(HEAD)
    for name in options.rows or rows:
        try:
            figures = rows[name](options)
        except Exception as error:  # the other rows are still worth having
            figures = [failed(name, name, f"{type(error).__name__}: {error}")]
        records += [figure.record() for figure in figures]
        if not options.json:
            print("\n".join(figure.line() for figure in figures), flush=True)
    if options.json:
        print(json.dumps(records, indent=1))
