"""Keys between requests: remembered for a moment, ended at once, and their scopes."""

import sqlite3

import pytest

from mbuzz.server import accounts
from mbuzz.server.http import key_cache
from mbuzz.server.http.key_cache import KeyCache
from mbuzz.server.ingestion import keys
from mbuzz.server.ingestion.keys import KeyRefusedError
from mbuzz.server.storage import group_commit
from mbuzz.server.storage.errors import StorageBusyError
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.testing import ManualClock

NOW = 1_790_000_000_000
UNKNOWN = f"Bearer sk_test_{'0' * 48}"


class Desk:
    """A cache of keys, and another process beside it on the same file."""

    def __init__(self, path):
        self.clock = ManualClock(NOW)
        self.storage = SqliteStorage(path)
        self.other = SqliteStorage(path)
        self.account = self.storage.write(
            lambda s: accounts.open_account(
                s, "Shop", "USD", "UTC", actor="x", now_ms=NOW
            )
        )
        self.cache = KeyCache(self.storage, self.clock)
        self.reads = 0

    def key(self, storage=None, **options):
        return (storage or self.storage).write(
            lambda s: keys.create(
                s.accounts, self.account, live=False, name="", now_ms=NOW, **options
            )
        )

    def revoke(self, key, storage=None):
        assert (storage or self.storage).write(
            lambda s: keys.revoke(s.accounts, self.account, key.public_id, now_ms=NOW)
        )

    def close(self):
        self.storage.close()
        self.other.close()


@pytest.fixture
def desk(tmp_path):
    desk = Desk(str(tmp_path / "mbuzz.db"))
    yield desk
    desk.close()


@pytest.fixture
def reads(desk, monkeypatch):
    """Count the looks into the database."""
    seen = []
    read = desk.storage.read
    monkeypatch.setattr(
        desk.storage, "read", lambda work: (seen.append(work), read(work))[1]
    )
    return seen


def test_a_key_is_looked_up_once_in_two_seconds(desk, reads):
    key, text = desk.key()

    for _ in range(100):
        assert desk.cache.find(f"Bearer {text}").id == key.id
    assert len(reads) == 1

    desk.clock.advance(2.0)
    desk.cache.find(f"Bearer {text}")
    assert len(reads) == 2


def test_an_unknown_key_is_looked_up_once_in_two_seconds_and_malformed_ones_never(
    desk, reads
):
    for header in [UNKNOWN, None, "", "Bearer", "Bearer sk_live_x"] * 10:
        with pytest.raises(KeyRefusedError):
            desk.cache.find(header)

    assert len(reads) == 1


def test_a_key_revoked_by_this_process_ends_at_once(desk):
    key, text = desk.key()
    desk.cache.find(f"Bearer {text}")

    desk.revoke(key)

    with pytest.raises(KeyRefusedError, match="revoked"):
        desk.cache.find(f"Bearer {text}")


def test_a_key_revoked_by_another_process_ends_within_two_seconds(desk):
    key, text = desk.key()
    desk.cache.find(f"Bearer {text}")

    desk.revoke(key, desk.other)

    desk.clock.advance(2.0)
    with pytest.raises(KeyRefusedError, match="revoked"):
        desk.cache.find(f"Bearer {text}")


def test_an_account_closed_by_another_process_ends_its_keys_within_two_seconds(desk):
    _, text = desk.key()
    desk.cache.find(f"Bearer {text}")

    desk.other.write(lambda s: accounts.close(s, desk.account, actor="x", now_ms=NOW))

    desk.clock.advance(2.0)
    with pytest.raises(KeyRefusedError, match="account of the API key was closed"):
        desk.cache.find(f"Bearer {text}")


def test_a_key_ends_when_its_time_is_over(desk):
    _, text = desk.key(expires_at_ms=NOW + 60_000)

    desk.clock.advance(59.0)
    desk.cache.find(f"Bearer {text}")
    desk.clock.advance(2.0)
    with pytest.raises(KeyRefusedError, match="has expired; make a new one"):
        desk.cache.find(f"Bearer {text}")


def test_a_new_key_works_at_once_where_it_was_refused_before(desk, monkeypatch):
    text = f"sk_test_{'a' * 48}"
    with pytest.raises(KeyRefusedError, match="unknown"):
        desk.cache.find(f"Bearer {text}")

    monkeypatch.setattr(keys.ids, "token", lambda: "a" * 48)
    desk.key()

    assert desk.cache.find(f"Bearer {text}").account == desk.account


