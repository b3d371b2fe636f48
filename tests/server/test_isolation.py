"""Nobody sees or changes anything of another account, or of the other environment.

Every route and every method of the stores is in here, found by enumeration: a new one
fails `test_every_...` until it is said how it is called.
"""

import inspect
import json
import typing
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz import protocol
from mbuzz.server import accounts, passwords, team
from mbuzz.server.http.access import ANY
from mbuzz.server.ingestion import keys
from mbuzz.server.model import (
    DIRECT,
    Session,
    Tenant,
    TrackCall,
    WebEvent,
)
from mbuzz.server.roles import ADMIN, MEMBER, OWNER
from mbuzz.server.storage import port
from mbuzz.server.storage.model_port import ModelVersion, TrainingRow
from mbuzz.server.storage.pending import Pending
from mbuzz.server.storage.privacy_port import Erasure, Person
from mbuzz.server.storage.rows import bulk, conversions, events
from mbuzz.server.tracking import traits
from tests.server.conftest import Caller
from tests.server.dashboard.client import CHEAP, Browser
from tests.server.sql_guard import fault
from tests.server.two_accounts import (
    EVERYTHING,
    MARK,
    NOW_MS,
    PASSWORD,
    SAME,
    FastCaller,
    Town,
    live,
    rows_of,
    said,
    traces,
)

OWN = "own-of-a"
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def town():
    """A's live data are its own, its test data and all of B's are marked."""
    town = Town(hashed=passwords.hash_password(PASSWORD, CHEAP))
    town.fill(town.a.live, OWN)
    town.fill(town.a.test, MARK)
    town.fill(town.b.live, MARK)
    town.fill(town.b.test, MARK)
    yield town
    town.close()


# -- (a) every route, with every kind of key --

# What a stranger asks for: {method path: [(path parameters, query, body), ...]}, by
# ids that B has, and such as everybody has. {mark} stands for B's mark.
EVENT_BODIES = [{"events": said(OWN)}, {"events": [{**said(OWN)[1], "id": "evt_2"}]}]
SOLD = {"id": f"conv_{MARK.replace('-', '')}000001"}  # of others only
MODEL_OF_B = f"own_{MARK}".replace("-", "_")
ASKED = {
    "POST /events": [({}, "", body) for body in EVENT_BODIES],
    "POST /identify": [({}, "", {"user_id": "user-{mark}", "visitor_id": "x"})],
    "POST /alias": [({}, "", {"user_id": "x", "previous_id": "user-{mark}"})],
    "POST /group": [({}, "", {"group_id": SAME["group"], "user_id": "user-{mark}"})],
    "POST /sessions": [
        (
            {},
            "",
            {
                "visitor_id": SAME["visitor"],
                "session_id": "landing-1",
                "url": "https://shop.example/",
            },
        ),
    ],
    "POST /conversions": [
        ({}, "", {"conversion_type": "purchase", "event_id": "evt_{mark}"}),
        (
            {},
            "",
            {
                "conversion_type": "purchase",
                "visitor_id": SAME["visitor"],
                "order_id": "order-{mark}",
            },
        ),
    ],
    "GET /conversions/{id}": [(SOLD, "", None)],
    "POST /conversions/{id}/refunds": [(SOLD, "", {"refund_id": "r-{mark}"})],
    "POST /conversions/{id}/void": [(SOLD, "", {"reason": "{mark}"})],
    "GET /reports/channels": [({}, "", None), ({}, "format=csv&currency=USD", None)],
    "GET /reports/quality": [({}, "", None)],
    "GET /validate": [({}, "", None)],
    "GET /attribution_models": [({}, "", None)],
    "POST /attribution_models": [({}, "", {"name": "x", "base": "linear"})],
    "POST /attribution_models/preview": [
        ({}, "", {"model": MODEL_OF_B}),
        ({}, "", {"base": "linear", "compare": "markov"}),
    ],
    "GET /attribution_models/{id}": [
        ({"id": MODEL_OF_B}, "", None),
        ({"id": MODEL_OF_B}, "version=1", None),
    ],
    "PATCH /attribution_models/{id}": [({"id": MODEL_OF_B}, "", {"name": "x"})],
    "DELETE /attribution_models/{id}": [({"id": MODEL_OF_B}, "", None)],
    "GET /attribution_models/{id}/versions": [({"id": MODEL_OF_B}, "", None)],
    "DELETE /visitors/{id}": [({"id": "visitor-{mark}"}, "", None)],
    "GET /visitors/{id}/export": [({"id": "visitor-{mark}"}, "", None)],
    "DELETE /users/{id}": [({"id": "only-{mark}"}, "", None)],
    "DELETE /users": [({}, f"email={MARK}%40example.com", None)],
    "GET /users/{id}/export": [({"id": "only-{mark}"}, "", None)],
    "GET /users/export": [({}, f"user_id=only-{MARK}", None)],
    "GET /jobs/{id}": [({"id": "job_{mark}"}, "", None)],
}
# Answers to ids that only B has, where it is one id that is asked for.
NOT_FOUND = {404, 422}

