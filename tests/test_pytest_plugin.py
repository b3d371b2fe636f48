"""The plugin, in the suites of others."""

import os
import sys

import pytest


@pytest.fixture
def suite(pytester, monkeypatch):
    """Return a function that runs test code in a suite of its own, with the plugin."""
    root = os.fspath(pytest.importorskip("mbuzz").__path__[0] + "/..")
    monkeypatch.setenv("PYTHONPATH", root)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("MBUZZ_NETWORK")

    def run(code):
        pytester.makepyfile(code)
        return pytester.runpytest_subprocess("-p", "mbuzz.pytest_plugin")

    return run


def test_the_fixture_captures_what_the_code_sends(suite):
    result = suite(
        """
        import mbuzz

        def sign_up():
            mbuzz.track("Signup", user_id="1")

        def test_it(mbuzz_events):
            sign_up()
            mbuzz_events.assert_tracked("Signup", user_id="1")

        def test_nothing_is_left_over(mbuzz_events):
            mbuzz_events.assert_not_tracked()
        """
    )

    result.assert_outcomes(passed=2)


def test_the_network_is_off_unless_a_client_asks_for_it(suite):
    result = suite(
        """
        import mbuzz

        KEY = "sk_test_" + "k" * 32

        def test_configured():
            assert mbuzz.configure(api_key=KEY)
            assert mbuzz.track("Signup", user_id="1").error == "network_off"

        def test_made_by_hand():
            client = mbuzz.Client(mbuzz.Config(api_key=KEY))
            assert client.track("Signup", user_id="1").error == "network_off"

        def test_asked_for():
            assert mbuzz.Config(api_key=KEY, network=True).network
        """
    )

    result.assert_outcomes(passed=3)


def test_nothing_of_mbuzz_is_loaded_before_the_fixture_is_used(suite):
    result = suite(
        """
        import sys

        def test_before():
            loaded = {n for n in sys.modules if n.partition(".")[0] == "mbuzz"}
            assert loaded == {"mbuzz", "mbuzz.pytest_plugin"}

        def test_during(mbuzz_events):
            assert "mbuzz.testing" in sys.modules
        """
    )

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("before", [None, "on"])
def test_the_environment_is_left_as_it_was_found(pytester, monkeypatch, before):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    if before is None:
        monkeypatch.delenv("MBUZZ_NETWORK")
    else:
        monkeypatch.setenv("MBUZZ_NETWORK", before)
    during = "off" if before is None else before
    pytester.makepyfile(
        f"""
        import os

        def test_it():
            assert os.environ["MBUZZ_NETWORK"] == {during!r}
        """
    )
    plugin = sys.modules.get("mbuzz.pytest_plugin")

    # In this process: what it leaves behind can be seen.
    result = pytester.runpytest_inprocess("-p", "mbuzz.pytest_plugin")

    result.assert_outcomes(passed=1)
    assert os.environ.get("MBUZZ_NETWORK") == before
    assert plugin is None or plugin is sys.modules["mbuzz.pytest_plugin"]
