import pytest

from mbuzz.server import passwords
from tests.server.dashboard.client import Site


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch):
    """Make hashes in a millisecond; what they cost is told in test_passwords."""
    monkeypatch.setattr(passwords, "_LOG_N", 4)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "x.db")
    yield site
    site.app.close()
