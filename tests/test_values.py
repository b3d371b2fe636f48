"""Frozen values: complete when made, the same ever after."""

import copy
import pickle

import pytest

from mbuzz.config import Config
from mbuzz.delivery.stats import Health, Stats
from mbuzz.results import TrackResult
from mbuzz.values import Frozen


class Point(Frozen):
    _hidden = ("secret",)
    _kept: int = 7  # not a field

    x: int
    y: int = 0
    tags: tuple[str, ...] = ()
    secret: str = ""

    @property
    def far(self) -> bool:
        return self.x > 10


class Twin(Frozen):
    x: int
    y: int = 0
    tags: tuple[str, ...] = ()
    secret: str = ""


def test_what_is_left_out_has_its_default():
    point = Point(x=1)

    assert (point.x, point.y, point.tags, point.secret) == (1, 0, (), "")


def test_what_has_no_default_is_needed():
    with pytest.raises(TypeError, match="Point needs x="):
        Point(y=1)


def test_what_is_unknown_is_named():
    with pytest.raises(TypeError, match=r"Point has no \['z'\]"):
        Point(x=1, z=2)


@pytest.mark.parametrize("name", ["_hidden", "_kept", "far", "replace"])
def test_what_is_no_field_cannot_be_given(name):
    with pytest.raises(TypeError, match="Point has no"):
        Point(**{"x": 1, name: ()})


def test_values_are_given_by_name_only():
    with pytest.raises(TypeError):
        Point(1)


def test_none_is_a_value_like_others():
    assert Point(x=None).x is None


def test_fields_come_in_order():
    assert list(Point.fields()) == ["x", "y", "tags", "secret"]
    assert list(Point(x=1).fields()) == ["x", "y", "tags", "secret"]


@pytest.mark.parametrize("name", ["x", "y", "z", "far", "__dict__"])
def test_nothing_can_be_set_or_deleted(name):
    point = Point(x=1)

    with pytest.raises(AttributeError, match="Point cannot be changed"):
        setattr(point, name, {})
    with pytest.raises(AttributeError, match="Point cannot be changed"):
        delattr(point, name)
    assert point == Point(x=1)


def test_replace_makes_a_copy_with_changes():
    point = Point(x=1, y=2, secret="s")

    moved = point.replace(x=5)

    assert moved == Point(x=5, y=2, secret="s")
    assert point == Point(x=1, y=2, secret="s")
    assert point.replace() == point
    assert point.replace() is not point


def test_replace_knows_no_other_names_either():
    with pytest.raises(TypeError, match="Point has no"):
        Point(x=1).replace(z=1)


def test_equal_is_what_has_the_same_class_and_values():
    assert Point(x=1) == Point(x=1, y=0)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1, secret="a") != Point(x=1, secret="b")
    assert Point(x=1) != Twin(x=1)
    assert Point(x=1) != {"x": 1, "y": 0, "tags": (), "secret": ""}


def test_values_are_no_keys():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(x=1))


def test_repr_shows_the_fields_and_hides_the_secret_ones():
    text = repr(Point(x=1, tags=("a",), secret="hunter2"))

    assert text == "Point(x=1, y=0, tags=('a',))"


def test_a_subclass_has_its_own_fields_and_those_of_its_base():
    class Named(Point):
        name: str = "n"

    assert list(Named.fields()) == ["name", *Point.fields()]
    assert repr(Named(x=1)) == "Named(name='n', x=1, y=0, tags=())"
    assert Named(x=1) != Point(x=1)


def test_copies_are_equal():
    point = Point(x=1, tags=("a",), secret="s")

    assert copy.copy(point) == point
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point


def test_two_values_do_not_share_what_they_were_given():
    first, second = Stats(accepted=1), Stats()

    assert (first.accepted, second.accepted) == (1, 0)
    assert second == Stats()


# -- the values that users see --


def test_a_config_is_checked_again_when_it_is_replaced():
    config = Config(api_key="sk_test_" + "k" * 32)

    assert config.replace(timeout=1.0).timeout == 1.0
    with pytest.raises(
        Exception, match="timeout must be a number of seconds above 0, got 0"
    ):
        config.replace(timeout=0)


def test_a_config_keeps_its_network_when_it_is_replaced(monkeypatch):
    config = Config(api_key="sk_test_" + "k" * 32, network=True)

    assert config.replace(timeout=1.0).network is True
    assert Config(api_key="sk_test_" + "k" * 32).replace(timeout=1.0).network is False


def test_a_config_does_not_show_its_key():
    config = Config(api_key="sk_test_" + "k" * 32)

    assert "kkk" not in repr(config)
    assert "api_url=" in repr(config)


@pytest.mark.parametrize(
    ("status", "truth"), [("ok", True), ("degraded", True), ("failing", False)]
)
def test_health_is_true_while_events_arrive(status, truth):
    assert bool(Health(status=status)) is truth


@pytest.mark.parametrize(
    "value", [Stats(), Health(), TrackResult(success=True)], ids=["s", "h", "r"]
)
def test_what_is_told_cannot_be_changed(value):
    for name in value.fields():
        with pytest.raises(AttributeError):
            setattr(value, name, None)