KEYLESS = {
    ("GET", "/api/v1/health"),
    ("GET", "/openapi.json"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/assets/mbuzz.css"),
    ("GET", "/health"),
    ("GET", "/health/live"),
    ("GET", "/metrics"),
}
# Pages: who may see each, and what a form is filled with.
PAGES = {
    ("GET", "/"): ({OWNER, ADMIN, MEMBER}, None),
    ("GET", "/keys"): ({OWNER, ADMIN}, None),
    ("POST", "/keys"): ({OWNER, ADMIN}, {"name": "x", "scope_read": "on"}),
    ("POST", "/keys/revoke"): ({OWNER, ADMIN}, {"key": "{key}"}),
    ("GET", "/password"): ({OWNER, ADMIN, MEMBER}, None),
    ("POST", "/password"): (
        {OWNER, ADMIN, MEMBER},
        {"current": "wrong", "new": "x" * 12, "again": "x" * 12},
    ),
    ("POST", "/logout"): ({OWNER, ADMIN, MEMBER}, {}),
}


def api_routes(app):
    return [route for route in app.router.routes if route.scope is not None]


def name(route):
    return f"{route.method} {route.path.removeprefix(protocol.API_PREFIX)}"


def test_every_route_is_in_these_tables(town):
    routes = town.app.router.routes
    keyed = {name(route) for route in api_routes(town.app)}
    others = {(r.method, r.path) for r in routes if r.scope is None}

    assert keyed == ASKED.keys(), "say in ASKED what a stranger may ask of a new route"
    assert others == KEYLESS | PAGES.keys(), "say in PAGES who may see a new page"


def requests(route):
    """Yield what a stranger asks of a route: target and body."""
    for parameters, query, body in ASKED[name(route)]:
        given = {key: value.format(mark=MARK) for key, value in parameters.items()}
        path = route.path.format(**given)
        text = "" if body is None else json.dumps(body).replace("{mark}", MARK)
        yield f"{path}?{query}" if query else path, text.encode()


def bad_headers(town):
    """Return headers that let nobody in, by what is wrong with them."""
    revoked = town.caller(town.a)
    expired = town.caller(town.a, expires_at_ms=NOW_MS)

    def revoke(stores):
        last = stores.accounts.keys(town.a.account.id)[-2]
        assert keys.revoke(
            stores.accounts, town.a.account, last.public_id, now_ms=NOW_MS
        )

    town.storage.write(revoke)
    good = town.a.live.key
    return {
        "none": None,
        "empty": "",
        "no scheme": good,
        "another scheme": f"Basic {good}",
        "malformed": "Bearer sk_live_short",
        "unknown": f"Bearer sk_live_{'0' * 48}",
        "cut": f"Bearer {good[:-1]}",
        "live as test": f"Bearer {good.replace('live', 'test')}",
        "a digest": f"Bearer sk_live_{keys.digest(good)}",
        "revoked": f"Bearer {revoked.key}",
        "expired": f"Bearer {expired.key}",
    }


WAYS = pytest.mark.parametrize("way", [Caller, FastCaller])  # WSGI, built-in server


@WAYS
def test_no_route_lets_in_who_has_no_key_that_counts(town, way):
    before = town.rows(live(town.b)), town.rows(live(town.a), both=False)
    for why, header in bad_headers(town).items():
        nobody = way(town.app, None)
        headers = {} if header is None else {"HTTP_AUTHORIZATION": header}
        for route in api_routes(town.app):
            for target, body in requests(route):
                answered = nobody.send(route.method, target, body, **headers)

                assert answered.status == 401, (why, name(route))
                assert not traces(answered)
                assert OWN not in answered.body.decode()

    assert (town.rows(live(town.b)), town.rows(live(town.a), both=False)) == before


def test_the_key_of_a_closed_account_is_refused_until_it_is_back(town):
    stranger = town._house("Shop C")

    town.storage.write(
        lambda s: accounts.close(s, stranger.account, actor="x", now_ms=NOW_MS)
    )
    for route in api_routes(town.app):
        for target, body in requests(route):
            assert stranger.live.send(route.method, target, body).status == 401
    town.storage.write(
        lambda s: accounts.restore(s, stranger.account, actor="x", now_ms=NOW_MS)
    )

    assert stranger.live.get("/validate").status == 200


@WAYS
def test_a_key_without_the_scope_is_a_403_and_does_nothing(town, way):
    before = town.rows(live(town.a), both=False)
    for route in api_routes(town.app):
        scopes = set(EVERYTHING) - {route.scope, "import"}
        key = town.caller(town.a, live=True, scopes=scopes).key
        caller = way(town.app, key)
        for target, body in requests(route):
            answered = caller.send(route.method, target, body)
            if route.scope == ANY:
                assert answered.status == 200
            else:
                assert answered.status == 403, name(route)
                assert answered.json()["code"] == "forbidden"
                assert f"but not {route.scope}" in answered.json()["error"]

    assert town.rows(live(town.a), both=False) == before


@WAYS
def test_no_answer_to_a_has_a_trace_of_others_and_changes_nothing_of_theirs(town, way):
    others = [Tenant(town.b.account.id, which) for which in (True, False)]
    before = [town.rows(tenant) for tenant in others]
    tests = without_recredits(town.rows(Tenant(town.a.account.id, False), both=False))
    key = town.a.live.key
    for route in api_routes(town.app):
        for target, body in requests(route):
            answered = way(town.app, key).send(route.method, target, body)
            asked = f"{target} {body.decode()}"

            assert answered.status < 500, (name(route), answered.body)
            if "{" in route.path:
                assert answered.status in NOT_FOUND, name(route)
            if MARK not in asked:  # else it is said again what was asked
                assert not traces(answered), (name(route), answered.body)
            assert "77.77" not in answered.body.decode()
    assert [town.rows(tenant) for tenant in others] == before
    after = town.rows(Tenant(town.a.account.id, False), both=False)
    assert without_recredits(after) == tests


def without_recredits(rows):
    """Leave out what a model of the account's own asks for, in both environments."""
    return {table: rows for table, rows in rows.items() if table != "recredits"}


def test_an_id_of_b_is_as_unknown_as_one_that_nobody_has(town):
    for route in api_routes(town.app):
        for target, body in requests(route):
            if route.method == "GET" or "{" in route.path:
                answers = [
                    town.a.live.send(
                        route.method,
                        target.replace(MARK, other),
                        body.replace(MARK.encode(), other.encode()),
                    )
                    for other in (MARK, "nobody-is")
                ]
                assert answers[0].status == answers[1].status, name(route)
                assert (
                    answers[0].body.decode().replace(MARK, "nobody-is")
                    == answers[1].body.decode()
                ), name(route)


# -- pages --


def visitor_of(town, house, role):
    town.clock.advance(120)  # these log-ins are many
    browser = Browser(town.app)
    assert browser.log_in(house.emails[role], PASSWORD).status == 303
    return browser


def fields(town, browser, form):
    if form is None:
        return None
    page = browser.get("/password").text
    token = page.partition('name="form_token" value="')[2].partition('"')[0]
    first = town.storage.read(lambda s: s.accounts.keys(town.b.account.id))[0]
    filled = {key: value.format(key=first.public_id) for key, value in form.items()}
    return {**filled, "form_token": token}


def open_page(browser, method, path, form):
    return browser.get(path) if method == "GET" else browser.post(path, form)


def test_no_page_shows_anything_to_who_is_not_logged_in(town):
    for cookie in ("", "mbuzz_dashboard=", f"mbuzz_dashboard={'0' * 64}"):
        for (method, path), (_, form) in PAGES.items():
            browser = Browser(town.app, cookie=cookie)
            answer = open_page(browser, method, path, form)

            assert answer.status == 303, path
            assert answer.header("Location").startswith("/login")
            assert OWN not in answer.text
            assert MARK not in answer.text


@pytest.mark.parametrize("role", [OWNER, ADMIN, MEMBER])
def test_pages_are_for_the_roles_of_the_table_and_show_nothing_of_b(town, role):
    before = [town.rows(Tenant(town.b.account.id, which)) for which in (True, False)]
    for (method, path), (roles, form) in PAGES.items():
        browser = visitor_of(town, town.a, role)
        answer = open_page(browser, method, path, fields(town, browser, form))

        assert (answer.status != 403) is (role in roles), path
        assert answer.status < 500
        assert MARK not in answer.text
        assert "77.77" not in answer.text
    after = [town.rows(Tenant(town.b.account.id, which)) for which in (True, False)]
    assert after == before


def test_no_form_works_with_the_token_of_somebody_else(town):
    theirs = fields(town, visitor_of(town, town.b, OWNER), {})
    for (method, path), (_, form) in PAGES.items():
        if method == "POST":
            browser = visitor_of(town, town.a, OWNER)
            for token in (theirs["form_token"], "", "0" * 64):
                answer = browser.post(path, {**form, "form_token": token})
                assert answer.status == 403, path


# -- (b) every method of every store --

ROW = 10**9  # a row that nobody has


class Values:
    """Arguments for the stores' methods, by the parameters' names and types.

    *rows* are those of somebody else, or such as nobody has.
    """

    def __init__(self, town, rows):
        self._town = town
        self._rows = rows

    def of(self, method, parameter, kind):
        by_type = f"{parameter}: {getattr(kind, '__name__', kind)}"
        for key in (f"{method}.{parameter}", by_type, parameter):
            if key in VALUES:
                value = VALUES[key]
                return value(self._town, self._rows) if callable(value) else value
        raise LookupError(
            f"say in VALUES what {method} is given as {by_type!r}: an id that all "
            "have, or a row of somebody else"
        )


def row(table):
    return lambda _town, rows: rows[table]


def some(table):
    return lambda _town, rows: [rows[table]]


def session_value(_town, _rows):
    url = "https://shop.example/"
    event = WebEvent(event_id="evt_9", occurred_at_ms=NOW_MS, url=url, landing=DIRECT)
    return Session(events=(event,))


def call_value(_town, _rows):
    return TrackCall(
        event_id=SAME["event"],
        event_type="page_view",
        visitor_id=SAME["visitor"],
        user_id=None,
        session_id=None,
        occurred_at_ms=NOW_MS,
        received_at_ms=NOW_MS,
    )


def event_value(_town, rows):
    return events.NewEvent(
        event_id="evt_9",
        event_type="x",
        visitor=rows["visitors"],
        identity=rows["identities"],
        client_session_id=None,
        occurred_at_ms=NOW_MS,
        received_at_ms=NOW_MS,
        said_ms=None,
        url=None,
        referrer=None,
        landing=None,
        bot_reason=None,
        flags=frozenset(),
        properties={},
    )


def conversion_value(_town, rows):
    return conversions.NewConversion(
        public_id="conv_9999999999",
        dedupe_key=None,
        conversion_type="purchase",
        visitor=rows["visitors"],
        identity=rows["identities"],
        event=rows["events"],
        revenue_minor=1,
        currency="USD",
        converted_at_ms=NOW_MS,
        received_at_ms=NOW_MS,
        is_acquisition=False,
        inherits=False,
        lookback_days=90,
        counting="every",
        funnel=None,
        correlation={},
        flags=frozenset(),
        properties={},
    )


def refund_value(_town, rows):
    return conversions.NewRefund(
        public_id="rfnd_9",
        conversion=rows["conversions"],
        refund_id="r9",
        amount_minor=1,
        reason=None,
        refunded_at_ms=NOW_MS,
        received_at_ms=NOW_MS,
    )


def conversion_row(_town, rows):
    return conversions.ConversionRow(
        id=rows["conversions"],
        public_id="conv_9999999999",
        conversion_type="purchase",
        visitor=rows["visitors"],
        visitor_id=None,
        identity=rows["identities"],
        user_id=None,
        revenue_minor=1,
        currency="USD",
        converted_at_ms=NOW_MS,
        is_acquisition=False,
        inherits=False,
        lookback_days=90,
        counting="every",
        funnel=None,
        refunded_minor=0,
        voided_at_ms=None,
        void_reason=None,
        standing=conversions.Standing(),
        flags=frozenset(),
        attributed_version=1,
    )


def person_value(_town, rows):
    return Person(
        visitors=(rows["visitors"],),
        shared=(rows["visitors"],),
        identities=(rows["identities"],),
    )


def erasure_value(town, rows):
    return Erasure(
        id=1,
        public_id="job_1",
        tenant=live(town.a),
        actor="x",
        status="done",
        person=person_value(town, rows),
        counts={"events": 9},
        created_at_ms=NOW_MS,
    )


def bulk_rows(_town, rows):
    longer = bulk.LongerSession(
        id=rows["sessions"],
        last_event=rows["events"],
        last_event_at_ms=NOW_MS + 1,
        page_views=1,
        flags="x",
    )
    return bulk.BulkRows(
        visitors=[],
        sessions=[],
        events=[],
        longer=[longer],
        confirmed={rows["visitors"]: NOW_MS + 1},
    )


def training_of(_town, rows):
    return rows["training"]


# Values to write differ from those that are there, so that a change is one.
VALUES = {
    "visitor": row("visitors"),
    "visitors": some("visitors"),
    "identity": row("identities"),
    "identities": some("identities"),
    "root": row("identities"),
    "old_root": row("identities"),
    "new_root": ROW + 1,
    "group": row("groups"),
    "event": row("events"),
    "events": some("events"),
    "first_event": row("events"),
    "last_event": row("events"),
    "session": row("sessions"),
    "conversion": row("conversions"),
    "insert_event.event": event_value,
    "event.event_id": SAME["event"],
    "insert_conversion.conversion": conversion_value,
    "replace_credits.conversion": conversion_row,
    "replace_refund_credits.conversion": conversion_row,
    "conversion_details.row": row("conversions"),
    "flag_conversion.row": row("conversions"),
    "void_conversion.row": row("conversions"),
    "refund": refund_value,
    "standing": conversions.Standing(counted=False),
    "taken": [],
    "flag": "x",
    "reason": "x",
    "conversion_type": "purchase",
    "by_refund": False,
    "identities_by_email.digest": traits.email_hash(f"{MARK}@example.com"),
    "said": {"name": NOW_MS},
    "email_hash": None,
    "daily_salt.day": "2026-11-18",
    "daily_salt.fresh": OWN,
    "previous_id": "user-0",
    "session: Session": session_value,
    "call": call_value,
    "web_event_rows.rows": some("events"),
    "extend_session.row": row("sessions"),
    "update_session.row": row("sessions"),
    "delete_session.row": row("sessions"),
    "conversion.row": row("conversions"),
    "kept_conversion.row": row("conversions"),
    "credits_": [],
    "known_events.hour": NOW_MS // 3_600_000,
    "event_ids": [SAME["event"], f"evt_{MARK}"],
    "visitor_ids": [SAME["visitor"], f"visitor-{MARK}"],
    "rows: BulkRows": bulk_rows,
    "visitor_id": SAME["visitor"],
    "user_id: str": SAME["user"],
    "group_id": SAME["group"],
    "call_id": "call-1",
    "event_id": SAME["event"],
    "public_id": SAME["conversion"],
    "dedupe_key": f"order:{SAME['order']}",
    "key": SAME["batch"],
    "reply": "{}",
    "reply.since_ms": 0,
    "traits": {"name": "x"},
    "list_version": "1",
    "currency": "USD",
    "flags": frozenset(),
    "page_views": 1,
    "timeout_ms": 1_800_000,
    "from_ms": 0,
    "to_ms": NOW_MS + DAY_MS,
    "until_ms": NOW_MS + DAY_MS,
    "at_ms": NOW_MS,
    "now_ms": NOW_MS,
    "seen_ms": NOW_MS,
    "said_ms": NOW_MS + 1,
    "since_ms": NOW_MS,
    "last_event_at_ms": NOW_MS + 1,
    "set_session.session": None,
    # privacy
    "person": person_value,
    "erasure": erasure_value,
    "erasure.public_id": "job_1",
    "ids": [("visitor", SAME["visitor"]), ("user", SAME["user"])],
    "texts": [MARK],
    "most": 5,
    "after": 0,
    "before_ms": NOW_MS + DAY_MS,
    "secret": "x",
    # accounts
    "account": lambda town, _rows: town.a.account,
    "account_id": lambda town, _rows: town.a.account.id,
    "user_id: int": row("users"),
    "key_id": row("api_keys"),
    "revoke_key.public_id": lambda _town, rows: rows["key_public_id"],
    "create_key.public_id": "key_new",
    "create_user.public_id": "user_new",
    "digest": "0" * 64,
    "hint": "sk_test_...0000",
    "name": "x",
    "live": False,
    "scopes": frozenset({"read"}),
    "expires_at_ms": None,
    "email": "new@example.com",
    "password_hash": "x",
    "hashed": "x",
    "role": MEMBER,
    "but_digest": None,
    "actor": "x",
    "action": "x",
    "details": {},
    "limit": 1_000,
    "landing": DIRECT,
    "settings": {},
    # models
    "models": "[]",
    "channel_sums.models": ["linear"],
    "trained.models": ["markov", "shapley"],
    "replace_credits_of.models": ["linear"],
    "model": "markov",
    "version: ModelVersion": ModelVersion(
        model="new", version=1, definition="{}", actor="x", created_at_ms=NOW_MS
    ),
    "version": 1,
    "training": TrainingRow(
        public_id="trn_new",
        model="markov",
        version=9,
        definition="{}",
        journeys=1,
        conversions=1,
        known=1,
        state="{}",
        diagnostics={},
        trained_at_ms=NOW_MS,
    ),
    "training_state.public_id": training_of,
    "names": ["signup", "purchase"],
    "step": 1,
    "until": 10**9,
    "last": 10**9,
    "reached": 1,
    "finished_at_ms": None,
}

# Methods that find by a secret, or are for the operator of the whole backend.
FOR_ALL = {
    "accounts": "the operator's list, and the first start",
    "create_account": "makes a new one",
    "key_by_digest": "the digest of a key is its secret",
    "user_by_email": "a password follows",
    "user_by_login": "the digest of a log-in's token is its secret",
    "create_login": "of a user who has just shown a password",
    "delete_login": "the digest of a log-in's token is its secret",
    "next_rows": "row numbers, which tell nothing",
    "stamp": "counters of the whole database",
    "kept_accounts": "retention's list",
    "next_erasure": "the job erases for all; each says whose it is",
    "unscrubbed": "the journal is everybody's",
    "open_recredits": "the job gives credit anew for all",
    "set_scrubbed": "the same",
    **dict.fromkeys(
        ("jobs", "add_job", "claim_job", "renew_job", "finish_job"), "the backend's own"
    ),
}


def methods():
    """Yield every method of every store: the store's name, its own, parameters."""
    for store, kind in typing.get_type_hints(port.Stores).items():
        assert store, kind
    for store, prop in inspect.getmembers(
        port.Stores, lambda m: isinstance(m, property)
    ):
        protocol_ = typing.get_type_hints(prop.fget)["return"]
        for method, function in inspect.getmembers(protocol_, inspect.isfunction):
            if not method.startswith("_"):
                yield store, method, function


METHODS = [(s, m, f) for s, m, f in methods() if m not in FOR_ALL]
# What is done to an account as a whole.
OF_BOTH = {
    "privacy.erase_account",
    *(f"{store}.{method}" for store, method, _ in METHODS if store == "accounts"),
}


def arguments(function, method, values, tenant):
    """Return what a method is called with: the tenant, and values for the rest."""
    positional, named = [], {}
    hints = typing.get_type_hints(function)
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        kind = hints[parameter.name]
        of = values.of
        value = tenant if kind is Tenant else of(method, parameter.name, kind)
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        else:
            positional.append(value)
    return positional, named


def rows_to_ask_for(town, tenant):
    """Return a row of each table that a tenant has."""

    def work(stores):
        db = stores.tracking._db
        found = {}
        owner = {"account_id": tenant.account_id, "live": int(tenant.live)}
        for table in ("visitors", "identities", "groups", "events", "sessions"):
            ((found[table],),) = db.rows(
                f"SELECT min(id) FROM {table}"
                " WHERE account_id = :account_id AND live = :live",
                owner,
            )
        ((found["conversions"],),) = db.rows(
            "SELECT min(id) FROM conversions"
            " WHERE account_id = :account_id AND live = :live",
            owner,
        )
        trained = stores.tracking.trained(tenant, ["markov"])
        found["training"] = trained[0].public_id
        found["users"] = stores.accounts.users(tenant.account_id)[-1].id
        key = stores.accounts.keys(tenant.account_id)[0]
        found["api_keys"], found["key_public_id"] = key.id, key.public_id
        return found

    return town.storage.read(work)


NOBODYS = {
    **dict.fromkeys(
        ("visitors", "identities", "groups", "events", "sessions", "conversions"), ROW
    ),
    "users": ROW,
    "api_keys": ROW,
    "key_public_id": "key_nobody",
    "training": "trn_nobody",
}


class UndoneError(Exception):
    """Ends the transaction of a call, so that the next finds all as it was."""

    def __init__(self, outcome, before, after):
        self.outcome = outcome
        self.before = before
        self.after = after


def call(town, store, method, function, *, rows, watched, tenant):
    """Call a method in a transaction that is undone; return what came of it."""
    positional, named = arguments(function, method, Values(town, rows), tenant)

    def work(stores):
        before = rows_of(stores, watched, both=watched.account_id != tenant.account_id)
        try:
            got = getattr(getattr(stores, store), method)(*positional, **named)
            outcome = plain(got)
        except Exception as error:
            outcome = f"raised {type(error).__name__}"
        after = rows_of(stores, watched, both=watched.account_id != tenant.account_id)
        raise UndoneError(outcome, before, after)

    with pytest.raises(UndoneError) as undone:
        town.storage.write(work)
    return undone.value


def plain(value):
    """Return a result as text that can be compared and searched."""
    if isinstance(value, Pending):
        value = value.result()
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    if isinstance(value, Sequence) and not isinstance(value, str | tuple):
        value = list(value)
    return repr(value)


def ids_of(case):
    return f"{case[0]}.{case[1]}"


WHO = {
    "another account": lambda town: live(town.b),
    "the test data": lambda town: Tenant(town.a.account.id, False),
}


@pytest.mark.parametrize(
    ("who", "case"),
    [
        pytest.param(who, case, id=f"{ids_of(case)} {who}")
        for case in METHODS
        for who in WHO
        # accounts, keys and users are of both environments
        if not (ids_of(case) in OF_BOTH and who == "the test data")
    ],
)
def test_no_method_of_a_store_reaches_others(town, who, case):
    store, method, function = case
    theirs = WHO[who](town)
    tenant = live(town.a)

    done = call(
        town,
        store,
        method,
        function,
        rows=rows_to_ask_for(town, theirs),
        watched=theirs,
        tenant=tenant,
    )

    assert done.after == done.before
    assert MARK not in done.outcome
    returns = typing.get_type_hints(function)["return"]
    if returns is not type(None) and method not in NEW_ROWS:
        nobody = call(
            town, store, method, function, rows=NOBODYS, watched=theirs, tenant=tenant
        )
        assert done.outcome == nobody.outcome, "it matters whether others have the row"


# These return the number of a row that they make, or refuse one that nobody has.
NEW_ROWS = {"insert_event", "insert_session", "insert_conversion", "add_erasure"}


def test_the_methods_find_something_for_who_it_belongs_to(town):
    tenant = live(town.b)
    found = set()
    for store, method, function in METHODS:
        if store != "accounts":
            outcomes = [
                call(
                    town,
                    store,
                    method,
                    function,
                    rows=rows,
                    watched=live(town.a),
                    tenant=tenant,
                ).outcome
                for rows in (rows_to_ask_for(town, tenant), NOBODYS)
            ]
            if outcomes[0] != outcomes[1]:
                found.add(method)

    assert len(found) >= 12, sorted(found)


def test_every_method_takes_whose_data_first():
    for store, method, function in METHODS:
        first = list(inspect.signature(function).parameters)[1]
        assert first in ("tenant", "account_id", "account"), f"{store}.{method}"


# -- (c) the guard on SQL --


@pytest.mark.parametrize(
    ("sql", "wrong"),
    [
        ("SELECT 1 FROM visitors WHERE id = :id", "names no account_id"),
        ("SELECT 1 FROM visitors WHERE account_id = :account_id", "but not live"),
        ("UPDATE sessions SET channel = 'x' WHERE id = 1", "names no account_id"),
        ("DELETE FROM users WHERE id = :id", "names no account_id"),
        ("INSERT INTO visitors (id, account_id) VALUES (1, 2)", "leaves out"),
        ("SELECT 1 FROM accounts a JOIN users u ON 1", "names no account_id"),
    ],
)
def test_statements_about_everybody_are_found(sql, wrong):
    assert wrong in fault(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM visitors WHERE account_id = :account_id AND live = :live",
        "DELETE FROM users WHERE account_id = :account_id AND id = :id",
        "INSERT INTO visitors (id, account_id, live) VALUES (1, 2, 3)",
        "SELECT id FROM accounts",
        "COMMIT",
    ],
)
def test_statements_about_somebody_pass(sql):
    assert fault(sql) is None


