"""What the commands share: arguments, tables, a progress bar, and the API's answers."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

from mbuzz import __version__
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.config import Config
from mbuzz.errors import ConfigurationError, MbuzzError


class CliError(MbuzzError):
    """A command cannot go on; the text says what is wrong and what to do."""


def add_api_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a command talk to a backend."""
    parser.add_argument(
        "--api-key", help="key of the account (default: $MBUZZ_API_KEY)", metavar="KEY"
    )
    parser.add_argument(
        "--api-url",
        help="address of the backend (default: $MBUZZ_API_URL)",
        metavar="URL",
    )


def call_api(args: argparse.Namespace, path: str, accept: str) -> bytes:
    """Return the backend's answer to a GET.

    Raises:
        CliError: If it cannot be reached or refuses; the text is the server's own.
        ConfigurationError: If key or address cannot work.
    """
    from mbuzz.delivery.http_transport import HttpTransport
    from mbuzz.delivery.transport import TransportError

    options = {"api_key": args.api_key, "api_url": args.api_url}
    if not (args.api_key or os.environ.get("MBUZZ_API_KEY")):
        raise ConfigurationError(
            "no API key was given; pass --api-key or set MBUZZ_API_KEY "
            "(`mbuzz keys create` makes one)"
        )
    config = Config.load(options)
    transport = HttpTransport(
        config.api_url,
        SYSTEM_CLOCK,
        connect_timeout=config.connect_timeout,
        ca_bundle=config.ca_bundle,
    )
    headers = {
        "Authorization": f"Bearer {config.api_key}",
        "Accept": accept,
        "User-Agent": f"mbuzz-python/{__version__}",
    }
    try:
        answer = transport.request("GET", path, None, headers, config.timeout)
    except TransportError as error:
        raise CliError(
            f"cannot reach {config.api_url} ({error}); "
            "check --api-url, and that `mbuzz serve` runs there"
        ) from None
    finally:
        transport.close()
    if answer.status != 200:
        raise CliError(_refusal(config.api_url, answer.status, answer.body))
    return answer.body


def _refusal(url: str, status: int, body: bytes) -> str:
    try:
        said = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"{url} answered {status}; is it the address of an mbuzz backend?"
    return f"{said} (HTTP {status})"


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    foot: bool = False,
    words: bool = False,
) -> str:
    """Return an aligned text table: first column left, the others, numbers, right.

    With *foot* the last row is set off, as a line of totals is; with *words* all
    columns are text, and left.
    """
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    rule = "  ".join("-" * width for width in widths)

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        align = str.ljust if words else str.rjust
        cells = [first[0].ljust(first[1]), *(align(cell, w) for cell, w in others)]
        return "  ".join(cells).rstrip()

    lines = [line(heads), rule, *(line(row) for row in rows)]
    if foot:
        lines.insert(-1, rule)
    return "\n".join(lines)


class Progress:
    """A bar on a terminal; elsewhere a line at every quarter."""

    def __init__(self, label: str, total: int, out: TextIO | None = None) -> None:
        self._label = label
        self._total = max(total, 1)
        self._out = out or sys.stderr
        self._done = 0
        self._terminal = self._out.isatty()

    def step(self) -> None:
        """Note that one more is done."""
        self._done += 1
        if self._terminal:
            self._draw()
        elif self._done * 4 // self._total > (self._done - 1) * 4 // self._total:
            print(f"{self._label}: {self._done}/{self._total}", file=self._out)

    def _draw(self) -> None:
        columns = shutil.get_terminal_size().columns
        count = f" {self._done}/{self._total}"
        room = max(10, min(40, columns - len(self._label) - len(count) - 4))
        full = room * self._done // self._total
        bar = "#" * full + "." * (room - full)
        print(f"\r{self._label} [{bar}]{count}", end="", file=self._out, flush=True)

    def finish(self) -> None:
        """End the bar's line."""
        if self._terminal:
            print(file=self._out)
