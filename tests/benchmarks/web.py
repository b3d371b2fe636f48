"""What the middleware adds to a request: `python3 -m tests.benchmarks.web [row ...]`.

Each figure is the difference to the same application without mbuzz, both measured by
turns in one run. The backend is another process; `waits` compares with posting each
page view and with joining its answer for 50 ms, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tests.benchmarks import rows, web_cpu, web_waits

ROWS: rows.Rows = {
    "cpu": lambda options: web_cpu.cpu_row(options.calls, options.rounds),
    "waits": lambda options: web_waits.waits_row(options.seconds, options.turns),
    "asgi": lambda options: web_waits.asgi_row(options.seconds * 2, options.turns),
    "sids": lambda options: web_waits.sids_row(options.visitors),
}
_USUAL = {"calls": 400, "rounds": 12, "seconds": 0.3, "turns": 5, "visitors": 60}
_QUICK = {"calls": 300, "rounds": 5, "seconds": 0.3, "turns": 2, "visitors": 30}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = rows.parser("web", __doc__, ROWS)
    parser.add_argument("--quick", action="store_true", help="a minute, rougher")
    parser.add_argument(
        "--profile", action="store_true", help="where a request's time goes; no table"
    )
    parser.add_argument("--calls", type=int, help="requests of a kind in a round")
    parser.add_argument("--rounds", type=int, help="of `cpu`; the least counts")
    parser.add_argument("--seconds", type=float, help="of load in a turn")
    parser.add_argument("--turns", type=int, help="with and without, each")
    parser.add_argument("--visitors", type=int, help="of `sids`")
    options = rows.parsed(parser, ROWS, arguments)
    for name, value in (_QUICK if options.quick else _USUAL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the rows that were asked for, and print each as soon as it is known."""
    options = _options(arguments)
    rows.isolate()
    if options.profile:
        print(web_cpu.profile(options.calls))
    else:
        rows.measure(ROWS, options)


if __name__ == "__main__":
    main()