# -- (d) what B does changes nothing for A --


def everything_read(town, caller):
    """Return all that the API and the report page say to A."""
    answers = []
    for route in api_routes(town.app):
        if route.method == "GET":
            for target, body in requests(route):
                answered = caller.send("GET", target, body)
                answers.append((target, answered.status, answered.body))
    again = [item for item in said(OWN) if "id" in item or "type" in item]
    repeated = caller.post("/events", {"events": again})
    return answers, repeated.json()


SMALL = st.sampled_from(["visitor-1", "visitor-2"])
CALLS = st.lists(
    st.one_of(
        st.builds(
            lambda visitor, age, query: {
                "event_type": "page_view",
                "visitor_id": visitor,
                "timestamp": NOW_MS - age * 600_000,
                "properties": {"url": f"https://shop.example/{query}"},
            },
            SMALL,
            st.integers(0, 40),
            st.sampled_from(["", "?utm_source=b&utm_medium=email", "?gclid=1"]),
        ),
        st.builds(
            lambda user, visitor: {
                "type": "identify",
                "user_id": user,
                "visitor_id": visitor,
                "traits": {"name": "b"},
            },
            st.sampled_from(["user-1", "user-2"]),
            SMALL,
        ),
        st.just({"type": "alias", "user_id": "user-1", "previous_id": "user-2"}),
        st.builds(
            lambda visitor, order, revenue: {
                "type": "conversion",
                "conversion_type": "purchase",
                "visitor_id": visitor,
                "order_id": order,
                "revenue": revenue,
            },
            SMALL,
            st.sampled_from(["order-1", "order-2", "order-3"]),
            st.sampled_from(["1.00", "2.50"]),
        ),
    ),
    min_size=1,
    max_size=8,
)


