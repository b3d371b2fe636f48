"""What delivery costs and keeps: `python3 -m tests.benchmarks.delivery [row ...]`.

Each figure stands beside its floor, measured in turns with it in the same run, and is
judged by the ratio. The server is another process and only answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tests.benchmarks import calls, cold, memory, outage, rows

ROWS: rows.Rows = {
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
    parser = rows.parser("delivery", __doc__, ROWS)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5, help="the middle one counts")
    parser.add_argument("--starts", type=int, default=40, help="processes of a kind")
    parser.add_argument("--offered", type=int, default=1_000_000, help="to `bounded`")
    parser.add_argument("--outage-seconds", type=float, default=20.0)
    parser.add_argument("--modes", nargs="*", help="of the fault server; all of them")
    parser.add_argument("--parallel", type=int, default=6, help="outages at a time")
    options = rows.parsed(parser, ROWS, arguments)
    options.calls -= options.calls % calls.BURST
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the rows that were asked for, and print each as soon as it is known."""
    options = _options(arguments)
    rows.isolate()
    rows.measure(ROWS, options)
    if not options.json:
        print(ELSEWHERE)


if __name__ == "__main__":
    main()
