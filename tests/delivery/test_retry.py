"""What statuses mean, and how long to wait."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.delivery import retry
from mbuzz.delivery.retry import delay, judge, retry_after

NOW_MS = 1_795_170_600_000  # 2026-11-20T10:30:00Z


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, retry.DELIVERED),
        (202, retry.DELIVERED),
        (299, retry.DELIVERED),
        (301, retry.REJECTED),
        (307, retry.REJECTED),
        (400, retry.REJECTED),
        (401, retry.REJECTED),
        (403, retry.REJECTED),
        (404, retry.REJECTED),
        (408, retry.RETRY),
        (413, retry.SPLIT),
        (422, retry.REJECTED),
        (425, retry.RETRY),
        (429, retry.RETRY),
        (500, retry.RETRY),
        (503, retry.RETRY),
        (599, retry.RETRY),
    ],
)
def test_what_a_status_means(status, verdict):
    assert judge(status) == verdict


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("99999", 300.0),
        ("9" * 5000, 300.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("1_0", 0.0),
        ("soon", 0.0),
        ("Fri, 20 Nov 2026 10:30:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 10:30:30", 30.0),
        ("Fri, 20 Nov 2026 11:31:00 +0100", 60.0),
        ("Fri, 20 Nov 2026 10:29:00 GMT", 0.0),
        ("Fri, 20 Nov 2031 10:29:00 GMT", 300.0),
        ("Fri, 20 Nov 99999999999999 10:29:00 GMT", 0.0),
        ("Fri, 20 Nov 2026 10:30:30 +999999999999999", 0.0),
    ],
)
def test_retry_after_in_both_forms(header, seconds):
    assert retry_after(header, NOW_MS) == seconds


@given(st.text())
def test_no_header_breaks_the_reading_of_it(header):
    assert 0.0 <= retry_after(header, NOW_MS) <= 300.0


def test_delays_grow_to_a_cap_with_full_jitter(monkeypatch):
    monkeypatch.setattr(retry, "_BASE", 0.5)
    rng = random.Random(1)

    longest = [
        max(delay(n, rng.random) for _ in range(2000)) for n in (1, 2, 3, 8, 10**6)
    ]
    shortest = min(delay(8, rng.random) for _ in range(2000))

    assert longest == pytest.approx([1.0, 2.0, 4.0, 60.0, 60.0], rel=0.05)
    assert shortest < 1.0
