"""Attempts: ten, then one a minute, per e-mail and address."""

from mbuzz.server.dashboard import attempts
from mbuzz.server.dashboard.attempts import Attempts
from tests.server.dashboard.client import Clock


def test_ten_at_once_then_one_a_minute():
    clock = Clock()
    tries = Attempts(clock)

    assert [tries.take("a", "1") for _ in range(12)] == [0] * 10 + [60, 60]
    clock.ms += 59_001
    assert tries.take("a", "1") == 1
    clock.ms += 999
    assert [tries.take("a", "1") for _ in range(2)] == [0, 60]


def test_all_are_there_again_after_ten_minutes_and_no_more():
    clock = Clock()
    tries = Attempts(clock)
    for _ in range(10):
        tries.take("a", "1")

    clock.ms += 3_600_000

    assert [tries.take("a", "1") for _ in range(11)] == [0] * 10 + [60]


def test_capitals_make_no_other_email_but_another_address_does():
    tries = Attempts(Clock())
    for _ in range(10):
        tries.take("a@example.com", "1")

    assert tries.take("A@Example.com", "1") == 60
    assert tries.take("a@example.com", "2") == 0
    assert tries.take("b@example.com", "1") == 0


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(attempts, "_MOST_KNOWN", 3)
    tries = Attempts(Clock())

    for name in "abcd":
        tries.take(name, "1")

    assert len(tries._whole_at) == 3
