"""Who sends jobs in the tests of every queue."""

import mbuzz

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
