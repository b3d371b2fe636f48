"""The first start: secrets are made and shown once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server import bootstrap
from mbuzz.server.ingestion.keys import authenticate
from mbuzz.server.passwords import verify_password
from mbuzz.server.storage.sqlite import SqliteStorage


@pytest.fixture
def storage(tmp_path):
    storage = SqliteStorage(str(tmp_path / "mbuzz.db"))
    yield storage
    storage.close()


@pytest.mark.parametrize("live", [False, True])
def test_empty_database_gets_account_key_and_user(storage, live):
    first = bootstrap.prepare(
        storage,
        SYSTEM_CLOCK,
        email="a@b.c",
        currency="EUR",
        timezone="Europe/Berlin",
        live=live,
    )

    key = storage.read(lambda s: authenticate(s.accounts, f"Bearer {first.api_key}", 0))
    user = storage.read(lambda s: s.accounts.user_by_email("A@b.C"))
    assert key.account == user.account == first.account
    assert (key.account.currency, key.account.timezone) == ("EUR", "Europe/Berlin")
    assert key.live is live
    assert verify_password(first.password, user.password_hash)


def test_database_with_an_account_gets_nothing(storage):
    bootstrap.prepare(storage, SYSTEM_CLOCK)

    assert bootstrap.prepare(storage, SYSTEM_CLOCK) is None


def test_of_several_first_starts_one_wins(storage):
    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(bootstrap.prepare, storage, SYSTEM_CLOCK) for _ in range(3)]
        winners = [future.result() for future in made if future.result()]

    assert len(winners) == 1
    assert len(storage.read(lambda s: s.accounts.accounts())) == 1
