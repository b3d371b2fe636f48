"""What holds for any input: valid JSON, bounded, and no secret in any position."""

import json
import time
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mbuzz import protocol
from mbuzz.redaction import REDACTED
from mbuzz.serialization import Encoder, EventTooLargeError

MODES = ["standard", "strict", "off"]
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP"


def slow(encoder, source, *, traits=False):
    """Encode without the fast path."""
    return encoder._slow(source, protocol.MAX_EVENT_BYTES, traits=traits)


def card(prefix):
    """Return *prefix* with the last digit that makes it the number of a card."""
    for last in "0123456789":
        digits = [int(sign) for sign in prefix + last]
        twice = [sum(divmod(d * 2, 10)) for d in digits[-2::-2]]
        if (sum(digits[-1::-2]) + sum(twice)) % 10 == 0:
            return prefix + last
    raise AssertionError


def grouped(number, gap):
    """Return a card's number in groups of four, and a part of it."""
    return gap.join(number[i : i + 4] for i in range(0, 16, 4)), number[4:8] + gap


cards = st.builds(
    lambda first, rest: card((first + rest)[:15]),
    st.sampled_from("4 51 55 2221 2720 6011 65 3528 62".split()),
    st.text("0123456789", min_size=14, max_size=14),
)

# Secrets by their look, each with the part of it that must not be seen again.
by_look = st.one_of(
    cards.map(lambda n: (n, n)),
    st.builds(grouped, cards, st.sampled_from(" -")),
    st.sampled_from(
        [
            ("Bearer hunter2hunter2", "hunter2"),
            ("bearer  hunter2.hunter2==", "hunter2"),
            (JWT, "eyJzdWIi"),
            (JWT.rpartition(".")[0], "eyJzdWIi"),
            ("sk_live_hunter2hunter2hunter2", "hunter2"),
            ("sk_test_hunter2hunter2hunter2", "hunter2"),
            ("ghp_" + "hunter2" * 6, "hunter2"),
            ("me.hunter2@example.org", "hunter2"),
            ("me.hunter2%40example.org", "hunter2"),
            ("https://me:hunter2@example.org/a", "hunter2"),
            ("https://example.org/a?b=1&token=hunter2", "hunter2"),
            ("https://example.org/#access_token=hunter2", "hunter2"),
            ("https://example.org/reset/hunter2hunter2hunter2", "hunter2"),
            ("/accounts/reset/MQ/hunter2-hunter2hunter2/?a=1", "hunter2"),
            ("https://h/?next=https%3A%2F%2Fh%2F%3Ftoken%3Dhunter2", "hunter2"),
            ("https://h/;jsessionid=hunter2?a=1", "hunter2"),
            ('{"password": "hunter2"}', "hunter2"),
            ("postgres://me:hunter2@db/app", "hunter2"),
        ]
    ),
)  # fmt: skip
personal = st.sampled_from(
    [
        ("+49 170 1234567", "1234567"),
        ("+491701234567", "1234567"),
        ("(415) 555-2671", "2671"),
        ("10.11.12.13", "11.12"),
        ("2001:db8:77::1", ":77:"),
        ("::ffff:10.11.12.13", "11.12"),
        ("DE89 3704 0044 0532 0130 00", "0044"),
        ("GB82WEST12345698765432", "1234569"),
    ]
)
secret_names = st.sampled_from(
    "password Password userPassword PASSWORD_HASH passwd pwd api_key apiKey X-Api-Key "
    "token authToken access-token refresh_token Authorization secret clientSecret card "
    "cardNumber credit.card cvv ssn session_id sessionId Set-Cookie privateKey pin otp "
    "\uff50\uff41\uff53\uff53word pass_word".split()  # full-width letters
)  # fmt: skip
around = st.sampled_from(
    ["", "a", "see ", "x: ", "(", "Zoë ", "🎉 ", "\n", "'", "pay by ", "=", "2 items, "]
)
after = st.sampled_from(
    ["", " ", ".", ", thanks", ")", "\n", "'", " 🎉", "!", " and 5"]
)


