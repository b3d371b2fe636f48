"""Schemathesis reads the document of the API and calls the application by it.

What it generates is well-formed at times, and at others breaks the document in one
place. All its checks are on but those below, each with the reason why it cannot hold.
"""

import gzip
import json
from importlib import resources

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

load_all_checks()

DOCUMENT = json.loads(
    resources.files("mbuzz.server").joinpath("openapi.json").read_text("utf-8")
)
EXAMPLES = 20
OPERATIONS = [
    (method, path) for path, item in DOCUMENT["paths"].items() for method in item
]
# Nothing to break: no parameters and no key.
UNBREAKABLE = {
    (method, path)
    for method, path in OPERATIONS
    if DOCUMENT["paths"][path][method].get("security") == []
}
EXCLUDED = {
    # JSON Schema has no word for much that is asked for: a time of the last 30 days, an
    # id that is no placeholder, an event that was sent before. That documented requests
    # are taken is what test_openapi.py shows.
    "positive_data_acceptance",
    # Each item of a batch is judged by itself, and the batch is a 202. In single calls
    # an optional field that is not of its type is passed over, as one that is not
    # known: what a visitor did is worth more than a program's slip. An empty parameter
    # of a query is none. That nothing required may be left out is shown below.
    "negative_data_rejection",
}


class Key:
    """Says to schemathesis what authenticates a request."""

    text = ""

    def get(self, case, context):
        return self.text

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@pytest.fixture
def schema(caller):
    """Return the document as schemathesis reads it, with an application to call."""
    client = caller(rate_limit=10**6, rate_burst=10**7)
    Key.text = client.key
    found = schemathesis.openapi.from_dict(DOCUMENT)
    found.app = client.app
    found.auth()(Key)
    return found


def as_said(case):
    """Pack the body if the generated header says that it is packed."""
    packed = str(case.headers.pop("Content-Encoding", "")).lower() == "gzip"
    if packed and isinstance(case.body, dict | list):
        body = gzip.compress(json.dumps(case.body).encode())
        return case.call(
            data=body,
            headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
        )
    return case.call()


def leave_as_it_is(case):
    return case.call()


@pytest.mark.parametrize(
    ("mode", "send"),
    [
        (GenerationMode.POSITIVE, as_said),
        (GenerationMode.NEGATIVE, leave_as_it_is),
    ],
    ids=["well-formed", "broken"],
)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_are_as_the_document_says(schema, method, path, mode, send):
    if mode is GenerationMode.NEGATIVE and (method, path) in UNBREAKABLE:
        return
    excluded = [CHECKS.get_one(name) for name in sorted(EXCLUDED)]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,  # what fails tells of the change, not of the day
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def probe(case):
        case.validate_response(send(case), excluded_checks=excluded)

    probe()


REQUIRED = [
    ("/api/v1/events", "events"),
    ("/api/v1/identify", "user_id"),
    ("/api/v1/alias", "user_id"),
    ("/api/v1/alias", "previous_id"),
    ("/api/v1/group", "group_id"),
    ("/api/v1/sessions", "visitor_id"),
    ("/api/v1/sessions", "session_id"),
    ("/api/v1/sessions", "url"),
    ("/api/v1/conversions", "conversion_type"),
]


@pytest.mark.parametrize(("path", "field"), REQUIRED)
def test_request_without_what_is_required_is_refused(caller, path, field):
    client = caller()
    body = DOCUMENT["paths"][path]["post"]["requestBody"]
    examples = body["content"]["application/json"]["examples"].values()
    without = []
    for example in examples:
        value = example["value"]
        inner = value.get("conversion") or value.get("session") or value
        if field in inner:
            without.append({key: inner[key] for key in inner if key != field})

    answers = [client.send("POST", path, json.dumps(body).encode()) for body in without]

    assert answers
    assert all(answer.status in (400, 422) for answer in answers)
    assert all(field in answer.json()["error"] for answer in answers)
