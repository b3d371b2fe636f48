"""Arbitrary JSON at every writing route: refused or taken, never a failure."""

import json
from importlib import resources

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from mbuzz.server.ingestion.fields import InvalidError
from mbuzz.server.ingestion.validation import check_size

VISITOR = "65dabc1e9f0a4b7c8d3e2f1a0b9c8d7e65dabc1e9f0a4b7c8d3e2f1a0b9c8d7e"
PATHS = ("/events", "/identify", "/alias", "/group", "/conversions")

# What `json.dumps` does not write, but a client can: stands in the text as a string.
RAW = {
    "@infinite": "1e999",
    "@long": "9" * 4_300,
    "@longer": "9" * 4_301,
    "@deep": "[" * 200 + "]" * 200,
    "@abyss": '{"a":' * 970 + "1" + "}" * 970,
    "@nothing": "NaN",
    "@nul": '"a\\u0000b"',
    "@half": '"a\\ud800b"',
    "@both": '"\\udfff\\u0000"',
}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(sorted(RAW))
    | st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e308, "", " ", "null", "x" * 300])
    | st.just("x" * 9_000),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=()), max_size=8), inner, max_size=4
        )
    ),
    max_leaves=8,
)


def maybe(good):
    """Mostly what is right, so that the rest of the item is looked at as well."""
    return st.sampled_from([good] * 4) | anything


URLS = st.builds(
    "https://{}/?{}={}#{}".format,
    *[st.text(st.characters(exclude_categories=()), max_size=12)] * 4,
) | st.sampled_from(
    [
        "https://a.example/?utm_source=a&gclid=@\ud800",
        "https://\ud800.example/?utm_medium=\udfff",
        "http://[::1",
        "//\0",
        "https://user:pass@a.example/%00%ff?utm_campaign=%ff%00",
    ]
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "url": URLS | anything,
        "referrer": URLS | anything,
        "user_agent": maybe("Mozilla/5.0"),
        "utm_source": anything,
        "gclid": anything,
        "prefetch": anything,
        "order_id": anything,
    },
)
WHEN = st.sampled_from([None, 1_795_170_600, "2026-11-20T10:30:00Z"]) | anything
OPTIONAL = {
    "id": maybe("conv_0123456789abcdef"),
    "event_id": anything,
    "session_id": maybe("session-1"),
    "timestamp": WHEN,
    "converted_at": WHEN,
    "properties": PROPERTIES | anything,
    "traits": PROPERTIES | anything,
    "url": URLS | anything,
    "referrer": URLS | anything,
    "user_agent": anything,
    "ignore_referrer": anything,
    "anonymous_id": anything,
    "correlation": anything,
    "revenue": st.sampled_from(["9.99", 1e12, "1e-400000", "1E+99"]) | anything,
    "currency": maybe("JPY"),
    "order_id": anything,
    "idempotency_key": anything,
    "is_acquisition": anything,
    "conversion": anything,
}
ITEM = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["track", "identify", "alias", "group", "conversion"]),
        "event_type": maybe("page_view"),
        "conversion_type": maybe("purchase"),
        "user_id": maybe("42"),
        "visitor_id": maybe(VISITOR),
        "previous_id": maybe("41"),
    },
    optional=OPTIONAL,
)
BODY = (
    ITEM
    | anything
    | st.fixed_dictionaries(
        {"events": st.lists(ITEM | anything, max_size=4) | anything},
        optional={"sent_at": anything},
    )
)

DOCUMENT = json.loads(
    resources.files("mbuzz.server")
    .joinpath("openapi.json")
    .read_text("utf-8")
    .replace('"#/', '"urn:mbuzz#/')
)
REGISTRY = Registry().with_resource("urn:mbuzz", DRAFT202012.create_resource(DOCUMENT))


def encoded(value):
    text = json.dumps(value)
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text.encode()


def check_documented(path, answered):
    """Check that the answer is one that the document has for this route."""
    operation = DOCUMENT["paths"][f"/api/v1{path}"]["post"]
    assert answered.status < 500, answered.body
    response = operation["responses"][str(answered.status)]
    if "$ref" in response:
        name = response["$ref"].rpartition("/")[2]
        response = DOCUMENT["components"]["responses"][name]
    schema = response["content"]["application/json"]["schema"]
    Draft202012Validator(schema, registry=REGISTRY).validate(answered.json())


def still_works(client):
    page = {"event_type": "page_view", "visitor_id": "visitor-after-all"}
    reply = client.post("/events", {"events": [page]})
    return reply.status == 202 and reply.json()["accepted"] == 1


@pytest.mark.parametrize("path", PATHS)
def test_arbitrary_json_never_makes_the_server_fail(caller, path):
    client = caller(rate_burst=1_000_000)

    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(BODY)
    @example({"events": [{"id": "@half", "event_type": 5}]})
    @example({"events": [{"id": "@infinite"}]})
    @example({"events": [{"id": "@abyss", "properties": {"a": "x" * 33_000}}]})
    @example({"user_id": "5", "previous_id": "@abyss"})
    @example({"events": [{"event_type": "@both", "user_id": "5"}]})
    def throw(body):
        check_documented(path, client.send("POST", f"/api/v1{path}", encoded(body)))

    throw()
    assert still_works(client)
    assert client.get("/reports/channels").status == 200


@pytest.mark.parametrize("path", PATHS)
def test_arbitrary_bytes_never_make_the_server_fail(caller, path):
    client = caller(rate_burst=1_000_000)

    @settings(max_examples=50, deadline=None, database=None)
    @given(
        st.binary(max_size=100),
        st.dictionaries(
            st.sampled_from(
                [
                    "HTTP_COOKIE",
                    "HTTP_CONTENT_ENCODING",
                    "HTTP_X_IDEMPOTENCY_KEY",
                    "CONTENT_LENGTH",
                ]
            ),
            st.text(st.characters(max_codepoint=255), max_size=20),
        ),
    )
    @example(b"{}", {"CONTENT_LENGTH": "\xb2"})
    @example(b"{}", {"CONTENT_LENGTH": "9" * 5_000})
    def throw(body, headers):
        answered = client.send("POST", f"/api/v1{path}", body, **headers)
        check_documented(path, answered)

    throw()
    assert still_works(client)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"event_type": "\0"}, "event_type is required"),
        ({"visitor_id": True}, "visitor_id must be"),
    ],
)
def test_what_only_looks_like_a_name_or_an_id_is_rejected(caller, wrong, error):
    item = {"event_type": "page_view", "visitor_id": VISITOR, **wrong}

    reply = caller().post("/events", {"events": [item]}).json()

    assert reply["rejected"][0]["errors"][0].startswith(error)


def test_item_nested_deeper_than_it_can_be_measured_is_invalid():
    item = []
    for _ in range(100_000):
        item = [item]

    with pytest.raises(InvalidError, match="nested too deeply"):
        check_size(item)


def test_report_survives_more_revenue_than_64_bits_of_millionths(caller):
    client = caller()
    sale = {"conversion_type": "sale", "user_id": "5", "revenue": 10**12}

    for _ in range(12):
        assert client.post("/conversions", sale).status == 201
    report = client.get("/reports/channels").json()

    assert report["totals"]["revenue"] == "12000000000000.00"
    assert report["rows"][0]["credits"]["linear"]["revenue"] == "12000000000000.00"
