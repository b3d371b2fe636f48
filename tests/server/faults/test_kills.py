"""The backend is ended at its worst moments: what it took, it has; once."""

import pytest

from tests.crash.kills import Kills
from tests.crash.power import PowerCuts, why_not
from tests.crash.verdict import judge

_WEAKER_ROUNDS = 8  # one does, nearly always

needs_power = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture
def trial(tmp_path):
    """Return a function that makes a trial; what still runs ends with the test."""
    made = []

    def make(kind, **options):
        made.append(kind(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def assert_has_all_once(ends, rounds):
    for _ in range(rounds):
        ends.round()
    ends.finish()

    verdict = judge(ends.backend.database, ends.ledger)
    assert verdict.problems == []
    assert (verdict.lost, verdict.doubled) == (0, 0)
    assert ends.ledger.accepted


def test_kill_9_under_load_loses_and_doubles_nothing(trial):
    kills = trial(Kills)

    assert_has_all_once(kills, rounds=3)
    assert kills.ledger.resent


@needs_power
def test_power_cut_under_load_loses_and_doubles_nothing(trial):
    cuts = trial(PowerCuts)

    assert_has_all_once(cuts, rounds=2)
    assert cuts.undone


@needs_power
@pytest.mark.parametrize("level", ["NORMAL", "OFF"])
def test_the_power_cut_would_show_a_backend_that_does_not_sync(trial, level):
    cuts = trial(PowerCuts, synchronous=level)

    for _ in range(_WEAKER_ROUNDS):
        if cuts.lost_something():
            return

    pytest.fail("nothing was lost, so the power cut proves nothing")
