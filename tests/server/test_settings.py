"""The server's options: one table for flags, variables, checks and the README."""

import argparse
import re
from dataclasses import fields
from pathlib import Path

import pytest

from mbuzz.cli import serve
from mbuzz.errors import ConfigurationError
from mbuzz.server.settings import OPTIONS, ServerSettings, load, unknown_variables

README = Path(__file__).resolve().parent.parent.parent / "README.md"
NETWORKS = str(Path(__file__).with_name("networks.txt"))
GIVEN = {
    "database": ("shop.db", "shop.db"),
    "host": ("[::]", "::"),
    "port": ("80", 80),
    "public_url": ("https://Stats.Example.com/", "https://stats.example.com"),
    "trusted_proxies": ("127.0.0.1, 10.0.0.0/8", ("127.0.0.1", "10.0.0.0/8")),
    "client_address_header": ("Forwarded", "forwarded"),
    "datacenter_ranges": (NETWORKS, NETWORKS),
    "rate_limit": ("2.5", 2.5),
    "rate_burst": ("7", 7),
    "max_connections": ("1000", 1000),
    "request_timeout": ("5", 5.0),
    "idle_timeout": ("1.5", 1.5),
    "stop_timeout": ("0", 0.0),
    "log_format": ("JSON", "json"),
    "log_level": ("debug", "debug"),
    "access_log": ("all", "all"),
    "metrics": ("off", "off"),
    "metrics_token": ("t" * 16, "t" * 16),
    "email": ("a@b.example", "a@b.example"),
    "currency": ("jpy", "JPY"),
    "timezone": ("Asia/Kathmandu", "Asia/Kathmandu"),
}


def flags():
    """Return the names of the options of `mbuzz serve`."""
    commands = argparse.ArgumentParser().add_subparsers()
    serve.add_to(commands)
    (parser,) = commands.choices.values()
    found = {flag for action in parser._actions for flag in action.option_strings}
    return found - {"-h", "--help", "--check"}


def test_table_settings_flags_and_readme_name_the_same_options():
    names = [option.name for option in OPTIONS]
    table = README.read_text("utf-8").partition("| server option |")[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]

    assert [field.name for field in fields(ServerSettings)] == names
    assert flags() == {option.flag for option in OPTIONS}
    assert [re.match(r"\| `(\w+)`", row)[1] for row in rows] == names
    assert set(GIVEN) == set(names)


def test_readme_has_the_defaults():
    table = README.read_text("utf-8").partition("| server option |")[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]
    defaults = {field.name: field.default for field in fields(ServerSettings)}

    for row in rows:
        name, default = (cell.strip(" `") for cell in row.split("|")[1:3])
        value = defaults[name]
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        assert default == ("" if value in ((), "") else shown), name


@pytest.mark.parametrize("name", GIVEN)
def test_every_option_has_a_variable_and_a_flag_and_the_flag_wins(name):
    text, value = GIVEN[name]
    variable = f"MBUZZ_SERVER_{name.upper()}"

    of_variable = load({variable: text})
    of_flag = load({variable: "nonsense, perhaps"}, {name: text})

    assert getattr(of_variable.settings, name) == value
    assert of_variable.origins[name] == variable
    assert getattr(of_flag.settings, name) == value
    assert of_flag.origins[name] == f"--{name.replace('_', '-')}"


def test_empty_variable_is_none():
    env = {"MBUZZ_SERVER_DATABASE": "", "MBUZZ_SERVER_RATE_BURST": ""}

    assert load(env).settings == ServerSettings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("database", " ", "the path of an SQLite file, such as"),
        ("database", "postgres://db/mbuzz", "PostgreSQL storage is not in this vers"),
        ("database", "postgresql://db/mbuzz", "PostgreSQL storage is not in this vers"),
        ("host", "http://x/", "an address to listen on, such as 127.0.0.1"),
        ("host", " ", "an address to listen on"),
        ("port", "http", "a whole number from 0 to 65535, got 'http'"),
        ("port", "1.5", "a whole number from 0 to 65535, got '1.5'"),
        ("port", "65536", "a whole number from 0 to 65535"),
        ("public_url", "stats.example.com", "the address that browsers use, without"),
        ("public_url", "https://a.example/mbuzz", "without a path"),
        ("trusted_proxies", "everybody", "hops from 0 to 32, or addresses"),
        ("trusted_proxies", "33", "a number of hops from 0 to 32"),
        (
            "trusted_proxies",
            "10.0.0.1/8",
            "hops from 0 to 32, or addresses",
        ),
        ("rate_limit", "lots", "a number over 0, such as 100, got 'lots'"),
        ("rate_limit", "0", "a number over 0"),
        ("rate_limit", "nan", "a number over 0"),
        ("rate_limit", "inf", "a number over 0"),
        ("rate_burst", "1.5", "a whole number from 1 to 1000000000"),
        ("rate_burst", "0", "a whole number from 1 to 1000000000"),
        ("max_connections", "-1", "a whole number from 0 to 1000000"),
        ("request_timeout", "0", "a number of seconds from 0.1 to 600"),
        ("idle_timeout", "never", "a number of seconds from 0.1 to 3600"),
        ("stop_timeout", "-1", "a number of seconds from 0 to 600"),
        ("log_format", "xml", "text or json, got 'xml'"),
        ("log_level", "loud", "debug, info, warning or error, got 'loud'"),
        ("access_log", "some", "all, errors or off"),
        ("metrics", "yes", "local, all or off"),
        ("email", "somebody", "an e-mail address, such as"),
        ("currency", "euro", "a code of three letters, such as USD, got 'euro'"),
        ("timezone", "Mars/Olympus", "a name such as Europe/Berlin"),
    ],
)
def test_option_that_cannot_work_is_refused_by_the_name_it_was_given_with(
    name, value, expected
):
    variable = f"MBUZZ_SERVER_{name.upper()}"
    for called, ask in (
        (variable, lambda: load({variable: value})),
        (f"--{name.replace('_', '-')}", lambda: load({}, {name: value})),
        (name, lambda: ServerSettings(**{name: value})),
    ):
        with pytest.raises(ConfigurationError) as caught:
            ask()
        assert str(caught.value).startswith(f"{called} must be ")
        assert expected in str(caught.value)


def test_long_wrong_value_is_cut():
    with pytest.raises(ConfigurationError) as caught:
        load({"MBUZZ_SERVER_PORT": "9" * 5_000})

    assert len(str(caught.value)) < 150


def test_wrong_secret_is_not_shown():
    with pytest.raises(ConfigurationError) as caught:
        load({"MBUZZ_SERVER_METRICS_TOKEN": "hunter2"})

    assert "hunter2" not in str(caught.value)
    assert "16 to 256 letters" in str(caught.value)


@pytest.mark.parametrize("value", [True, None, [], b"80"])
def test_value_of_another_type_is_refused(value):
    with pytest.raises(ConfigurationError, match="port must be a whole number"):
        ServerSettings(port=value)


def test_unknown_variable_is_told_with_the_nearest_name():
    env = {
        "MBUZZ_SERVER_TRUSTED_PROXY": "1",
        "MBUZZ_SERVER_ZZZZ": "1",
        "MBUZZ_API_KEY": "of the client",
        "MBUZZ_SERVER_PORT": "80",
    }

    proxies, zzzz = unknown_variables(env)

    assert proxies == (
        "MBUZZ_SERVER_TRUSTED_PROXY is no option of the server; "
        "did you mean MBUZZ_SERVER_TRUSTED_PROXIES?"
    )
    assert zzzz == "MBUZZ_SERVER_ZZZZ is no option of the server; it has no effect"
