"""A backend in memory whose people can be erased."""

import pytest

from mbuzz.server.storage.sqlite import SqliteStorage
from tests.server.privacy.people import Backend


@pytest.fixture(params=["one by one", "at once"])
def backend(request):
    """Every test holds for both ways in which calls are carried out."""
    storage = SqliteStorage(":memory:")
    yield Backend(storage, at_once=request.param == "at once")
    storage.close()


@pytest.fixture
def file_backend(tmp_path):
    """The same in a file, which others can look into."""
    storage = SqliteStorage(str(tmp_path / "mbuzz.db"))
    yield Backend(storage)
    storage.close()


@pytest.fixture
def shop(backend):
    return backend.shop()
