"""The document of the API: it is valid, complete, and what the server really does."""

import gzip
import json
import re
from importlib import resources
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

import mbuzz.server
from mbuzz import protocol
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server import model
from mbuzz.server.app import Application
from mbuzz.server.attribution.models import MODEL_LABELS
from mbuzz.server.conversion_settings import LOOKBACKS
from mbuzz.server.http import answer
from mbuzz.server.ingestion import keys
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage.errors import StorageBusyError

TEXT = resources.files("mbuzz.server").joinpath("openapi.json").read_text("utf-8")
DOCUMENT = json.loads(TEXT.replace('"#/', '"urn:mbuzz#/'))  # references find home
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    (method.upper(), path): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
FOR_MACHINES = {"/health", "/health/live", "/metrics", "/openapi.json"}
KEYED = [where for where, op in OPERATIONS.items() if op.get("security") != []]
POSTS = [where for where in KEYED if where[0] == "POST"]
REGISTRY = Registry().with_resource("urn:mbuzz", DRAFT202012.create_resource(DOCUMENT))
VISITOR = "65dabc1e9f0a4b7c8d3e2f1a0b9c8d7e65dabc1e9f0a4b7c8d3e2f1a0b9c8d7e"
EVENT = "evt_019d3b732c807e5d9c2ab48f0e6d7c32"  # of the document's examples
PAGE = {
    "event_type": "page_view",
    "visitor_id": VISITOR,
    "session_id": "7c1f0f7ad2b94d5e8f3a6b1c0d9e2f48",
    "properties": {"url": "https://shop.example/?utm_source=news&utm_medium=email"},
}


def resolved(value):
    while "$ref" in value:
        found = DOCUMENT
        for name in value["$ref"].removeprefix("urn:mbuzz#/").split("/"):
            found = found[name]
        value = found
    return value


def check(value, schema):
    """Validate *value* against a part of the document, formats included."""
    Draft202012Validator(
        schema,
        registry=REGISTRY,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    ).validate(value)


def check_answer(answered, response):
    """Validate status-independent parts: headers both ways, content, body."""
    response = resolved(response)
    documented = response.get("headers", {})
    for name, header in documented.items():
        header = resolved(header)
        sent = [v for k, v in answered.headers if k == name]
        # What fails may do so before it is known whose request it is.
        failed = answered.status >= 500 and name.startswith("X-RateLimit")
        assert sent or failed or name == "Set-Cookie", name
        for text in sent:
            number = header["schema"].get("type") == "integer"
            check(int(text) if number else text, header["schema"])
    undocumented = {name for name, _ in answered.headers} - set(documented)
    assert undocumented <= {"Content-Type", "Content-Length", "X-Request-Id"}
    kind = answered.header("Content-Type").partition(";")[0]
    content = response["content"][kind]
    body = answered.json() if kind == "application/json" else answered.body.decode()
    check(body, content["schema"])


def operation_at(method, target):
    """Return the operation that answers; ``{id}`` in a path is any one segment."""
    path = target.partition("?")[0]
    if (method, path) in OPERATIONS:
        return OPERATIONS[method, path]
    for (its_method, template), operation in OPERATIONS.items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if its_method == method and re.fullmatch(pattern, path):
            return operation
    raise LookupError(path)


def check_documented(method, target, answered, status):
    """Check that *answered* is as the document says, and return its body."""
    assert answered.status == status, answered.body
    operation = operation_at(method, target)
    check_answer(answered, operation["responses"][str(status)])
    return answered


@pytest.fixture
def api(caller):
    """Return what sends a request and checks the answer against the document."""
    client = caller()
    client.key = client.app.storage.write(
        lambda stores: keys.create(
            stores.accounts,
            stores.accounts.accounts()[0],
            live=False,
            name="",
            now_ms=1,
            scopes={"ingest", "read", "admin"},
        )[1]
    )

    def ask(method, target, status, body=b"", client=client, **headers):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        answered = client.send(method, target, body, **headers)
        return check_documented(method, target, answered, status)

    ask.client = client
    return ask


# -- the document


def test_document_is_valid_openapi_3_1():
    assert list(OpenAPIV31SpecValidator(json.loads(TEXT)).iter_errors()) == []


