"""The guard: what fails inside stays inside, and is said once a minute."""

import logging

import pytest

from mbuzz import guard


def fail():
    raise ValueError("hunter2")


def test_a_guarded_function_returns_its_default_instead_of_raising(caplog):
    @guard.guarded(lambda *_: "default")
    def risky(x, *, y):
        return x / y

    assert risky(4, y=2) == 2.0
    assert risky(4, y=0) == "default"
    assert risky.__name__ == "risky"
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("risky, error=ZeroDivisionError)")


def test_interrupts_pass():
    @guard.guarded(lambda *_: None)
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_swallowed_block_costs_itself():
    with guard.swallowing("here"):
        fail()


def test_an_attempt_returns_what_the_failure_makes_of_it():
    assert guard.attempt(lambda: 5, lambda _: 0) == 5
    assert guard.attempt(fail, lambda error: type(error)) is ValueError


def test_one_place_is_reported_once_a_minute(caplog):
    for place in ("a", "a", "b", "a"):
        guard.report(place, ValueError("hunter2"))

    assert caplog.messages == [
        "call failed (place=a, error=ValueError)",
        "call failed (place=b, error=ValueError)",
    ]


def test_debug_shows_where_and_never_what(caplog):
    caplog.set_level(logging.DEBUG, "mbuzz.guard")

    with guard.swallowing("here"):
        fail()

    assert any("test_guard.py" in message for message in caplog.messages)
    assert "hunter2" not in caplog.text


def test_a_broken_logger_is_not_our_end():
    class Broken(logging.Handler):
        def handle(self, record):
            raise OSError("disk full")

    handler = Broken()
    logging.getLogger("mbuzz.guard").addHandler(handler)
    try:
        guard.report("here", ValueError())
    finally:
        logging.getLogger("mbuzz.guard").removeHandler(handler)
