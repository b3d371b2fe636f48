"""The names that a project's source tracks."""

from pathlib import Path

import pytest

from mbuzz.cli import source
from mbuzz.cli.console import CliError


@pytest.fixture
def scan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(text):
        Path("shop.py").write_text(text)
        return source.scan([Path("shop.py")], {"Signup", "Purchase"})

    return read


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("import mbuzz\nmbuzz.track('Signup', user_id=1)", "track", "Signup"),
        ("import mbuzz as mb\nmb.track(' Signup ')", "track", "Signup"),
        ("import mbuzz.api\nmbuzz.api.track('Signup')", "track", "Signup"),
        ("from mbuzz import track\ntrack(event='Signup')", "track", "Signup"),
        ("from mbuzz import track as t\nt('Signup')", "track", "Signup"),
        ("from mbuzz import api\napi.conversion('buy')", "conversion", "buy"),
        ("import mbuzz\nmbuzz.conversion(conversion_type='b')", "conversion", "b"),
        ("async def f():\n  await client.aconversion('b')", "conversion", "b"),
        ("class A:\n  def f(self): self.client.track('A')", "track", "A"),
        ("MbuzzClient(config).track('A')", "track", "A"),
        ("import mbuzz\nmbuzz.default_client().track('A')", "track", "A"),
        ("def f():\n  import mbuzz\n  mbuzz.track('A')", "track", "A"),
        ("from mbuzz import Client\nm = Client(c)\nm.track('A')", "track", "A"),
        ("import mbuzz\nself.m = mbuzz.Client(c)\nself.m.track('A')", "track", "A"),
        ("import mbuzz\nNAME = 'A'\ndef f(): mbuzz.track(NAME)", "track", "A"),
        ("import mbuzz\nNAME: str = 'A'\nmbuzz.track(NAME)", "track", "A"),
        ("from mbuzz import business\nbusiness.event('a.b')", "track", "a.b"),
        ("from mbuzz.business import event\nevent(action='a.b')", "track", "a.b"),
        ("import mbuzz\nmbuzz.track(f'{1}')", "track", None),
        ("import mbuzz\nmbuzz.track(name)", "track", None),
        ("import mbuzz\nmbuzz.track(**everything)", "track", None),
        ("import mbuzz\nmbuzz.track(5)", "track", None),
    ],
)
def test_call_of_mbuzz_is_found(scan, text, kind, name):
    (call,) = scan(text).calls

    line = next(i for i, row in enumerate(text.splitlines(), 1) if "(" in row)
    assert (call.kind, call.name) == (kind, name)
    assert call.place.startswith("shop.py:")
    assert int(call.place.partition(":")[2]) >= line


@pytest.mark.parametrize(
    "text",
    [
        "import segment\nsegment.track('Signup')",
        "from segment import track\ntrack('Signup')",
        "def track(name): ...\ntrack('Signup')",
        "train.track('Signup')",
        "from . import track\ntrack('Signup')",
        "import mbuzz\nmbuzz.identify('Signup')",
        "click.event('Signup')",
        "things[0]('Signup')",
        "# mbuzz.track('Signup')",
        "",
    ],
)
def test_other_call_is_none_of_ours(scan, text):
    assert scan(text).calls == []


@pytest.mark.parametrize(
    "text",
    [
        "from shop.events import Signup\nSignup(plan='pro').track()",
        "from shop.events import Signup as S\nS(plan='pro').track()",
        "from shop import events\nevents.Signup(plan='pro').track()",
        "import shop.events\nevent = shop.events.Signup(plan='pro')",
    ],
)
def test_declared_class_that_is_called_is_used(scan, text):
    assert scan(text).classes == {"Signup"}


def test_folders_are_read_but_for_what_is_not_the_projects(tmp_path):
    for name in ["a.py", "b/c.py", "b/notes.txt", ".git/x.py", "env/lib/x.py"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("client.track('Signup')")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x.py").write_text("not Python")

    found = source.scan([tmp_path, tmp_path / "a.py"], set())

    places = [Path(call.place.rpartition(":")[0]) for call in found.calls]
    assert found.files == 3
    assert places == [tmp_path / "a.py", tmp_path / "b/c.py", tmp_path / "a.py"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"x = 1\nif:\n", ":2 is no Python (invalid syntax)"),
        (b"x = '\0'\n", " is no Python (source code string cannot contain null bytes)"),
        (b"\xff", " is no Python ("),
    ],
    ids=["syntax", "null", "encoding"],
)
def test_file_that_is_no_python_is_one_sentence(tmp_path, text, complaint):
    path = tmp_path / "shop.py"
    path.write_bytes(text)

    with pytest.raises(CliError) as caught:
        source.scan([path], set())

    assert str(caught.value).replace(":1 is", " is").startswith(f"{path}{complaint}")


def test_path_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(CliError, match=r"there is no .* to look for events in"):
        source.scan([tmp_path / "nowhere"], set())
