"""The server's log: lines for people or JSON for programs, never with a secret.

What is logged is a constant sentence with facts in parentheses, ``batch dropped
(events=50, status=503)``; as JSON the facts are fields of their own.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TextIO

_FACTS: Final = re.compile(r"(?s)(.*?) \((\w+=%[^ ]+?(?:, \w+=%[^ ]+?)*)\)")
_NAME: Final = re.compile(r"(\w+)=%")
_KEY: Final = re.compile(r"\b(sk_(?:test|live)_)\w+")
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST: Final = 2_000  # characters of one value
_RESERVED: Final = frozenset({"time", "level", "logger", "event", "failure"})


def configure(
    log_format: str, level: str, stream: TextIO | None = None
) -> Callable[[], None]:
    """Have all under the logger `mbuzz` written to *stream*, or standard error.

    Return what puts everything back.
    """
    logger = logging.getLogger("mbuzz")
    before = logger.level, logger.propagate
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False

    def undo() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]

    return undo


def configure_unless_done(log_format: str, level: str) -> None:
    """Do the same for good, unless the host has set up handlers of its own."""
    if not logging.getLogger("mbuzz").hasHandlers():
        configure(log_format, level)


class _Handler(logging.StreamHandler[TextIO]):
    """Goes on whatever happens to the stream."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Leave it: a line that cannot be written must not cost a request."""


class TextLines(logging.Formatter):
    """``2026-11-20T10:30:00.250Z WARNING mbuzz.server: batch dropped (events=50)``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        text = cleaned(record.getMessage())
        failure = _failure(record)
        return (
            f"{_time(record)} {record.levelname} {record.name}: {text}"
            f"{f' [{failure}]' if failure else ''}"
        )


class JsonLines(logging.Formatter):
    """``{"time": ..., "level": "WARNING", "event": "batch dropped", "events": 50}``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        event, facts = _split(record)
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "event": event,
        }
        for name, value in facts.items():
            line[f"{name}_" if name in _RESERVED else name] = _plain(value)
        if failure := _failure(record):
            line["failure"] = failure
        return json.dumps(line, ensure_ascii=False)


def cleaned(text: str) -> str:
    """Return *text* on one line, cut, with what is left of API keys."""
    text = _KEY.sub(r"\1...", text[:_LONGEST])
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _split(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """Return the constant sentence and the facts by name."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    sentence, names = _shape(str(record.msg))
    if names and len(names) == len(arguments):
        return sentence, dict(zip(names, arguments, strict=True))
    return cleaned(record.getMessage()), {}


@lru_cache(512)
def _shape(template: str) -> tuple[str, tuple[str, ...]]:
    found = _FACTS.fullmatch(template)
    return (found[1], tuple(_NAME.findall(found[2]))) if found else (template, ())


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 3) if abs(value) < float("inf") else str(value)
    return cleaned(str(value))


def _failure(record: logging.LogRecord) -> str:
    """Return type and place of an exception: its text may quote a payload."""
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    kind, _, trace = record.exc_info
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{kind.__name__} in {' > '.join(frames)}"


def _time(record: logging.LogRecord) -> str:
    seconds, ms = divmod(int(record.created * 1000), 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


@lru_cache(1)
def _second(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