def test_made_up_keys_push_no_real_one_out(desk, reads, monkeypatch):
    monkeypatch.setattr(key_cache, "_MOST", 3)
    _, text = desk.key()
    desk.cache.find(f"Bearer {text}")

    for number in range(20):
        with pytest.raises(KeyRefusedError):
            desk.cache.find(f"Bearer sk_test_{number:048}")
    before = len(reads)
    desk.cache.find(f"Bearer {text}")

    assert len(reads) == before
    assert len(desk.cache._bad._known) == 3


def test_of_many_keys_those_looked_up_longest_ago_are_forgotten(desk, monkeypatch):
    monkeypatch.setattr(key_cache, "_MOST", 3)
    texts = [desk.key()[1] for _ in range(5)]

    for text in texts:
        desk.cache.find(f"Bearer {text}")

    assert list(desk.cache._good._known) == [f"Bearer {text}" for text in texts[2:]]


def test_a_very_long_header_is_not_remembered(desk):
    _, text = desk.key()
    header = f"Bearer {' ' * 500}{text}"

    assert desk.cache.find(header).account == desk.account
    assert not desk.cache._good._known


def last_used(desk):
    desk.storage.write(lambda _stores: None)  # what was queued before is done
    keys_ = desk.storage.read(lambda s: s.accounts.keys(desk.account.id))
    return [key.last_used_at_ms for key in keys_]


def test_last_use_is_noted_once_a_minute(desk):
    _, text = desk.key()

    desk.cache.find(f"Bearer {text}")
    assert last_used(desk) == [NOW]
    desk.clock.advance(60)
    desk.cache.find(f"Bearer {text}")
    assert last_used(desk) == [NOW]
    desk.clock.advance(2)
    desk.cache.find(f"Bearer {text}")
    assert last_used(desk) == [NOW + 62_000]


def test_a_request_does_not_wait_until_its_use_is_noted(desk, tmp_path):
    _, text = desk.key()
    lock = sqlite3.connect(tmp_path / "mbuzz.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")  # nobody else can write now

    key = desk.cache.find(f"Bearer {text}")

    assert key.last_used_at_ms is None
    lock.execute("ROLLBACK")
    lock.close()
    assert last_used(desk) == [NOW]


def test_a_request_goes_on_where_its_use_cannot_be_noted(desk, monkeypatch):
    _, text = desk.key()

    monkeypatch.setattr(group_commit, "_MOST_WAITING", 0)
    with pytest.raises(StorageBusyError, match="too many writes are waiting"):
        desk.storage.submit(lambda stores, payloads: payloads, None)

    assert desk.cache.find(f"Bearer {text}").account == desk.account


def test_events_of_any_age_need_the_scope_import(caller):
    client = caller()
    year_ago = client.app.storage.read(
        lambda s: keys.authenticate(s.accounts, f"Bearer {client.key}", NOW)
    )

    def send(scopes):
        _, text = client.app.storage.write(
            lambda s: keys.create(
                s.accounts,
                year_ago.account,
                live=False,
                name="",
                now_ms=NOW,
                scopes=scopes,
            )
        )
        old = {"timestamp": "2025-11-20T10:35:00Z", "visitor_id": "v"}
        importer = type(client)(client.app, text)
        batch = [{**old, "event_type": "page_view"}]
        sale = {**old, "conversion_type": "purchase"}
        return (
            importer.post("/events", {"events": batch}).json()["accepted"],
            importer.post("/conversions", sale).status,
        )

    assert send({"ingest"}) == (0, 422)
    assert send({"import"}) == (1, 201)


def test_a_key_that_may_not_is_told_what_it_may(caller):
    client = caller()
    key = client.app.storage.read(
        lambda s: keys.authenticate(s.accounts, f"Bearer {client.key}", NOW)
    )
    _, text = client.app.storage.write(
        lambda s: keys.create(
            s.accounts, key.account, live=False, name="", now_ms=NOW, scopes={"read"}
        )
    )

    answered = type(client)(client.app, text).post("/events", {"events": []})

    assert answered.status == 403
    assert answered.json() == {
        "error": "this key may read, but not ingest; "
        "make one with 'mbuzz keys create --scope ingest'",
        "code": "forbidden",
    }
    assert answered.header("X-RateLimit-Remaining")