def wrapped(value, position, name):
    """Return properties that hold *value* in one of many positions."""
    shapes = {
        "value": {name: value},
        "key": {value: 1},
        "list": {name: [1, value]},
        "nested": {name: {"a": {"b": [value]}}},
        "nested key": {name: [{value: {"x": 1}}]},
        "tuple": {name: ("a", (value,))},
        "set": {name: {value}},
        "bytes": {name: value.encode()},
        "error": {name: ValueError(value)},
        "beside": {"url": "https://h/?utm_source=a", name: value, "n": 5},
        "last of many": {**{str(n): n for n in range(90)}, name: value},
    }
    return shapes[position]


positions = st.sampled_from(
    "value|key|list|nested|nested key|tuple|set|bytes|error|beside|last of many".split(
        "|"
    )
)
names = st.sampled_from(["note", "url", "ref", "Zoë", "x" * 100, "", "data"])
encoders = {mode: Encoder(pii=mode) for mode in MODES}


@settings(deadline=None)
@given(
    by_look, around, after, positions, names, st.sampled_from(["standard", "strict"])
)
def test_a_secret_known_by_its_look_never_leaves(
    planted, before, behind, position, name, mode
):
    text, secret = planted
    if text.startswith("/"):
        before = ""  # a path alone is known by its begin only

    encoded = encoders[mode].mapping(wrapped(before + text + behind, position, name))

    assert secret not in encoded
    json.loads(encoded)


@settings(deadline=None)
@given(personal, around, after, positions, names)
def test_personal_data_does_not_leave_in_strict_mode(
    planted, before, behind, position, name
):
    text, secret = planted
    if before and before[-1].isalnum():
        before += " "

    encoded = encoders["strict"].mapping(
        wrapped(before + text + behind, position, name)
    )

    assert secret not in encoded


@settings(deadline=None)
@given(secret_names, positions, st.sampled_from(["standard", "strict"]))
def test_a_secret_known_by_its_name_never_leaves(name, position, mode):
    properties = {"a": [{"b": {name: "hunter2"}}], name: "hunter2"}
    properties |= wrapped("x", position, "note")

    encoded = encoders[mode].mapping(properties)
    traits = encoders[mode].traits(properties)

    assert "hunter2" not in encoded + traits
    assert REDACTED in encoded


@settings(deadline=None)
@given(st.text(), secret_names.filter(str.isascii))
def test_a_secret_parameter_never_leaves(text, name):
    url = f"https://example.org/?{quote(text)}=1&{name}=hunter2"

    assert "hunter2" not in encoders["standard"].mapping({"url": url})
    assert "hunter2" not in encoders["standard"].mapping({"note": f"see {url} now"})


# -- the fast path --

