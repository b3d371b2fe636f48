"""Turns: who waits for a database is not passed by for ever."""

import threading

import pytest

from mbuzz.server.storage import turns
from mbuzz.server.storage.turns import Turns
from tests.processes import PATIENCE

pytest.importorskip("fcntl", reason="turns are for POSIX")


@pytest.fixture
def take(tmp_path):
    made = []

    def make(path=tmp_path / "mbuzz.db", patience=PATIENCE):
        made.append(Turns(str(path), patience))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_one_waits_until_the_other_has_had_its_turn(take):
    one, other, order = take(), take(), []

    def wait():
        with other.taken():
            order.append("other")

    waiting = threading.Thread(target=wait)
    with one.taken():
        waiting.start()
        waiting.join(0.05)
        order.append("one")
    waiting.join(PATIENCE)

    assert order == ["one", "other"]


def test_who_waits_too_long_goes_on_without(take):
    with take().taken(), take(patience=0.0).taken():
        pass


def test_turn_ends_where_its_work_fails(take):
    one = take()

    with pytest.raises(ZeroDivisionError), one.taken():
        raise ZeroDivisionError

    with take().taken():
        pass


@pytest.mark.parametrize("missing", [True, False])
def test_no_turns_are_taken_where_there_can_be_none(
    take, tmp_path, monkeypatch, missing
):
    path = tmp_path / "missing" / "mbuzz.db" if missing else tmp_path / "mbuzz.db"
    if not missing:
        monkeypatch.setattr(turns, "fcntl", None)
    one, other = take(path), take(path)

    with one.taken(), other.taken():
        pass

    one.close()
    one.close()