def test_document_has_every_route_and_no_other(caller):
    routes = {
        (route.method, route.path)
        for route in caller().app.router.routes
        if route.path.startswith(protocol.API_PREFIX) or route.path in FOR_MACHINES
    }

    assert set(OPERATIONS) == routes


def test_document_is_served(api):
    answered = api("GET", "/openapi.json", 200)

    assert answered.body.decode() == TEXT


def test_all_but_health_and_document_need_a_key():
    assert set(OPERATIONS) - set(KEYED) == {
        ("GET", "/api/v1/health"),
        *(("GET", path) for path in FOR_MACHINES),
    }


def schemas_in(value):
    """Yield every schema with an example of its own."""
    if isinstance(value, dict):
        if isinstance(value.get("examples"), list):
            yield value
        for part in value.values():
            yield from schemas_in(part)


def test_examples_in_schemas_are_valid():
    for schema in schemas_in(SCHEMAS):
        for example in schema["examples"]:
            check(example, schema)


def media_types():
    parts = [*OPERATIONS.values(), *DOCUMENT["components"]["responses"].values()]
    for part in parts:
        responses = [resolved(r) for r in part.get("responses", {}).values()]
        for holder in [part, part.get("requestBody", {}), *responses]:
            yield from holder.get("content", {}).values()


def test_examples_of_bodies_are_valid():
    count = 0
    for media in media_types():
        examples = [e["value"] for e in media.get("examples", {}).values()]
        examples += [media["example"]] if "example" in media else []
        for example in examples:
            check(example, media["schema"])
            count += 1

    assert count > 30


def test_every_answer_has_an_example():
    """Also those that all routes share; a document has no body to show here."""
    without = [
        (where, status)
        for where, operation in OPERATIONS.items()
        for status, response in operation["responses"].items()
        for media in resolved(response).get("content", {}).values()
        if not ("example" in media or media.get("examples"))
    ]

    assert without == []


def test_every_request_has_an_example():
    without = [
        where
        for where, operation in OPERATIONS.items()
        for media in operation.get("requestBody", {}).get("content", {}).values()
        if not media.get("examples")
    ]

    assert without == []


def test_every_route_is_told_of_in_words():
    without = [
        where
        for where, operation in OPERATIONS.items()
        if not (operation.get("summary") and operation.get("tags"))
    ]
    names = [operation["operationId"] for operation in OPERATIONS.values()]

    assert without == []
    assert len(set(names)) == len(names)


def test_limits_are_those_of_the_protocol():
    limits = DOCUMENT["x-limits"]
    code = {name: getattr(protocol, name) for name in limits}
    of_protocol = {n for n in vars(protocol) if n.startswith("MAX_")}
    text = DOCUMENT["info"]["description"]

    assert limits == code
    assert set(limits) == of_protocol
    assert [n for n in limits if not re.search(rf"\b{limits[n]}\b", text)] == []


def test_schemas_have_the_limits_of_the_protocol():
    track = SCHEMAS["TrackItem"]["properties"]

    assert SCHEMAS["Batch"]["properties"]["events"]["maxItems"] == (
        protocol.MAX_BATCH_EVENTS
    )
    assert SCHEMAS["Mapping"]["maxProperties"] == protocol.MAX_PROPERTIES
    assert track["properties"]["maxProperties"] == protocol.MAX_PROPERTIES
    assert track["event_type"]["maxLength"] == protocol.MAX_EVENT_TYPE
    assert SCHEMAS["EventId"]["maxLength"] == protocol.MAX_EVENT_ID
    assert SCHEMAS["UserId"]["maxLength"] == protocol.MAX_USER_ID
    for name in ("VisitorId", "SessionId"):
        assert SCHEMAS[name]["pattern"] == f"^{protocol.WIRE_ID.pattern}$"