@given(CALLS, st.sampled_from(["live", "test", "own test"]))
def test_answers_to_a_never_change_when_others_do_something(town, calls, who):
    others = {"live": town.b.live, "test": town.b.test, "own test": town.a.test}[who]
    everything_read(town, town.a.live)  # what it says once more is a repeat from now
    before = everything_read(town, town.a.live)

    assert others.post("/events", {"events": calls}).status == 202

    assert everything_read(town, town.a.live) == before


def test_what_is_done_to_b_itself_changes_nothing_for_a(town):
    everything_read(town, town.a.live)
    before = everything_read(town, town.a.live)
    users = len(town.storage.read(lambda s: s.accounts.users(town.a.account.id)))

    def work(stores):
        for user in stores.accounts.users(town.b.account.id)[1:]:
            team.remove(stores, user, actor="x", now_ms=NOW_MS)
        for key in stores.accounts.keys(town.b.account.id):
            stores.accounts.revoke_key(town.b.account.id, key.public_id, NOW_MS)
        accounts.close(stores, town.b.account, actor="x", now_ms=NOW_MS)

    town.storage.write(work)

    assert everything_read(town, town.a.live) == before
    assert (
        len(town.storage.read(lambda s: s.accounts.users(town.a.account.id))) == users
    )
    entries = town.storage.read(
        lambda s: s.accounts.audit_entries(town.a.account.id, 1_000)
    )
    assert MARK not in repr(entries)
