"""The pytest plugin: the `mbuzz_events` fixture, and no network while tests run.

It imports mbuzz only inside the fixture, so that coverage of mbuzz is whole and a
test suite that does not use mbuzz pays nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mbuzz.testing import CapturedEvents

_VARIABLE = "MBUZZ_NETWORK"
_before = pytest.StashKey[str | None]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep every client from the network that does not ask for it by `network=True`."""
    config.stash[_before] = os.environ.get(_VARIABLE)
    os.environ.setdefault(_VARIABLE, "off")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was found."""
    before = config.stash.get(_before, None)
    if before is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = before


@pytest.fixture
def mbuzz_events() -> Iterator[CapturedEvents]:
    """Capture what the test's code sends to mbuzz, and send none of it."""
    from mbuzz.testing import capture

    with capture() as events:
        yield events