def test_enumerations_are_those_of_the_code():
    kinds = {
        resolved(item)["properties"]["type"]["const"]
        for item in SCHEMAS["Item"]["oneOf"]
    }
    lookback = SCHEMAS["RecordedConversion"]["properties"]["attribution"]

    assert kinds == protocol.KINDS
    assert SCHEMAS["Channel"]["anyOf"][0]["enum"] == [
        *model.CHANNELS,
        model.UNATTRIBUTED,
    ]
    assert SCHEMAS["Model"]["examples"] == list(MODEL_LABELS)
    assert lookback["properties"]["lookback_days"]["enum"] == [*LOOKBACKS, "all"]


def test_error_codes_are_those_of_the_code():
    root = Path(mbuzz.server.__file__).parent
    sources = [root / "app.py", *(root / "http").glob("*.py")]
    said = {
        code
        for source in sources
        for code in re.findall(
            r'HttpError\(\s*\d+,\s*"(\w+)"', source.read_text("utf-8")
        )
    }

    assert set(SCHEMAS["Error"]["properties"]["code"]["enum"]) == (
        said | set(answer._CODES.values())
    )


# -- what succeeds


def test_documented_requests_are_accepted(api):
    taken = []
    sale = {"conversion_type": "a", "user_id": "5", "revenue": "99.99"}
    sold = api("POST", "/api/v1/conversions", 201, sale).json()["conversion_id"]
    api("POST", "/api/v1/events", 202, {"events": [{**PAGE, "id": EVENT}]})
    for (method, path), operation in OPERATIONS.items():
        content = operation.get("requestBody", {}).get("content", {})
        for media in content.values():
            for example in media["examples"].values():
                status = {
                    "/api/v1/events": 202,
                    "/api/v1/sessions": 202,
                    "/api/v1/conversions": 201,
                    "/api/v1/attribution_models": 201,
                }
                if path.endswith("/refunds"):
                    status[path] = 201
                of = "paid_counts_more" if "models" in path else sold
                target = path.replace("{id}", of)
                body = api(
                    method, target, status.get(path, 200), example["value"]
                ).json()
                assert not body.get("rejected")
                taken.append(path)

    assert len(taken) == 21


def test_batch_of_everything_is_answered_as_documented(api):
    wrong = [None, 5, {}, {"id": "x" * 300, "event_type": 5}, {"type": "nothing"}]
    items = [
        PAGE,
        {**PAGE, "id": "evt_1"},
        {**PAGE, "id": "evt_1"},
        {"event_type": "Signup", "user_id": 5, "properties": {"a": "x" * 9_000}},
        {**PAGE, "properties": {"url": "https://a.example/", "user_agent": "bot"}},
        {"type": "identify", "user_id": "5", "visitor_id": VISITOR},
        {"type": "identify", "id": "a", "user_id": "5", "traits": {"a": "x" * 9_000}},
        {"type": "alias", "user_id": "5", "previous_id": "6"},
        {"type": "group", "id": "g", "group_id": 5, "user_id": "5"},
        {"type": "group", "id": "g", "group_id": 5, "user_id": "5"},
        {"type": "group", "group_id": "6", "traits": {"a": "x" * 9_000}},
        {"type": "conversion", "conversion_type": "a", "user_id": "5"},
        {
            "type": "conversion",
            "id": "own",
            "conversion": {
                "conversion_type": "a",
                "visitor_id": VISITOR,
                "revenue": 9.999,
            },
        },
        {"type": "conversion", "id": "own", "conversion_type": "a", "user_id": "5"},
    ]

    reply = api("POST", "/api/v1/events", 202, {"events": [*items, *wrong]}).json()

    assert reply["accepted"] == len(items)
    assert [entry["index"] for entry in reply["rejected"]] == [14, 15, 16, 17, 18]
    assert len([entry for entry in reply["events"] if "warnings" in entry]) == 6
    assert len([entry for entry in reply["events"] if entry.get("duplicate")]) == 3


def test_events_of_one_visitor_set_the_documented_cookies(api):
    answered = api("POST", "/api/v1/events", 202, {"events": [PAGE]})

    cookies = [value for name, value in answered.headers if name == "Set-Cookie"]
    assert [cookie.partition("=")[0] for cookie in cookies] == [
        protocol.VISITOR_COOKIE,
        protocol.SESSION_COOKIE,
    ]


