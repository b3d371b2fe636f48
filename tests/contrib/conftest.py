"""What the tests of every adapter share."""

import pytest

from mbuzz.testing import capture


@pytest.fixture
def events():
    """Capture what is tracked."""
    with capture() as captured:
        yield captured
