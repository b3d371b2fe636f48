"""`mbuzz classify`: where a visit would be counted, and why."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mbuzz.cli.console import CliError
from mbuzz.cli.database import chosen, opened

if TYPE_CHECKING:
    from mbuzz.server.policy import Policy
    from mbuzz.server.tracking.explain import Explanation

_KEYS = ("url", "referrer", "host")
_MAX_LINE = 1_000_000  # characters


class _CaseError(ValueError):
    """A line is no case; the text says why."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "classify",
        help="explain which channel a visit is of",
        description="Say which channel a visit is of, by which rule, and why. With "
        "--database the account's own rules and hosts count.",
    )
    parser.add_argument("--url", help="the address that was visited")
    parser.add_argument("--referrer", help="the address the visitor came from")
    parser.add_argument("--host", help="the site, where the URL has no host")
    parser.add_argument(
        "--jsonl",
        metavar="FILE",
        nargs="?",
        const="-",
        help="a file of cases, one JSON object a line with url, referrer and host; "
        "- or nothing is the standard input",
    )
    parser.add_argument("--json", action="store_true", help="answer with JSON")
    parser.add_argument(
        "--database",
        metavar="FILE",
        help="the backend's SQLite file, for an account's own rules (default: none)",
    )
    parser.add_argument(
        "--account",
        metavar="NAME",
        help="name or id of the account (default: the only one)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain one visit, or a file of them."""
    single = any(getattr(args, key) is not None for key in _KEYS)
    if args.jsonl is not None and single:
        raise CliError("give either --jsonl or --url, --referrer and --host, not both")
    if args.jsonl is None and args.url is None and args.referrer is None:
        raise CliError("give --url, --referrer or both, or a file with --jsonl")
    policy = _policy(args)
    if args.jsonl is not None:
        with _opened(args.jsonl) as lines:
            return _file(lines, policy)
    from mbuzz.server.tracking.explain import explain

    found = explain(args.url, args.referrer, host=args.host, policy=policy)
    print(json.dumps(_body(found)) if args.json else _text(found))
    return 0


def _policy(args: argparse.Namespace) -> Policy:
    from mbuzz.server.policy import DEFAULT

    if args.database is None:
        if args.account is not None:
            raise CliError("--account needs --database, the file it is in")
        return DEFAULT
    with opened(args) as storage:
        return chosen(storage, args).policy


def _opened(name: str) -> AbstractContextManager[TextIO]:
    if name == "-":
        return nullcontext(sys.stdin)
    try:
        return Path(name).open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CliError(f"cannot read {name}: {error.strerror or error}") from None


def _file(lines: TextIO, policy: Policy) -> int:
    """Explain every line; what is no case is said at its place, and at the end."""
    from mbuzz.server.tracking.explain import explain

    wrong = 0
    number = 0
    while line := lines.readline(_MAX_LINE + 1):
        number += 1
        if not line.strip("\ufeff \t\r\n"):
            continue
        try:
            case = _case(line)
        except _CaseError as error:
            wrong += 1
            print(f"mbuzz classify: line {number}: {error}", file=sys.stderr)
            while line and not line.endswith("\n"):
                line = lines.readline(_MAX_LINE)
            continue
        found = explain(case["url"], case["referrer"], host=case["host"], policy=policy)
        print(json.dumps(_body(found)))
    return 1 if wrong else 0


def _case(line: str) -> dict[str, str | None]:
    """Return url, referrer and host of a line.

    Raises:
        _CaseError: With what is wrong with it.
    """
    if len(line) > _MAX_LINE:
        raise _CaseError(f"it is longer than {_MAX_LINE} characters")
    try:
        given = json.loads(line.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        raise _CaseError("it is not JSON") from None
    if not isinstance(given, dict):
        raise _CaseError("it must be an object with url, referrer and host")
    if given and not any(key in given for key in _KEYS):
        raise _CaseError("it has none of url, referrer and host")
    for key in _KEYS:
        if not isinstance(given.get(key), str | None):
            raise _CaseError(f"{key} must be text or null, got {given[key]!r}")
    return {key: given.get(key) for key in _KEYS}


def _body(found: Explanation) -> dict[str, object]:
    return {
        "channel": found.landing.channel,
        "utm": dict(found.landing.utm),
        "rule": found.rule,
        "why": found.why,
    }


def _text(found: Explanation) -> str:
    from mbuzz.server.model import channel_label

    landing = found.landing
    lines = [
        ("channel", f"{landing.channel} ({channel_label(landing.channel)})"),
        ("rule", found.rule),
        ("source", landing.source or "-"),
        ("medium", landing.medium or "-"),
        *landing.utm.items(),
    ]
    if landing.click_ids:
        lines.append(("click ids", ", ".join(landing.click_ids)))
    if landing.flags:
        lines.append(("flags", ", ".join(sorted(landing.flags))))
    first, *others = found.why.split("; ")
    lines += [("why", first), *(("", one) for one in others)]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}} {value}" for name, value in lines)
