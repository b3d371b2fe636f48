"""What delivery costs and keeps: `python3 -m tests.benchmarks.delivery [row ...]`.

Each figure stands beside its floor, measured in turns with it in the same run, and is
judged by the ratio. The server is another process and only answers.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence

from tests.benchmarks import calls, cold, memory, outage
from tests.benchmarks.figures import HEAD, Figure, failed, quiet

ROWS: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "import": lambda options: cold.import_row(options.starts),
    "track": lambda options: calls.track_row(options.calls, options.rounds),
    "throughput": lambda options: calls.throughput_row(
        options.calls * 3, options.rounds
    ),
    "memory": lambda _: memory.queued_row(),
    "bounded": lambda options: memory.bounded_row(options.offered, options.modes),
    "durable": lambda options: calls.durable_row(options.calls, options.rounds),
    "outage": lambda options: outage.outage_row(
        options.outage_seconds, options.modes, options.parallel
    ),
    "exit": lambda options: cold.exit_row(),
}
ELSEWHERE = """
Shown by tests, not measured here:
  48 kinds of bad input      tests/test_serialization.py
  life cycles of a process   tests/delivery/test_process_exit.py, test_forks.py,
                             test_hosts.py, test_reentrancy.py"""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.benchmarks.delivery", description=__doc__
    )
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; all of them")
    parser.add_argument("--json", action="store_true", help="one JSON list, no table")
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5, help="the middle one counts")
    parser.add_argument("--starts", type=int, default=40, help="processes of a kind")
    parser.add_argument("--offered", type=int, default=1_000_000, help="to `bounded`")
    parser.add_argument("--outage-seconds", type=float, default=20.0)
    parser.add_argument("--modes", nargs="*", help="of the fault server; all of them")
    parser.add_argument("--parallel", type=int, default=6, help="outages at a time")
    options = parser.parse_args(arguments)
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no row is called {unknown[0]!r}; there are {', '.join(ROWS)}")
    options.calls -= options.calls % calls.BURST
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the rows that were asked for, and print each as soon as it is known."""
    for name in [name for name in os.environ if name.startswith("MBUZZ_")]:
        del os.environ[name]
    options = _options(arguments)
    quiet()
    records: list[object] = []
    if not options.json:
        print(HEAD)
    for name in options.rows or ROWS:
        try:
            figures = ROWS[name](options)
        except Exception as error:  # the other rows are still worth having
            figures = [failed(name, name, f"{type(error).__name__}: {error}")]
        records += [figure.record() for figure in figures]
        if not options.json:
            print("\n".join(figure.line() for figure in figures), flush=True)
    print(json.dumps(records, indent=1) if options.json else ELSEWHERE)


if __name__ == "__main__":
    main()
