"""Business events: one shape, the actor as the user, never in the way."""

import pytest

from mbuzz import business
from mbuzz.context import context_scope
from mbuzz.testing import capture


def test_event_has_the_universal_shape():
    with capture() as events:
        result = business.event(
            "profile.updated",
            actor=("user", 42),
            subject={"type": "profile", "id": 7, "name": "main"},
            metadata={"changed": ["name"], "seconds": 0.15},
            platform={"service": "shop", "environment": "production"},
            flow_id="onboarding",
            request_id="r1",
            parent_id="evt_1",
        )

    assert result
    (item,) = events
    assert (item["event_type"], item["user_id"]) == ("profile.updated", "42")
    assert item["correlation"] == {
        "flow_id": "onboarding",
        "request_id": "r1",
        "parent_id": "evt_1",
    }
    assert item["properties"] == {
        "action": "profile.updated",
        "actor": {"type": "user", "id": 42},
        "subject": {"type": "profile", "id": 7, "name": "main"},
        "metadata": {"changed": ["name"], "seconds": 0.15},
        "platform": {"service": "shop", "environment": "production"},
    }


def test_what_is_left_out_is_not_sent():
    with capture() as events:
        business.event("door.opened", user_id=1)

    assert events[0]["properties"] == {"action": "door.opened"}


@pytest.mark.parametrize(
    ("actor", "user_id", "user"),
    [
        (("user", 42), None, "42"),
        ({"type": "user", "id": "42"}, None, "42"),
        (["user", "42"], None, "42"),
        (("user", 42), "43", "43"),
        (("system", "cron"), "43", "43"),
    ],
    ids=["pair", "mapping", "list", "explicit", "system"],
)
def test_actor_that_is_a_user_is_the_events_user(actor, user_id, user):
    with capture() as events:
        assert business.event("plan.changed", actor=actor, user_id=user_id)

    assert events[0]["user_id"] == user


def test_without_a_user_the_visitor_of_the_request_is_meant():
    with capture() as events, context_scope(visitor_id="v1"):
        assert business.event("report.made", actor=("system", "cron"))

    assert events[0]["visitor_id"] == "v1"


def test_without_anybody_the_result_says_so():
    with capture():
        result = business.event("report.made", actor=("system", "cron"))

    assert result.error == "missing_identity"


class Rude(dict):
    def get(self, name, default=None):
        raise RuntimeError("hunter2")

    items = keys = __iter__ = get


@pytest.mark.parametrize(
    "actor",
    [Rude(), object(), "user:42", ("user",), 5, ("user", object())],
    ids=["raises", "object", "text", "single", "number", "odd id"],
)
def test_odd_parties_never_raise(actor):
    with capture() as events:
        result = business.event("plan.changed", actor=actor, subject=actor, user_id=1)

    assert result
    assert events[0]["properties"]["action"] == "plan.changed"


def test_odd_action_is_a_falsy_result():
    with capture():
        assert business.event(None, user_id=1).error == "missing_event"
