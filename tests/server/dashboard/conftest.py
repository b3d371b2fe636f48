import pytest

from tests.server.dashboard.client import Site


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "x.db")
    yield site
    site.app.close()
