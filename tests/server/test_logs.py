"""The log: one line each, facts as fields, and never a secret."""

import io
import json
import logging
import sys

import pytest

from mbuzz.server import logs

KEY = "sk_live_" + "a" * 48


@pytest.fixture
def log():
    """Return what sets the log up and reads its lines."""
    undone = []

    def begin(log_format="text", level="info"):
        stream = io.StringIO()
        undone.append(logs.configure(log_format, level, stream))
        return lambda: stream.getvalue().splitlines()

    yield begin
    for undo in reversed(undone):
        undo()


def test_text_is_time_level_logger_and_sentence(log):
    lines = log()

    logging.getLogger("mbuzz.server").warning("commit failed (events=%d)", 7)

    (line,) = lines()
    time, rest = line.split(" ", 1)
    assert rest == "WARNING mbuzz.server: commit failed (events=7)"
    assert time.endswith("Z")
    assert "T" in time


def test_json_has_the_facts_as_fields(log):
    lines = log("json")

    logging.getLogger("mbuzz.server").warning(
        "answered (route=%s, status=%d, ms=%.1f, key=%s)", "/a", 503, 1.25, None
    )

    line = json.loads(lines()[0])
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "mbuzz.server",
        "event": "answered",
        "route": "/a",
        "status": 503,
        "ms": 1.25,
        "key": None,
    }


@pytest.mark.parametrize(
    ("message", "arguments", "event"),
    [
        ("no facts", (), "no facts"),
        ("%s of %d", ("seven", 9), "seven of 9"),
        ("loose (fact=%s) and more", ("a",), "loose (fact=a) and more"),
    ],
)
def test_json_takes_any_message(log, message, arguments, event):
    lines = log("json")

    logging.getLogger("mbuzz.server").warning(message, *arguments)

    assert json.loads(lines()[0])["event"] == event


def test_fact_named_like_a_field_of_every_line_keeps_both(log):
    lines = log("json")

    logging.getLogger("mbuzz.server").warning("late (time=%d)", 7)

    line = json.loads(lines()[0])
    assert line["time_"] == 7
    assert line["time"] != 7


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nobody_can_forge_a_line(log, log_format):
    lines = log(log_format)

    logging.getLogger("mbuzz.server").warning("said (what=%s)", "a\nFAKE\u2028\x1b[2J")

    (line,) = lines()
    assert not line.startswith("FAKE")
    assert "\x1b" not in line
    assert "\u2028" not in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_api_key_never_gets_out(log, log_format):
    lines = log(log_format)

    logging.getLogger("mbuzz.server").warning("said (what=%s)", f"Bearer {KEY}")

    assert KEY not in lines()[0]
    assert "sk_live_..." in lines()[0]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_exception_is_told_by_type_and_place_not_by_its_text(log, log_format):
    lines = log(log_format)

    try:
        raise LookupError("hunter2")
    except LookupError:
        logging.getLogger("mbuzz.server").warning("failed", exc_info=sys.exc_info())

    (line,) = lines()
    assert "hunter2" not in line
    assert "LookupError in " in line
    assert "test_logs.py:" in line


def test_long_value_is_cut(log):
    lines = log("json")

    logging.getLogger("mbuzz.server").warning("said (what=%s)", "x" * 100_000)

    assert len(lines()[0]) < 3_000


def test_level_is_kept(log):
    lines = log(level="warning")

    logging.getLogger("mbuzz.server").info("not this")

    assert lines() == []


def test_undoing_leaves_the_logger_as_it_was():
    logger = logging.getLogger("mbuzz")
    before = logger.level, logger.propagate, list(logger.handlers)

    undo = logs.configure("json", "debug", io.StringIO())
    assert logger.level == logging.DEBUG
    undo()

    assert (logger.level, logger.propagate, logger.handlers) == before


def test_stream_that_is_gone_costs_nothing(log, capsys):
    stream = io.StringIO()
    undo = logs.configure("text", "info", stream)
    stream.close()

    logging.getLogger("mbuzz.server").warning("unheard")
    undo()

    assert capsys.readouterr().err == ""


def test_host_with_handlers_of_its_own_keeps_them(caplog):
    before = list(logging.getLogger("mbuzz").handlers)

    logs.configure_unless_done("json", "debug")

    assert logging.getLogger("mbuzz").handlers == before