def test_cookie_of_the_request_is_the_visitor_of_items_without(api):
    item = {"event_type": "Signup"}
    cookie = f"theme=dark; {protocol.VISITOR_COOKIE}={VISITOR}"

    reply = api("POST", "/api/v1/events", 202, {"events": [item]}, HTTP_COOKIE=cookie)

    assert reply.json()["events"][0]["visitor_id"] == VISITOR


@pytest.mark.parametrize("name", ["X_IDEMPOTENCY_KEY", "IDEMPOTENCY_KEY"])
def test_repeated_batch_is_answered_as_before(api, name):
    header = {f"HTTP_{name}": "k" * 300}
    replies = [
        api("POST", "/api/v1/events", 202, {"events": [PAGE]}, **header).body
        for _ in range(2)
    ]

    assert replies[0] == replies[1]


def test_gzip_is_understood(api):
    packed = gzip.compress(json.dumps({"events": [PAGE]}).encode())

    api("POST", "/api/v1/events", 202, packed, HTTP_CONTENT_ENCODING="gzip")


def test_conversion_is_answered_as_documented(api):
    api("POST", "/api/v1/events", 202, {"events": [PAGE]})
    sale = {"conversion_type": "purchase", "visitor_id": VISITOR, "order_id": "A-1"}

    first = api("POST", "/api/v1/conversions", 201, {**sale, "revenue": "9.999"})
    again = api("POST", "/api/v1/conversions", 200, {**sale, "revenue": 5})

    assert first.json()["attribution_credits"]["linear"][0]["channel"] == "email"
    assert first.json()["warnings"]
    assert again.json()["warnings"] == ["amount_differs"]


def test_conversion_and_what_becomes_of_it_are_answered_as_documented(api):
    api("POST", "/api/v1/events", 202, {"events": [PAGE]})
    sale = {
        "conversion_type": "purchase",
        "visitor_id": VISITOR,
        "identifier": {"email": "nobody@shop.example"},
        "revenue": "9.99",
        "currency": "XYZ",
        "is_acquisition": True,
        "funnel": "checkout",
        "properties": {"items": 2},
        "correlation": {"request_id": "r"},
    }
    first = api("POST", "/api/v1/conversions", 201, sale).json()
    second = api("POST", "/api/v1/conversions", 201, sale).json()
    heir = {**sale, "inherit_acquisition": True, "is_acquisition": False}
    third = api("POST", "/api/v1/conversions", 201, heir).json()
    paths = [
        f"/api/v1/conversions/{reply['conversion_id']}"
        for reply in (first, second, third)
    ]

    part = {"refund_id": 1, "amount": "3.333", "reason": "late"}
    refunded = api("POST", f"{paths[0]}/refunds", 201, part)
    again = api("POST", f"{paths[0]}/refunds", 200, {**part, "amount": 1}).json()
    api("POST", f"{paths[1]}/void", 200)

    assert first["warnings"] == ["unknown_currency", "unknown_user"]
    assert "already_acquired" in second["warnings"]
    assert refunded.json()["warnings"]
    assert again["warnings"] == ["amount_differs"]
    shown = [api("GET", path, 200).json() for path in paths]
    assert [s["conversion"]["status"] for s in shown] == [
        "partially_refunded",
        "void",
        "complete",
    ]
    assert shown[2]["conversion"]["inherited_from"] == first["conversion_id"]
    report = api("GET", "/api/v1/reports/channels?refunds_booked_on=refund", 200)
    assert report.json()["totals"]["refunds"] == "-3.33"


def test_conversion_out_of_nowhere_is_unattributed(api):
    lead = {"conversion_type": "lead", "user_id": "5"}

    reply = api("POST", "/api/v1/conversions", 201, lead).json()

    assert reply["attribution_credits"]["linear"][0]["channel"] == "unattributed"


def test_key_is_told_whose_it_is(api):
    assert api("GET", "/api/v1/validate", 200).json()["environment"] == "test"


@pytest.mark.parametrize("path", ["/api/v1/health", "/health", "/health/live"])
def test_health_is_ok_without_a_key(api, path):
    api.client.key = None

    api("GET", path, 200)


