"""Declared events: typed calls that never raise, and what does not fit is said."""

import asyncio
import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mbuzz
from mbuzz import catalog, definitions
from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.testing import capture

KEY = "sk_test_" + "k" * 32


class Signup(catalog.Event, name="Signup"):
    """A visitor made an account.

    On any page.
    """

    plan: Literal["free", "pro"]
    seats: int = 1
    coupon: Annotated[str | None, "code typed at the till"] = None


class Purchase(catalog.Conversion, name="purchase"):
    items: list[str] = dataclasses.field(default_factory=list)


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    """Declare these two only, and forget what a test declares."""
    known = {
        "track": {"Signup": Signup._definition},
        "conversion": {"purchase": Purchase._definition},
    }
    monkeypatch.setattr(definitions, "_declared", known)
    monkeypatch.setattr(catalog, "_warned", {})


@pytest.fixture
def nothing_declared(monkeypatch):
    monkeypatch.setattr(definitions, "_declared", {"track": {}, "conversion": {}})


# -- calls --


def test_declared_event_is_tracked_with_its_defaults(caplog):
    with capture() as events:
        result = Signup(plan="pro", coupon="MAY").track(user_id="42", flow_id="f1")

    assert result
    assert result.event_id == events[0]["id"]
    item = events.assert_tracked(
        "Signup",
        user_id="42",
        properties={"plan": "pro", "seats": 1, "coupon": "MAY"},
    )
    assert item["correlation"]["flow_id"] == "f1"
    assert caplog.messages == []


def test_declared_conversion_is_recorded():
    with capture() as events:
        result = Purchase(items=["mug"]).record(
            user_id=1,
            revenue=Decimal("9.90"),
            currency="EUR",
            order_id="o1",
            flow_id="f",
        )

    assert result
    item = events.assert_converted(
        "purchase", user_id=1, revenue=9.9, properties={"items": ["mug"]}
    )
    assert (item["order_id"], item["currency"]) == ("o1", "EUR")
    assert item["correlation"]["flow_id"] == "f"


def test_conversion_is_recorded_from_an_event_loop():
    with capture() as events:
        result = asyncio.run(Purchase().arecord(user_id=1))

    assert result
    events.assert_converted("purchase", user_id=1)


def test_call_goes_through_another_client_if_one_is_given():
    client = Client(Config(api_key=KEY, enabled=False))

    assert Signup(plan="pro").track(user_id=1, client=client).error == "disabled"
    assert Purchase().record(user_id=1, client=client).error == "disabled"


def test_without_set_up_the_result_says_so():
    assert Signup(plan="pro").track(user_id=1).error == "not_configured"


def test_event_is_a_frozen_dataclass():
    event = Signup(plan="pro")

    assert dataclasses.is_dataclass(event)
    assert repr(event) == "Signup(plan='pro', seats=1, coupon=None)"
    assert event == Signup(plan="pro", seats=1)
    assert event != Signup(plan="free")
    assert len({event, Signup(plan="pro")}) == 1
    assert dataclasses.replace(event, seats=2).seats == 2
    assert copy.copy(event) == pickle.loads(pickle.dumps(event)) == event
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.plan = "free"


# -- what does not fit --


class Unreadable(Mapping):
    def __getitem__(self, name):
        raise RuntimeError("hunter2")

    __iter__ = __len__ = __getitem__


@pytest.mark.parametrize(
    ("make", "sent", "problem"),
    [
        (
            lambda: Signup(plan="gold"),
            {"plan": "gold"},
            "plan must be 'free' | 'pro', got another str",
        ),
        (
            lambda: Signup(plan="pro", seats="3"),
            {"seats": "3"},
            "seats must be int, got str",
        ),
        (lambda: Signup(), {"seats": 1}, "plan is missing"),
        (
            lambda: Signup(plan="pro", cuopon="MAY"),
            {"cuopon": "MAY"},
            "'cuopon' is not a property; did you mean 'coupon'?",
        ),
        (lambda: Signup("gold"), {"plan": "gold"}, "plan must be"),
        (
            lambda: Signup("pro", 1, None, "more"),
            {"positional_3": "more"},
            "'positional_3' is not a property",
        ),
    ],
    ids=["value", "type", "missing", "unknown", "positional", "too many"],
)
def test_what_does_not_fit_is_recorded_with_a_warning(caplog, make, sent, problem):
    with capture() as events:
        results = [make().track(user_id=1) for _ in range(3)]

    assert all(results)
    events.assert_tracked("Signup", properties=sent)
    (message,) = caplog.messages
    assert message.startswith(
        f"event does not fit its declaration (name=Signup, problems={problem}"
    )
    assert "gold" not in message


