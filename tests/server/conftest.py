"""The real application, called in process at a fixed time."""

import io
import json
import sqlite3
from datetime import datetime
from urllib.parse import urlsplit

import pytest

from mbuzz.clock import to_ms
from mbuzz.server.app import create_app
from mbuzz.server.ingestion import keys
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.testing import ManualClock
from tests.server import sql_guard

NOW = "2026-11-20T10:35:00Z"  # a little after what the examples tell of


@pytest.fixture(scope="session", autouse=True)
def statements_are_looked_at():
    """Hand out connections that look at each statement."""
    sqlite3.connect = sql_guard.connect
    yield
    sqlite3.connect = sql_guard._connect


@pytest.fixture(autouse=True)
def no_statement_is_about_everybody():
    """Fail the test in which a statement names no account, or no environment."""
    yield
    faults, sql_guard.GUARD.faults = sql_guard.GUARD.faults, []
    assert faults == []


class Answered:
    """What the application answered."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # pairs
        self.body = body

    def header(self, name):
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if found else None

    def json(self):
        return json.loads(self.body, parse_constant=self._refuse)

    @staticmethod
    def _refuse(constant):
        raise AssertionError(f"{constant} is not JSON")


class Caller:
    """Calls a WSGI application as one client with one key."""

    def __init__(self, app, key):
        self.app = app
        self.key = key

    def environ(self, method, target, body, headers):
        """Return a request as WSGI has it."""
        parts = urlsplit(target)
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
        }
        if self.key is not None:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {self.key}"
        return {**environ, **headers}

    def send(self, method, target, body=b"", **headers):
        """Send a request; *headers* are named as in the WSGI environ."""
        environ = self.environ(method, target, body, headers)
        said = []
        pieces = self.app(environ, lambda status, pairs: said.append((status, pairs)))
        ((status, pairs),) = said
        return Answered(int(status[:3]), pairs, b"".join(pieces))

    def post(self, path, value, **headers):
        """Post JSON under the API's prefix."""
        return self.send(
            "POST", f"/api/v1{path}", json.dumps(value).encode(), **headers
        )

    def get(self, path, **headers):
        """Get something under the API's prefix."""
        return self.send("GET", f"/api/v1{path}", **headers)

    def other(self, *, live=False, account=None):
        """Return a caller with a second key: of the account, or of a new one."""

        def work(stores):
            owner = stores.accounts.accounts()[0]
            if account:
                owner = stores.accounts.create_account(
                    account, f"acct_{account}", "EUR", "UTC", 0
                )
            return keys.create(stores.accounts, owner, live=live, name="b", now_ms=0)

        _, text = self.app.storage.write(work)
        return type(self)(self.app, text)


def new_key(stores, clock):
    """Make an account with a test key; `bootstrap.prepare` would hash a password."""
    now = clock.now_ms()
    account = stores.accounts.create_account("Shop", "acct_1", "USD", "UTC", now)
    return keys.create(stores.accounts, account, live=False, name="a", now_ms=now)[1]


@pytest.fixture
def storage():
    """Return an empty database in memory."""
    storage = SqliteStorage(":memory:")
    yield storage
    storage.close()


@pytest.fixture
def caller():
    """Return a maker of callers, each of a new backend with its first key."""
    apps = []

    def make(**options):
        settings = ServerSettings(**{"database": ":memory:", **options})
        clock = ManualClock(to_ms(datetime.fromisoformat(NOW)))
        app = create_app(settings, clock=clock)
        apps.append(app)
        made = Caller(app, app.storage.write(lambda stores: new_key(stores, clock)))
        made.clock = clock
        return made

    yield make
    for app in apps:
        app.close()


@pytest.fixture
def model_shop(caller):
    """Return a shop of a new backend, and its jobs."""
    from tests.server.models import ModelShop

    made = caller()
    return ModelShop(made.app, made.clock)
