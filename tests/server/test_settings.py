"""The server's options: from the environment, checked at once."""

import pytest

from mbuzz.errors import ConfigurationError
from mbuzz.server.settings import ServerSettings


def test_defaults():
    assert ServerSettings.from_environment({}) == ServerSettings(
        database="mbuzz.db", rate_limit=100.0, rate_burst=500
    )


def test_every_option_has_a_variable(monkeypatch):
    monkeypatch.setenv("MBUZZ_SERVER_DATABASE", "shop.db")
    monkeypatch.setenv("MBUZZ_SERVER_RATE_LIMIT", "2.5")
    monkeypatch.setenv("MBUZZ_SERVER_RATE_BURST", "7")

    assert ServerSettings.from_environment() == ServerSettings(
        database="shop.db", rate_limit=2.5, rate_burst=7
    )


def test_empty_variable_is_none():
    env = {"MBUZZ_SERVER_DATABASE": "", "MBUZZ_SERVER_RATE_BURST": ""}

    assert ServerSettings.from_environment(env) == ServerSettings()


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("DATABASE", " ", "database must be the path of an SQLite file"),
        ("DATABASE", "postgres://db/mbuzz", "PostgreSQL storage is not in this vers"),
        ("DATABASE", "postgresql://db/mbuzz", "PostgreSQL storage is not in this ver"),
        ("RATE_LIMIT", "lots", "MBUZZ_SERVER_RATE_LIMIT and _RATE_BURST must be numb"),
        ("RATE_BURST", "1.5", "MBUZZ_SERVER_RATE_LIMIT and _RATE_BURST must be numb"),
        ("RATE_LIMIT", "0", "rate_limit and rate_burst must be numbers over 0, got"),
        ("RATE_LIMIT", "nan", "rate_limit and rate_burst must be numbers over 0, got"),
        ("RATE_LIMIT", "inf", "rate_limit and rate_burst must be numbers over 0, got"),
        ("RATE_BURST", "0", "rate_limit and rate_burst must be numbers over 0, got"),
    ],
)
def test_option_that_cannot_work_is_refused(name, value, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        ServerSettings.from_environment({f"MBUZZ_SERVER_{name}": value})
