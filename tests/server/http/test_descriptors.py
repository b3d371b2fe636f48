"""How many connections there is room for, on systems of several kinds."""

import sys
import types

import pytest

from mbuzz.server.http.descriptors import room_for_connections

INFINITE = -1


def system(soft, hard, most=10**9):
    """Return a `resource` whose limits are these; it refuses more than *most*."""
    module = types.ModuleType("resource")
    module.limits = (soft, hard)
    module.RLIM_INFINITY, module.RLIMIT_NOFILE = INFINITE, 7
    module.getrlimit = lambda kind: module.limits

    def setrlimit(kind, limits):
        if limits[0] > most:
            raise ValueError("current limit exceeds maximum limit")
        module.limits = limits

    module.setrlimit = setrlimit
    return module


@pytest.mark.parametrize(
    ("limits", "after", "room"),
    [
        ((1024, 20_000), 20_000, 19_900),
        ((1024, 1_048_576), 65_536, 65_436),
        ((256, INFINITE), 65_536, 65_436),
        ((256, INFINITE, 12_000), 10_240, 10_140),  # macOS
        ((1024, 1024), 1024, 924),
        ((100_000, 100_000), 100_000, 99_900),
        ((INFINITE, INFINITE), INFINITE, 65_436),
        ((64, 64), 64, 32),
    ],
)
def test_soft_limit_is_raised_towards_the_hard_one(monkeypatch, limits, after, room):
    module = system(*limits)
    monkeypatch.setitem(sys.modules, "resource", module)

    assert room_for_connections() == room
    assert module.limits == (after, limits[1])


def test_system_without_such_limits_has_room_for_what_select_takes(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)

    assert room_for_connections() == 400
