"""Who is due when, and what it costs to know."""

from math import inf

from mbuzz.server.http.deadlines import Deadlines, Timed


def due(deadlines, now):
    return list(deadlines.due(now))


def test_things_are_due_once_and_in_their_order():
    deadlines, things = Deadlines(), [Timed() for _ in range(3)]
    for when, thing in zip([3.0, 1.0, 2.0], things, strict=True):
        deadlines.set(thing, when)

    assert deadlines.first() == 1.0
    assert due(deadlines, 0.9) == []
    assert due(deadlines, 2.0) == [things[1], things[2]]
    assert due(deadlines, 9.0) == [things[0]]
    assert due(deadlines, 9.0) == []
    assert deadlines.first() == inf


def test_later_deadline_replaces_an_earlier_one():
    deadlines, thing = Deadlines(), Timed()
    deadlines.set(thing, 1.0)
    deadlines.set(thing, 5.0)

    assert [due(deadlines, now) for now in (1.0, 4.0, 5.0)] == [[], [], [thing]]


def test_earlier_deadline_replaces_a_later_one():
    deadlines, thing = Deadlines(), Timed()
    deadlines.set(thing, 5.0)
    deadlines.set(thing, 1.0)

    assert [due(deadlines, now) for now in (1.0, 5.0)] == [[thing], []]


def test_what_is_forgotten_is_never_due():
    deadlines, thing = Deadlines(), Timed()
    deadlines.set(thing, 1.0)
    deadlines.forget(thing)
    deadlines.forget(thing)

    assert due(deadlines, 2.0) == []


def test_deadline_without_an_end_is_never_due():
    deadlines, thing = Deadlines(), Timed()
    deadlines.set(thing, 1.0)
    thing.due = inf

    assert due(deadlines, 2.0) == []
    deadlines.set(thing, 3.0)
    assert due(deadlines, 3.0) == [thing]


def test_thing_that_is_due_may_be_set_again_meanwhile():
    deadlines, thing = Deadlines(), Timed()
    deadlines.set(thing, 1.0)

    for found in deadlines.due(1.0):
        deadlines.set(found, 2.0)

    assert due(deadlines, 2.0) == [thing]


def test_moving_a_deadline_costs_no_memory():
    deadlines, thing = Deadlines(), Timed()

    for number in range(10_000):
        deadlines.set(thing, 1.0 + number)

    assert len(deadlines) == 1
