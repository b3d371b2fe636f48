"""A database in a file of its own."""

import pytest

from mbuzz.server.storage.sqlite import SqliteStorage


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "mbuzz.db")


@pytest.fixture
def storage(path):
    storage = SqliteStorage(path)
    yield storage
    storage.close()
