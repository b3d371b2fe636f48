"""Two accounts, and both environments of one, that use the same ids for everything."""

import json
from dataclasses import dataclass, field

from mbuzz.server import accounts, team
from mbuzz.server.app import create_app, scheduler
from mbuzz.server.ingestion import keys
from mbuzz.server.model import Tenant
from mbuzz.server.roles import ROLES
from mbuzz.server.settings import ServerSettings
from mbuzz.testing import ManualClock
from tests.server.conftest import Answered, Caller
from tests.server.dashboard.client import CHEAP
from tests.server.sql_guard import tenant_tables

MARK = "mark-of-b"  # in all that only B, or only the other environment, has said
NOW_MS = 1_795_000_000_000
EVERYTHING = tuple(keys.SCOPES)
PAGE_VISITOR = "visitor-1"
# Ids that everybody uses.
SAME = {
    "visitor": PAGE_VISITOR,
    "user": "user-1",
    "event": "evt_1",
    "order": "order-1",
    "group": "group-1",
    "conversion": "conv_0000000001",
    "batch": "batch-1",
}


def said(mark):
    """Return a batch of every kind of call; *mark* is in each that can carry it."""
    url = f"https://shop.example/{mark}?utm_source={mark}&utm_campaign={mark}"
    person = {"visitor_id": SAME["visitor"]}
    page = {
        **person,
        "id": SAME["event"],
        "event_type": "page_view",
        "properties": {"url": url, "referrer": f"https://{mark}.example/", "is": mark},
    }
    return [
        page,
        {**page, "id": f"evt_{mark}", "visitor_id": f"visitor-{mark}"},
        {"event_type": f"Signup {mark}", "user_id": SAME["user"], **person},
        {
            "type": "identify",
            "user_id": SAME["user"],
            **person,
            "traits": {"name": mark, "email": f"{mark}@example.com"},
        },
        {"type": "identify", "user_id": f"user-{mark}", "traits": {"name": mark}},
        {"type": "alias", "user_id": SAME["user"], "previous_id": "user-0"},
        {
            "type": "group",
            "id": "call-1",
            "group_id": SAME["group"],
            "user_id": SAME["user"],
            "traits": {"name": mark},
        },
        {
            "type": "conversion",
            "id": SAME["conversion"],
            "conversion_type": "purchase",
            **person,
            "revenue": "77.77" if mark == MARK else "10.00",
            "order_id": SAME["order"],
            "properties": {"is": mark},
        },
        {
            "type": "conversion",
            "id": f"conv_{mark.replace('-', '')}000001",
            "conversion_type": f"sale-{mark}",
            "user_id": f"user-{mark}",
            "revenue": "5.00",
            "order_id": f"order-{mark}",
        },
        {"type": "identify", "user_id": f"only-{mark}", "traits": {"name": mark}},
    ]


class FastCaller(Caller):
    """Calls the application as the built-in server does: POST by the fast way."""

    def send(self, method, target, body=b"", **headers):
        if method == "POST":
            deferred = self.app.begin(self.environ(method, target, body, headers))
            if deferred is not None:
                response = deferred.response()
                return Answered(response.status, response.headers, response.body)
        return super().send(method, target, body, **headers)


@dataclass
class House:
    """One account as its people see it."""

    account: object
    live: Caller
    test: Caller
    emails: dict = field(default_factory=dict)  # by role


PASSWORD = "a good long password"


class Town:
    """A backend with the accounts A and B."""

    def __init__(self, database=":memory:", hashed="$scrypt$"):
        self.clock = ManualClock(NOW_MS)
        settings = ServerSettings(database=database, rate_burst=100_000)
        self.app = create_app(settings, clock=self.clock, password_cost=CHEAP)
        self.storage = self.app.storage
        self._hashed = hashed
        self.a = self._house("Shop A")
        self.b = self._house(f"Shop {MARK}")

    def close(self):
        self.app.close()

    def _house(self, name):
        def work(stores):
            account = accounts.open_account(
                stores, name, "USD", "UTC", actor=name, now_ms=NOW_MS
            )
            emails = {}
            for role in ROLES:
                email = f"{role}@{name.split()[1]}.example"
                team.add(
                    stores,
                    account,
                    email.lower(),
                    self._hashed,
                    role,
                    actor=name,
                    now_ms=NOW_MS,
                )
                emails[role] = email.lower()
            return account, emails

        account, emails = self.storage.write(work)
        house = House(account=account, live=None, test=None, emails=emails)
        house.live = self.caller(house, live=True)
        house.test = self.caller(house, live=False)
        return house

    def caller(self, house, *, live=False, scopes=EVERYTHING, **options):
        """Return somebody with a new key of a house."""
        _, text = self.storage.write(
            lambda stores: keys.create(
                stores.accounts,
                house.account,
                live=live,
                name=house.account.name,
                now_ms=options.pop("now_ms", NOW_MS),
                scopes=scopes,
                actor=house.account.name,
                **options,
            )
        )
        return Caller(self.app, text)

    def fill(self, caller, mark):
        """Say everything; it is taken."""
        headers = {"HTTP_X_IDEMPOTENCY_KEY": SAME["batch"]}
        answered = caller.post("/events", {"events": said(mark)}, **headers)
        assert answered.status == 202
        assert answered.json()["rejected"] == []
        model = {"name": f"Own {mark}", "base": "last_touch", "lookback_days": 7}
        if "_live_" in caller.key:  # models are of both environments
            assert caller.post("/attribution_models", model).status == 201
        scheduler(self.storage, self.clock).run("training")

    def rows(self, tenant, *, both=True):
        """Return all rows of a tenant; *both* also those of both environments."""
        return self.storage.read(lambda stores: rows_of(stores, tenant, both=both))


def rows_of(stores, tenant, *, both=True):
    """Return every row of a tenant, by table."""
    db = stores.tracking._db
    found = {}
    for (table,) in db.rows("SELECT name FROM sqlite_master WHERE type = 'table'", {}):
        columns = {row[1] for row in db.rows(f"PRAGMA table_info({table})", {})}
        owner = {"account_id": tenant.account_id}
        if table in tenant_tables() and tenant_tables()[table]:
            where = "account_id = :account_id AND live = :live"
            owner["live"] = int(tenant.live)
        elif "account_id" in columns and both:
            where = "account_id = :account_id"
        elif table == "accounts" and both:
            where = "id = :account_id"
        else:
            continue
        found[table] = sorted(
            map(repr, db.rows(f"SELECT * FROM {table} WHERE {where}", owner))
        )
    return found


def traces(answered):
    """Return where the mark is in an answer."""
    text = json.dumps(answered.headers) + answered.body.decode("utf-8", "replace")
    return MARK in text or "77.77" in text


def live(house):
    return Tenant(house.account.id, True)


def test(house):
    return Tenant(house.account.id, False)


test.__test__ = False
