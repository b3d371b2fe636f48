"""`import mbuzz`: loads nothing, offers everything."""

import inspect
import sys

import pytest

import mbuzz

HEAVY = (
    "urllib.request http.client ssl asyncio sqlite3 logging dataclasses typing "
    "socket threading json email subprocess"
).split()
NOT_FOR_CALLERS = "urllib.request http.client ssl asyncio sqlite3 subprocess".split()


def test_the_import_loads_no_other_module(run_python):
    code = """
before = set(sys.modules)
import mbuzz
print(sorted(set(sys.modules) - before))
"""
    assert run_python(code, options=("-I", "-S")) == "['__future__', 'mbuzz']\n"


def test_the_import_loads_nothing_heavy(run_python):
    code = f"import mbuzz; print([n for n in {HEAVY} if n in sys.modules])"

    assert run_python(code, options=("-I", "-S")) == "[]\n"


def test_the_import_starts_and_opens_nothing(run_python):
    code = """
import os
def state():
    fds = "/proc/self/fd"
    return dict(os.environ), len(os.listdir(fds)) if os.path.isdir(fds) else 0
before = state()
import mbuzz
after = state()
import threading
print(before == after, threading.active_count())
"""
    assert run_python(code, options=("-I", "-S")) == "True 1\n"


def test_the_first_call_loads_no_network_code_in_the_callers_path(run_python):
    code = f"""
import mbuzz
mbuzz.configure(api_key="sk_test_" + "k" * 32, api_url="http://127.0.0.1:9",
                network=True, batch_interval=3600, strict=True)
assert mbuzz.track("Signup", user_id="1", properties={{"plan": "pro"}})
print([n for n in {NOT_FOR_CALLERS} if n in sys.modules])
import os
os._exit(0 if sys.stdout.flush() is None else 1)
"""
    assert run_python(code, options=("-I", "-S")) == "[]\n"


def test_all_is_what_resolves():
    assert mbuzz.__all__ == sorted(mbuzz.__all__)
    assert all(hasattr(mbuzz, name) for name in mbuzz.__all__)
    assert set(mbuzz.__all__) <= set(dir(mbuzz))


def test_what_a_type_checker_sees_is_what_runs():
    source = inspect.getsource(mbuzz)
    seen = {
        line.rsplit(" as ", 1)[1]
        for line in source.splitlines()
        if line.startswith("    from mbuzz.")
    }

    assert seen == set(mbuzz.__all__) - {"__version__"}


def test_names_can_be_imported_from_it():
    from mbuzz import Client, api, client, track

    assert track is api.track
    assert Client is client.Client


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'mbuzz' has no attribute 'trakc'"):
        mbuzz.trakc  # noqa: B018

    with pytest.raises(ImportError):
        from mbuzz import trakc  # noqa: F401


def test_everything_public_has_a_docstring():
    silent = [
        name
        for name in mbuzz.__all__
        if name != "__version__" and not inspect.getdoc(getattr(mbuzz, name))
    ]

    assert silent == []


def test_star_import_works():
    namespace: dict[str, object] = {}

    exec("from mbuzz import *", namespace)

    assert set(mbuzz.__all__) <= set(namespace)


def test_a_submodule_of_the_same_name_does_not_shadow_a_function():
    import mbuzz.context

    assert inspect.ismodule(sys.modules["mbuzz.context"])
    assert callable(mbuzz.stats)
    assert callable(mbuzz.conversion)