def test_strict_client_refuses_in_tests_what_does_not_fit(caplog):
    mbuzz.configure(api_key=KEY, strict_events=True)

    with capture() as events:
        wrong = Signup(plan="gold").track(user_id=1)
        stray = mbuzz.track("Sign up", user_id=1)
        bought = Purchase(items="mug").record(user_id=1)
        assert Signup(plan="pro").track(user_id=1)
        assert mbuzz.page(url="/", user_id=1)

    assert [wrong.error, stray.error, bought.error] == ["undeclared_event"] * 3
    assert len(events) == 2
    assert "plan must be 'free' | 'pro', got another str" in caplog.text
    assert "event 'Sign up' is not declared; did you mean 'Signup'?" in caplog.text
    assert "gold" not in caplog.text


def test_missing_property_is_none_here_and_absent_on_the_wire():
    event = Signup()

    with capture() as events:
        event.track(user_id=1)

    assert event.plan is None
    assert "plan" not in events[0]["properties"]


def test_default_that_cannot_be_made_costs_itself_only(caplog):
    class Visit(catalog.Event):
        at: int = dataclasses.field(default_factory=lambda: 1 // 0)
        page: str

    with capture() as events:
        assert Visit(page="/").track(user_id=1)

    assert events[0]["properties"] == {"page": "/"}
    assert "call failed (place=default of a declared event" in caplog.text


def test_abstract_event_lends_its_properties_and_is_none_itself():
    class Shop(catalog.Event, abstract=True):
        shop: int

    class Opened(Shop, name="Shop opened"):
        hour: int

    with capture() as events:
        assert Opened(shop=1, hour=9).track(user_id=1)
        assert Shop(shop=1).track(user_id=1).error == "missing_event"

    assert events[0]["properties"] == {"shop": 1, "hour": 9}
    assert [one.name for one in catalog.registered()] == [
        *("Shop opened", "Signup", "purchase")
    ]


# -- problems --


@pytest.mark.parametrize(
    ("name", "properties", "kind", "found"),
    [
        ("Signup", {"plan": "pro"}, "track", []),
        ("Signup", {"plan": "pro", "url": "/", "referrer": 1}, "track", []),
        ("Signup", {"plan": "pro", "user_agent": "x"}, "track", []),
        ("purchase", {}, "conversion", []),
        ("purchase", None, "conversion", []),
        ("page_view", {"anything": 1}, "track", []),
        ("Signup", None, "track", ["plan is missing"]),
        (
            "Signup",
            {"seats": True, "seets": 1},
            "track",
            [
                "seats must be int, got bool",
                "'seets' is not a property; did you mean 'seats'?",
                "plan is missing",
            ],
        ),
        (
            "Sign up",
            {},
            "track",
            ["event 'Sign up' is not declared; did you mean 'Signup'?"],
        ),
        ("Zzz", {}, "track", ["event 'Zzz' is not declared"]),
        (
            "page_view",
            {},
            "conversion",
            ["conversion 'page_view' is not declared"],
        ),
        (
            "purchase",
            {},
            "track",
            ["event 'purchase' is not declared, only a conversion"],
        ),
    ],
)
def test_problems_say_what_does_not_fit(name, properties, kind, found):
    assert catalog.problems(name, properties, kind) == found


def test_problems_without_any_declaration_say_what_to_do(nothing_declared):
    assert catalog.problems("Signup", {}) == [
        "nothing is declared; import the module that declares the events"
    ]


@pytest.mark.parametrize(
    ("name", "properties", "kind"),
    [
        ("Signup", Unreadable(), "track"),
        ("Signup", 5, "track"),
        (["Signup"], {}, "track"),
        ("Signup", {}, "unheard of"),
    ],
    ids=["unreadable", "number", "list", "kind"],
)
def test_problems_never_raise(name, properties, kind):
    (problem,) = catalog.problems(name, properties, kind)

    assert problem.startswith("the event cannot be checked (")


@given(
    st.dictionaries(
        st.text() | st.integers() | st.sampled_from(["plan", "seats", "url"]),
        st.none() | st.text() | st.integers() | st.lists(st.text()),
    )
)
def test_problems_are_found_exactly_where_something_is_wrong(properties):
    fine = (
        properties.get("plan") in ("free", "pro")
        and type(properties.get("seats", 1)) is int
        and properties.keys() <= {"plan", "seats", "url"}
    )

    assert (catalog.problems("Signup", properties) == []) is fine


@pytest.mark.parametrize(
    "secret",
    ["sk_live_" + "s" * 40, "jane@example.com", "4111 1111 1111111", "x" * 10_000],
    ids=["key", "mail", "card", "long"],
)
def test_stray_name_that_may_be_a_secret_is_not_shown(secret):
    (event,) = catalog.problems(f"Seen {secret}", {})
    (entry,) = catalog.problems("Signup", {"plan": "pro", secret: 1})

    assert event == f"event '[{len(secret) + 5} characters]' is not declared"
    assert entry == f"'[{len(secret)} characters]' is not a property"


def test_is_declared():
    assert catalog.is_declared("Signup")
    assert catalog.is_declared("page_view")
    assert catalog.is_declared("purchase", "conversion")
    assert not catalog.is_declared("purchase")
    assert not catalog.is_declared("Signup", "conversion")
    assert not catalog.is_declared("Signup", "unheard of")


# -- declarations --


def test_name_is_that_of_the_class_if_none_is_given():
    class OrderPlaced(catalog.Event):
        pass

    assert catalog.is_declared("OrderPlaced")


def declare(body="pass", head="Event, name='New'", **scope):
    code = f"class New(catalog.{head}):\n    {body}"
    scope |= {"catalog": catalog, "__name__": "json"}
    exec(code, scope)
    return scope["New"]


@pytest.mark.parametrize(
    ("head", "body", "text"),
    [
        (
            "Event, name='Signup'",
            "pass",
            r"event 'Signup' is declared twice, by [\w.]*\.Signup and by json.New",
        ),
        ("Event, name='page_view'", "pass", "event 'page_view' is mbuzz's own"),
        ("Event, name=''", "pass", "event '' needs a name of 1 to 255 characters"),
        ("Event, name=' x'", "pass", "event ' x' needs a name"),
        ("Event", "track: str", "cannot have a property 'track', which is a method"),
        ("Conversion", "record: int = 1", "conversion 'New' cannot have a property"),
        ("Event", "plan: 5", "event 'New', property plan: .* against 5"),
        ("Event", "plan: 'Plan'", "'New' has a type that is not known at run time"),
    ],
)
def test_declaration_that_cannot_work_says_so_at_once(head, body, text):
    with pytest.raises(mbuzz.ConfigurationError, match=text):
        declare(body, head)


def test_module_that_is_loaded_again_declares_again():
    declare("plan: str")
    declare("plan: int")

    assert catalog.problems("New", {"plan": 1}) == []


def test_definitions_are_for_programs_to_read():
    (signup, purchase) = catalog.registered()

    assert (signup.name, signup.kind, signup.declared_by) == ("Signup", "track", Signup)
    assert [entry.name for entry in signup.properties] == ["plan", "seats", "coupon"]
    assert purchase.kind == "conversion"


class Color(Enum):
    RED = "red"


class Plain:
    pass


def test_description_is_json_sorted_and_the_same_in_every_run():
    declare(
        """
    at: float = float("nan")
    color: Color = Color.RED
    colors: frozenset = frozenset("cba")
    made: list = field(default_factory=list)
    odd: object = Plain()
    price: Decimal = Decimal("1.10")
    words: tuple = ("a", 1)
    """,
        Color=Color,
        Decimal=Decimal,
        Plain=Plain,
        field=dataclasses.field,
    )

    described = json.loads(json.dumps(catalog.describe()))

    assert [one["name"] for one in described] == ["New", "Signup", "purchase"]
    assert {p["name"]: p["default"] for p in described[0]["properties"]} == {
        "at": "NaN",
        "color": "red",
        "colors": ["a", "b", "c"],
        "made": "list()",
        "odd": "Plain",
        "price": "1.10",
        "words": ["a", 1],
    }
    assert described[1] == {
        "name": "Signup",
        "kind": "event",
        "doc": "A visitor made an account.\n\nOn any page.",
        "properties": [
            {
                "name": "coupon",
                "type": "str | None",
                "required": False,
                "default": None,
                "doc": "code typed at the till",
            },
            {
                "name": "plan",
                "type": "'free' | 'pro'",
                "required": True,
                "default": None,
                "doc": "",
            },
            {
                "name": "seats",
                "type": "int",
                "required": False,
                "default": 1,
                "doc": "",
            },
        ],
    }
    assert described[2]["doc"] == ""


CALLER = """
from __future__ import annotations

from typing import Literal

from mbuzz import catalog


class Signup(catalog.Event, name="Signup"):
    plan: Literal["free", "pro"]
    seats: int = 1


Signup(plan="pro", seats=2).track(user_id="42")
Signup(plan="gold")
Signup()
Signup(plan="pro", seets=2)
Signup("pro")
Signup(plan="pro").seats = 2
"""


def test_type_checker_refuses_what_does_not_fit(tmp_path):
    (tmp_path / "caller.py").write_text(CALLER)
    code = "import sys; from mypy.main import main; main()"
    options = ["--strict", "--follow-imports=silent", "--cache-dir=cache"]

    done = subprocess.run(
        [sys.executable, "-c", code, *options, "caller.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert [line.split(":")[1] for line in done.stdout.splitlines()[:-1]] == [
        str(number)
        for number, line in enumerate(CALLER.splitlines(), 1)
        if line.startswith("Signup(") and "user_id" not in line
    ]