def test_metrics_are_as_documented(api):
    local = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8787"}
    local["SERVER_PROTOCOL"] = "HTTP/1.1"
    api("GET", "/metrics", 200, **local)
    api("GET", "/metrics", 403, **{**local, "REMOTE_ADDR": "192.0.2.1"})


@pytest.mark.parametrize(
    "query",
    ["", "?from=2026-11-01&to=2026-11-30&model=first_touch,linear&currency=usd"],
)
def test_report_is_answered_as_documented(api, query):
    lead = {"conversion_type": "lead", "visitor_id": VISITOR, "revenue": 10}
    euros = {"conversion_type": "lead", "user_id": "5", "currency": "EUR"}
    api("POST", "/api/v1/events", 202, {"events": [PAGE]})
    api("POST", "/api/v1/conversions", 201, lead)
    api("POST", "/api/v1/conversions", 201, euros)

    report = api("GET", f"/api/v1/reports/channels{query}", 200).json()

    assert report["other_currencies"] == {"EUR": 1}
    assert report["totals"]["revenue"] == "10.00"


@pytest.mark.parametrize(
    ("query", "headers"), [("?format=csv", {}), ("", {"HTTP_ACCEPT": "text/csv"})]
)
def test_report_is_csv_when_asked_for(api, query, headers):
    answered = api("GET", f"/api/v1/reports/channels{query}", 200, **headers)

    assert answered.header("Content-Type").startswith("text/csv")
    assert answered.body.startswith(b"channel,visits,")


def test_head_has_the_headers_of_get(api):
    answered = api.client.send("HEAD", "/api/v1/health")

    assert (answered.status, answered.body) == (200, b"")


# -- what fails


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/events", {}, "missing_events"),
        ("/events", {"events": {}}, "invalid_events"),
        ("/events", [], "invalid_json"),
        ("/identify", b"{", "invalid_json"),
        ("/alias", b"\xff", "invalid_json"),
        ("/conversions", b"[" * 100_000, "invalid_json"),
        ("/conversions", b'{"revenue": NaN}', "invalid_json"),
    ],
)
def test_unreadable_request_is_a_400(api, path, body, code):
    answered = api("POST", f"/api/v1{path}", 400, body)

    assert answered.json()["code"] == code


def test_broken_gzip_is_a_400(api):
    for body in (b"no gzip", gzip.compress(b"{}" * 1_000)[:-4]):
        api("POST", "/api/v1/events", 400, body, HTTP_CONTENT_ENCODING="gzip")


def test_query_of_too_many_parameters_is_a_400(api):
    api("GET", "/api/v1/reports/channels?" + "a=b&" * 101, 400)


@pytest.mark.parametrize(("method", "path"), KEYED)
def test_request_without_a_key_that_counts_is_a_401(api, method, path):
    sentences = set()
    for header in (None, "Basic abc", f"Bearer sk_test_{'0' * 32}"):
        api.client.key = None
        headers = {} if header is None else {"HTTP_AUTHORIZATION": header}
        sentences.add(api(method, path, 401, **headers).json()["error"])

    assert len(sentences) == 3


def test_revoked_key_is_a_401(api):
    def revoke(stores):
        key = keys.authenticate(stores.accounts, f"Bearer {api.client.key}", 0)
        return stores.accounts.revoke_key(key.account.id, key.public_id, 1)

    assert api.client.app.storage.write(revoke)

    assert "revoked" in api("GET", "/api/v1/validate", 401).json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [where for where in KEYED if "403" in OPERATIONS[where]["responses"]],
)
def test_key_without_the_scope_is_a_403(api, method, path):
    def narrow(stores):
        account = stores.accounts.accounts()[0]
        needs = {(r.method, r.path): r.scope for r in api.client.app.router.routes}
        scope = {"read"} if needs[method, path] == "ingest" else {"import"}
        return keys.create(
            stores.accounts, account, live=False, name="", now_ms=1, scopes=scope
        )[1]

    api.client.key = api.client.app.storage.write(narrow)

    assert api(method, path, 403).json()["code"] == "forbidden"


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/api/v1/conversions", {"conversion_type": "a", "event_id": "evt_x"}),
        ("GET", "/api/v1/conversions/conv_unknown", {}),
        ("POST", "/api/v1/conversions/conv_unknown/refunds", {"refund_id": "r"}),
        ("POST", "/api/v1/conversions/conv_unknown/void", {}),
    ],
)
def test_what_is_not_here_is_a_404(api, method, target, body):
    assert api(method, target, 404, body).json()["code"] == "not_found"


