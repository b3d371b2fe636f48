"""Who sends jobs in the tests of every queue, and how they are known there."""

import mbuzz
from mbuzz.context import current

VISITOR = "ab" * 32
ME = {
    "visitor_id": VISITOR,
    "session_id": "cd" * 16,
    "user_id": "42",
    "request_id": "request-1",
    "flow_id": "flow-1",
    "parent_id": "parent-1",
    "traceparent": f"00-{'1' * 32}-{'2' * 16}-01",
}


def visitor(number):
    return f"{number:064x}"


def me():
    return mbuzz.context_scope(**ME)


def somebody(number):
    """Be one of many, each of them with everything of his own."""
    return mbuzz.context_scope(
        visitor_id=visitor(number), user_id=number, flow_id=f"flow-{number}"
    )


def known():
    """Return what a job is told of who sent it."""
    found = current()
    said = {name: getattr(found, name) for name in ME}
    return {name: value for name, value in said.items() if value is not None}


def check_work_of(count, events):
    """Assert that so many have worked, each of them as himself."""
    assert {
        e["properties"]["n"]: (
            *(e["visitor_id"], e["user_id"], e["correlation"]["flow_id"]),
        )
        for e in events
        if e["event_type"] == "Worked"
    } == {n: (visitor(n), str(n), f"flow-{n}") for n in range(count)}
