"""What the tests of the web core share."""

import pytest

from mbuzz.testing import ManualClock, capture
from tests.web.scripts import OverASGI, OverWSGI, configure
from tests.web.visits import welcoming


@pytest.fixture
def events():
    """Capture what is tracked."""
    with capture() as captured:
        yield captured


@pytest.fixture
def site():
    """Return a site whose front page has given new visitors their cookies before."""
    return welcoming()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=[OverWSGI, OverASGI], ids=["wsgi", "asgi"])
def ask(request, events):
    """Return how the scripts of a page ask: over each interface."""
    configure()
    return request.param()


@pytest.fixture
def ask_one(events):
    """Return how the scripts of a page ask where the interface is no matter."""
    configure()
    return OverWSGI()