salt = st.one_of(
    by_look.map(lambda planted: planted[0]),
    personal.map(lambda planted: planted[0]),
    st.text(),
    st.text(alphabet="0123456789 -."),
    st.text(alphabet="ab=&?#;/%@:'\" \t\n\r\x0b\x1c\u00a0\u2028\0\ud800é🎉"),
    st.text(alphabet="5 -\u0663\uff13"),
    st.text(alphabet="eyJBearerSK sk_-.ghp"),
    st.sampled_from(
        "https://shop.example/a?utm_source=g&q=1|token|=|?code=5|&a|'k':1|gh|ghost_"
        "|/reset/|%|%2|%3d|@|//|xox|1111111111111|eyJ|: ".split("|")
    ),
)  # fmt: skip
texts = st.lists(salt, max_size=4).map("".join)
numbers = st.one_of(
    st.integers(),
    st.integers(10**12, 10**19),
    st.floats(),
    cards.map(int),
    cards.map(float),
    st.booleans(),
    st.none(),
)
flat_keys = st.one_of(
    st.sampled_from("url plan email ip client_ip items name phone a_b".split()),
    secret_names,
    st.text(max_size=8),
    texts,
)
flat = st.dictionaries(flat_keys, st.one_of(texts, numbers), max_size=8)
nested = st.recursive(
    st.one_of(texts, numbers, st.sampled_from(["a", "pro", 5])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(["sku", "n"]), flat_keys), inner,
                        max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip
own_rules = {"redact_keys": ("plan",), "allow_keys": ("token",)}
all_encoders = [
    *(Encoder(pii=mode) for mode in MODES),
    Encoder(redact_patterns=(r"^a", r"\d$"), **own_rules),
]


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(flat, st.dictionaries(flat_keys, nested, max_size=4)),
    st.sampled_from(range(len(all_encoders))),
    st.booleans(),
)
@example({"a": "x", "b": "y"}, 0, False)
@example({"a\0b": "x"}, 0, False)
@example({"a": [[[[[5]]]]]}, 0, False)
@example({"a": [[[["x"]]]]}, 0, False)
@example({"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}, 0, False)
@example({"a": list(range(101))}, 0, False)
def test_the_fast_path_says_what_the_slow_path_says(source, which, traits):
    encoder = all_encoders[which]
    for _ in range(2):  # the second time, the names are known
        shapes = encoder._trait_shapes if traits else encoder._shapes
        quick = encoder._fast(source, shapes)

        assert quick is None or quick == slow(encoder, source, traits=traits)


def test_an_ordinary_event_takes_the_fast_path():
    source = {
        "url": "https://shop.example/products/shoes?utm_source=google&utm_medium=cpc",
        "referrer": "https://www.google.com/",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0.0.0 Safari/537.36",
        "plan": "pro",
        "price": 129.9,
        "items": 2,
        "new": True,
        "city": "Köln",
        "coupon": None,
        "at_ms": 1_795_000_000_000,
        "lines": [{"sku": "a-1", "n": 2, "tags": ["x", "y"]}, {"sku": "b-2", "n": 1}],
    }
    for mode in MODES:
        encoder = Encoder(pii=mode)
        assert encoder._fast(source, encoder._shapes) == slow(encoder, source)


def test_what_is_remembered_is_bounded():
    encoder = Encoder()
    for n in range(9000):
        encoder.mapping({f"k{n}": f"https://h/?p{n}=1"})

    assert len(encoder._shapes) <= 512
    assert len(encoder._suspicion._innocent) <= 2100
    assert len(encoder._suspicion.names._known) <= 4096
    assert len(encoder._suspicion.names._known_parameters) <= 4096


# -- bounds --

anything = st.recursive(
    st.one_of(texts, numbers, st.binary(), st.dates(), st.decimals()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.one_of(texts, numbers), inner, max_size=5),
        st.tuples(inner, inner),
    ),
    max_leaves=30,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.one_of(texts, numbers), anything, max_size=6),
    st.sampled_from(MODES),
)
def test_any_graph_becomes_ascii_json_within_the_limit(source, mode):
    encoded = encoders[mode].mapping(source)

    assert encoded.isascii()
    assert len(encoded) <= protocol.MAX_EVENT_BYTES
    assert isinstance(json.loads(encoded), dict)


def laughs():
    graph = ["ha" * 4000] * 100
    for _ in range(6):
        graph = [graph] * 100
    return graph


def knot():
    loop = {}
    loop |= {str(n): loop for n in range(100)}
    return loop


@pytest.mark.parametrize(
    "value",
    [
        laughs(),
        knot(),
        ["1 " * 8000] * 100,
        ["a@" * 8000] * 100,
        ["4111 " * 3000] * 100,
        ["https://h/?" + "a=%3D&" * 2000] * 100,
        ["'" * 8000 + ":"] * 100,
        ["-eyJ" * 4000] * 100,
        ["/reset/" * 2000] * 100,
        ['"a":' * 4000] * 100,
        ["ab:" * 5000] * 100,
        ["AB12" * 4000] * 100,
        ["+1 " * 5000] * 100,
        {"k" * 10**6 + str(n): "v" for n in range(100)},
        "x" * 10**8,
        b"x" * 10**8,
        [10**9000] * 100,
        {str(n): {str(m): "x" * 50 for m in range(100)} for n in range(100)},
    ],
    ids=lambda value: None,
)
@pytest.mark.parametrize("mode", MODES)
def test_hostile_graphs_take_no_more_than_a_moment(value, mode):
    begin = time.process_time()

    try:
        encoded = encoders[mode].mapping({"v": value, "w": value})
    except EventTooLargeError:
        encoded = ""

    assert len(encoded) <= protocol.MAX_EVENT_BYTES
    assert time.process_time() - begin < 5