def test_unknown_path_is_a_404(api):
    answered = api.client.get("/nothing")

    assert answered.status == 404
    check_answer(answered, DOCUMENT["components"]["responses"]["NotFound"])


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_other_method_is_a_405(api, method, path):
    answered = api.client.send("PUT", path)

    assert answered.status == 405
    assert method in answered.header("Allow")
    check_answer(answered, DOCUMENT["components"]["responses"]["MethodNotAllowed"])


def test_idempotency_key_with_another_body_is_a_409(api):
    header = {"HTTP_X_IDEMPOTENCY_KEY": "k"}
    api("POST", "/api/v1/events", 202, {"events": [PAGE]}, **header)

    api("POST", "/api/v1/events", 409, {"events": []}, **header)


@pytest.mark.parametrize(("method", "path"), POSTS)
def test_body_over_a_limit_is_a_413(api, method, path):
    packed = gzip.compress(b" " * (protocol.MAX_UNPACKED_BYTES + 1))

    api(method, path, 413, CONTENT_LENGTH=str(protocol.MAX_BODY_BYTES + 1))
    api(method, path, 413, packed, HTTP_CONTENT_ENCODING="gzip")


def test_batch_over_its_limit_is_a_413(api):
    most = [PAGE] * protocol.MAX_BATCH_EVENTS

    api("POST", "/api/v1/events", 202, {"events": most})
    answered = api("POST", "/api/v1/events", 413, {"events": [*most, PAGE]})

    assert answered.json()["code"] == "batch_too_large"


@pytest.mark.parametrize(("method", "path"), POSTS)
def test_packing_that_is_not_known_is_a_415(api, method, path):
    api(method, path, 415, b"{}", HTTP_CONTENT_ENCODING="br")


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/api/v1/identify", {}),
        ("POST", "/api/v1/identify", {"user_id": "5", "traits": {"a": "x" * 40_000}}),
        ("POST", "/api/v1/alias", {"user_id": "5"}),
        ("POST", "/api/v1/group", {"user_id": "5"}),
        ("POST", "/api/v1/conversions", {}),
        ("GET", "/api/v1/reports/channels?model=magic", {}),
        ("GET", "/api/v1/reports/channels?from=yesterday", {}),
        ("GET", "/api/v1/reports/channels?from=2026-11-02&to=2026-11-01", {}),
        ("GET", "/api/v1/reports/channels?currency=dollars", {}),
    ],
)
def test_request_that_cannot_be_carried_out_is_a_422(api, method, target, body):
    answered = api(method, target, 422, body)

    assert answered.json()["details"]


@pytest.mark.parametrize(("method", "path"), KEYED)
def test_too_many_requests_of_a_key_are_a_429(api, caller, method, path):
    client = caller(rate_limit=0.01, rate_burst=1)
    client.get("/validate")

    answered = api(method, path, 429, client=client)

    assert answered.header("Retry-After") == "100"


class BrokenStorage:
    """Fails as a bug of ours or a full disk would make it."""

    accounts_version = 0

    def __init__(self, error):
        self._error = error

    def read(self, work):
        raise self._error


@pytest.mark.parametrize(("method", "path"), KEYED)
@pytest.mark.parametrize(
    ("error", "status"),
    [(LookupError("secret"), 500), (StorageBusyError("busy; try again"), 503)],
)
def test_failing_database_is_a_500_or_503(api, method, path, error, status):
    api.client.app = Application(BrokenStorage(error), ServerSettings(), SYSTEM_CLOCK)

    answered = api(method, path, status, {})

    assert b"secret" not in answered.body


@pytest.mark.parametrize("path", ["/api/v1/health", "/health"])
def test_failing_health_is_a_503(api, path):
    api.client.app.close()

    answered = api("GET", path, 503)

    assert answered.json()["status"] == "failing"
