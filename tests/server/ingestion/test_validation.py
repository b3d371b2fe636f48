"""Validation: what is taken, what is refused and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz import protocol
from mbuzz.server.ingestion.fields import InvalidError
from mbuzz.server.ingestion.timing import Timing
from mbuzz.server.ingestion.validation import (
    check_alias,
    check_conversion,
    check_group,
    check_identify,
    check_item,
    check_size,
    check_track,
)
from mbuzz.server.model import (
    AliasCall,
    ConversionCall,
    GroupCall,
    IdentifyCall,
    TrackCall,
)

NOW = 1_790_000_000_000
TIMING = Timing(received_at_ms=NOW, currency="USD")
VISITOR = "65dabef0" * 8
TRACK = {"event_type": "Signup", "visitor_id": VISITOR}
SALE = {"conversion_type": "purchase", "visitor_id": VISITOR}


def check(item, cookie=None):
    return check_item(item, TIMING, cookie)


def errors_of(item, cookie=None):
    with pytest.raises(InvalidError) as refused:
        check(item, cookie)
    return list(refused.value.errors)


# -- kinds of call --


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (TRACK, TrackCall),
        ({**TRACK, "type": "track"}, TrackCall),
        ({"type": "identify", "user_id": "1"}, IdentifyCall),
        ({"type": "alias", "user_id": "1", "previous_id": "2"}, AliasCall),
        ({"type": "group", "group_id": "1"}, GroupCall),
        ({**SALE, "type": "conversion"}, ConversionCall),
        ({"type": "conversion", "conversion": SALE}, ConversionCall),
    ],
)
def test_type_is_the_kind_of_call_and_track_when_absent(item, kind):
    assert type(check(item).call) is kind


@pytest.mark.parametrize("item", [None, [], "Signup", 1, True])
def test_item_must_be_an_object(item):
    assert errors_of(item) == ["an event must be an object"]


@pytest.mark.parametrize("kind", ["page", "", None, 1, [], {}])
def test_unknown_type_is_refused(kind):
    assert errors_of({**TRACK, "type": kind}) == [
        "type must be one of alias, conversion, group, identify, track"
    ]


def test_unknown_fields_are_ignored():
    assert check({**TRACK, "from_the_future": {"a": 1}}).call


# -- events --


def test_event_keeps_what_it_says():
    call = check(
        {
            **TRACK,
            "id": "evt_1",
            "user_id": 123,
            "session_id": "sess-1",
            "timestamp": NOW - 1000,
            "properties": {
                "url": "https://a.example/",
                "referrer": "https://b.example/",
                "user_agent": "Firefox",
                "plan": "pro",
            },
            "ignore_referrer": True,
        }
    ).call

    assert call == TrackCall(
        event_id="evt_1",
        event_type="Signup",
        visitor_id=VISITOR,
        user_id="123",
        session_id="sess-1",
        occurred_at_ms=NOW - 1000,
        received_at_ms=NOW,
        said_ms=NOW - 1000,
        url="https://a.example/",
        referrer="https://b.example/",
        user_agent="Firefox",
        ignore_referrer=True,
        properties=call.properties,
    )
    assert call.properties["plan"] == "pro"


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"event_type": None}, ["event_type is required"]),
        ({"event_type": "  "}, ["event_type is required"]),
        ({"event_type": 1}, ["event_type is required"]),
        ({"event_type": "\0"}, ["event_type is required"]),
        ({"visitor_id": None}, ["visitor_id or user_id is required"]),
        ({"visitor_id": ""}, ["visitor_id or user_id is required"]),
        ({"timestamp": "soon"}, ["timestamp must be a valid ISO8601 datetime"]),
        ({"timestamp": 1}, ["too_old: timestamp is more than 30 days ago"]),
        ({"properties": [1]}, ["properties must be a hash"]),
        ({"properties": "x"}, ["properties must be a hash"]),
        (
            {"event_type": "", "visitor_id": "", "properties": 1, "timestamp": "x"},
            [
                "event_type is required",
                "visitor_id or user_id is required",
                "properties must be a hash",
                "timestamp must be a valid ISO8601 datetime",
            ],
        ),
    ],
)
def test_every_error_of_an_item_is_told(fields, errors):
    assert errors_of({**TRACK, **fields}) == errors


def test_event_is_an_alias_of_event_type():
    assert check({"event": "Signup", "user_id": "1"}).call.event_type == "Signup"


def test_event_type_is_cut():
    long = check({**TRACK, "event_type": " " + "x" * 300}).call

    assert long.event_type == "x" * protocol.MAX_EVENT_TYPE


@pytest.mark.parametrize("given", ["a b", "é", "", "x" * 129, 7, True, "\n"])
def test_E1_id_is_printable_ascii(given):
    assert errors_of({**TRACK, "id": given}) == [
        "id must be at most 128 printable ASCII characters"
    ]


def test_event_id_is_an_alias_of_id_and_made_where_missing():
    assert check({**TRACK, "event_id": "mine"}).call.event_id == "mine"
    assert check({**TRACK, "id": "x" * 128}).call.event_id == "x" * 128
    made = {check(TRACK).call.event_id for _ in range(3)}
    assert len(made) == 3


def test_older_clients_may_put_page_facts_beside_the_properties():
    call = check({**TRACK, "url": "https://a.example/", "user_agent": ""}).call

    assert (call.url, call.user_agent, call.referrer) == (
        "https://a.example/",
        "",
        None,
    )


@pytest.mark.parametrize("value", [None, 1, [], {}, ""])
def test_page_facts_that_are_no_text_are_none(value):
    call = check({**TRACK, "properties": {"url": value, "referrer": value}}).call

    assert (call.url, call.referrer) == (None, None)


@pytest.mark.parametrize(
    ("given", "kept"), [("a.b_c:1-", "a.b_c:1-"), ("ü", None), ({}, None), (7, "7")]
)
def test_session_id_that_cannot_be_one_is_none(given, kept):
    assert check({**TRACK, "session_id": given}).call.session_id == kept


def test_prefetch_is_taken_from_the_properties():
    assert check({**TRACK, "properties": {"prefetch": True}}).call.prefetch
    assert not check({**TRACK, "properties": {"prefetch": "yes"}}).call.prefetch


# -- people --


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (VISITOR, VISITOR),
        (f'"{VISITOR}"', VISITOR),
        (f"' {VISITOR} '", VISITOR),
        (f'  "{VISITOR}"\n', VISITOR),
        ("x", "x"),
        ("a.b_c:1-" * 20, "a.b_c:1-" * 20),
        (42, "42"),
    ],
)
def test_visitor_ids_lose_quotes_and_spaces(given, kept):
    assert check({**TRACK, "visitor_id": given}).call.visitor_id == kept
    item = {"event_type": "Signup", "anonymous_id": given}
    assert check(item).call.visitor_id == kept


@pytest.mark.parametrize(
    "given", ["a b", "é", "x" * 256, '"', "''", True, 1.5, [], ["a"], {"a": 1}, "'a\""]
)
def test_visitor_ids_that_cannot_be_stored_are_refused(given):
    assert errors_of({**TRACK, "visitor_id": given}) == [
        "visitor_id must be 1 to 255 letters, digits or . _ : -"
    ]


@pytest.mark.parametrize("given", ["null", "'undefined'", "NaN", "0", 0, "anonymous"])
def test_placeholders_are_no_visitors(given):
    assert errors_of({**TRACK, "visitor_id": given}) == [
        "visitor_id is a placeholder, not an id"
    ]


def test_two_different_visitors_are_refused():
    assert check({**TRACK, "anonymous_id": VISITOR}).call.visitor_id == VISITOR
    assert errors_of({**TRACK, "anonymous_id": "other"}) == [
        "visitor_id and anonymous_id are the same thing, but differ"
    ]


@pytest.mark.parametrize(
    ("given", "kept"),
    [(1, "1"), ("1", "1"), (" 7 ", "7"), ("a@b.c", "a@b.c"), ("x" * 255, "x" * 255)],
)
def test_I11_numbers_are_ids(given, kept):
    assert check({"event_type": "a", "user_id": given}).call.user_id == kept


@pytest.mark.parametrize("given", [True, False, 1.0, [], ["1"], {}, {"id": 1}])
def test_I11_other_values_are_not(given):
    assert errors_of({"event_type": "a", "user_id": given}) == [
        "user_id must be text or a whole number"
    ]


@pytest.mark.parametrize(
    "given",
    [
        *["null", "NULL", " undefined ", "None", "NaN", "true", "0", 0, -1, " "],
        *["anonymous", "Guest", "[object Object]", "{}"],
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_I10_placeholders_are_no_ids(given):
    assert errors_of({"event_type": "a", "user_id": given}) == [
        "illegal_user_id: user_id is a placeholder, not an id"
    ]


@pytest.mark.parametrize("given", ["x" * 256, "a\0b", "a\ud800b"])
def test_user_ids_that_cannot_be_stored_are_refused(given):
    [error] = errors_of({"event_type": "a", "user_id": given})

    assert error.startswith("user_id must be at most 255 characters")


def test_cookie_speaks_for_items_without_a_person():
    nobody = {"event_type": "Signup"}

    assert check(nobody, "from-cookie").call.visitor_id == "from-cookie"
    assert check(TRACK, "from-cookie").call.visitor_id == VISITOR
    assert check({**nobody, "user_id": "1"}, "from-cookie").call.visitor_id is None
    assert errors_of(nobody) == ["visitor_id or user_id is required"]


# -- identify, alias and group --


def test_identify_keeps_what_it_says():
    call = check_identify(
        {"user_id": 1, "visitor_id": f'"{VISITOR}"', "traits": {"plan": "pro"}},
        TIMING,
        [],
    )

    assert call == IdentifyCall(
        user_id="1", visitor_id=VISITOR, traits={"plan": "pro"}, at_ms=NOW
    )


@pytest.mark.parametrize(
    ("item", "errors"),
    [
        ({}, ["user_id is required"]),
        ({"user_id": ""}, ["user_id is required"]),
        (
            {"user_id": "null"},
            ["illegal_user_id: user_id is a placeholder, not an id"],
        ),
        ({"user_id": 1, "traits": 7}, ["traits must be a hash"]),
        (
            {"visitor_id": "a b", "timestamp": ""},
            [
                "user_id is required",
                "visitor_id must be 1 to 255 letters, digits or . _ : -",
                "timestamp must be a valid ISO8601 datetime",
            ],
        ),
    ],
)
def test_identify_tells_every_error(item, errors):
    with pytest.raises(InvalidError) as refused:
        check_identify(item, TIMING, [])

    assert list(refused.value.errors) == errors


@pytest.mark.parametrize(
    ("item", "errors"),
    [
        ({}, ["user_id is required", "previous_id is required"]),
        ({"user_id": 1}, ["previous_id is required"]),
        (
            {"user_id": 1, "previous_id": "guest"},
            ["illegal_user_id: previous_id is a placeholder, not an id"],
        ),
        (
            {"user_id": 1, "previous_id": 2, "timestamp": []},
            ["timestamp must be a valid ISO8601 datetime"],
        ),
    ],
)
def test_alias_tells_every_error(item, errors):
    with pytest.raises(InvalidError) as refused:
        check_alias(item, TIMING, [])

    assert list(refused.value.errors) == errors


def test_group_keeps_what_it_says():
    item = {"id": 5, "group_id": 1, "user_id": "u", "visitor_id": VISITOR}

    call = check_group({**item, "traits": {"seats": 5}}, TIMING, [])

    assert call == GroupCall(
        call_id="5",
        group_id="1",
        user_id="u",
        visitor_id=VISITOR,
        traits={"seats": 5},
        at_ms=NOW,
    )


def test_group_need_not_be_about_a_person():
    call = check_group({"group_id": "acme"}, TIMING, [])

    assert (call.call_id, call.user_id, call.visitor_id) == (None, None, None)


@pytest.mark.parametrize(
    ("item", "errors"),
    [
        ({}, ["group_id is required"]),
        ({"group_id": " "}, ["illegal_user_id: group_id is a placeholder, not an id"]),
        ({"group_id": "g" * 256}, ["group_id must be at most 255 characters"]),
        ({"group_id": ["g"]}, ["group_id must be text or a whole number"]),
        ({"group_id": 1, "user_id": True}, ["user_id must be text or a whole number"]),
        (
            {"visitor_id": "a b", "traits": 7, "timestamp": ""},
            [
                "group_id is required",
                "visitor_id must be 1 to 255 letters, digits or . _ : -",
                "traits must be a hash",
                "timestamp must be a valid ISO8601 datetime",
            ],
        ),
    ],
)
def test_group_tells_every_error(item, errors):
    with pytest.raises(InvalidError) as refused:
        check_group(item, TIMING, [])

    assert list(refused.value.errors) == errors


# -- conversions --


def conversion(**fields):
    return check_conversion({**SALE, **fields}, TIMING, [])


def conversion_errors(**fields):
    with pytest.raises(InvalidError) as refused:
        conversion(**fields)
    return list(refused.value.errors)


def test_conversion_is_the_same_flat_and_wrapped():
    fields = {**SALE, "id": "conv_12345678", "revenue": "99.99", "currency": "eur"}

    flat = check_conversion(fields, TIMING, [])
    wrapped = check_conversion({"conversion": fields}, TIMING, [])

    assert flat == wrapped
    assert (flat.revenue_minor, flat.currency) == (9999, "EUR")
    assert flat.conversion_id == "conv_12345678"
    assert not flat.is_acquisition


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Purchase", "purchase"),
        (" Free Trial ", "free_trial"),
        ("a", "a"),
        ("1.b:c-d_e", "1.b:c-d_e"),
        ("x" * 64, "x" * 64),
    ],
)
def test_CV1_conversion_type_is_a_plain_name(given, kept):
    assert conversion(conversion_type=given).conversion_type == kept


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (None, "conversion_type is required"),
        ("", "conversion_type is required"),
        (7, "conversion_type is required"),
        ("_a", "conversion_type must be 1 to 64 letters"),
        ("é", "conversion_type must be 1 to 64 letters"),
        ("x" * 65, "conversion_type must be 1 to 64 letters"),
    ],
)
def test_CV1_conversion_type_that_is_none(given, error):
    [said] = conversion_errors(conversion_type=given)

    assert said.startswith(error)


@pytest.mark.parametrize(
    ("revenue", "currency", "minor", "warned"),
    [
        ("99.99", "USD", 9999, False),
        (99.99, "USD", 9999, False),
        (0.1 + 0.2, "USD", 30, True),
        (1, "USD", 100, False),
        ("0", "USD", 0, False),
        ("-0", "USD", 0, False),
        (" 12.5 ", "USD", 1250, False),
        ("1e2", "USD", 10_000, False),
        ("1.005", "USD", 100, True),  # half to even
        ("1.015", "USD", 102, True),
        ("100", "JPY", 100, False),
        ("100.5", "JPY", 100, True),
        ("1.234", "KWD", 1234, False),
        ("1.2345", "CLF", 12345, False),
        ("1.5", "ZZZ", 150, False),
        ("1000000000000", "USD", 10**14, False),
        ("7", None, 700, False),
        (None, "USD", None, False),
    ],
)
def test_CV2_money_is_exact(revenue, currency, minor, warned):
    warnings = []

    call = check_conversion(
        {**SALE, "revenue": revenue, "currency": currency}, TIMING, warnings
    )

    assert call.revenue_minor == minor
    assert call.currency == currency
    assert any("rounded" in warning for warning in warnings) is warned


@pytest.mark.parametrize(
    ("revenue", "error"),
    [
        ("a lot", "revenue must be a decimal number"),
        ("", "revenue must be a decimal number"),
        ("1,000.00", "revenue must be a decimal number"),
        ("NaN", "revenue must be from 0"),
        ("sNaN", "revenue must be from 0"),
        ("Infinity", "revenue must be from 0"),
        (float("inf"), "revenue must be from 0"),
        ("-0.01", "revenue must be from 0"),
        (-1, "revenue must be from 0"),
        ("1000000000000.01", "revenue must be from 0"),
        ("1e999999", "revenue must be from 0"),
        (True, "revenue must be a number or decimal text"),
        ([], "revenue must be a number or decimal text"),
        ({}, "revenue must be a number or decimal text"),
    ],
)
def test_CV2_amounts_that_are_none(revenue, error):
    [said] = conversion_errors(revenue=revenue)

    assert said.startswith(error)


@pytest.mark.parametrize("currency", ["", "US", "DOLLAR", "U$D", 840, True, "ÉUR"])
def test_CV2_currency_is_three_letters(currency):
    assert conversion_errors(revenue=1, currency=currency) == [
        "currency must be a code of three letters, such as USD"
    ]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, None),
        ({"order_id": "A-1"}, "order:purchase:A-1"),
        ({"order_id": 17}, "order:purchase:17"),
        ({"order_id": True}, None),
        ({"properties": {"order_id": "A-1"}}, "order:purchase:A-1"),
        ({"properties": {"transaction_id": "T"}}, "order:purchase:T"),
        ({"idempotency_key": "K", "order_id": "A-1"}, "key:K"),
        ({"id": "conv_12345678"}, None),
        ({"id": "conv_12345678", "order_id": "A"}, "order:purchase:A"),
        ({"id": "theirs"}, "id:theirs"),
    ],
)
def test_E4_what_makes_a_conversion_a_repeat(fields, key):
    assert conversion(**fields).dedupe_key == key


def test_E4_long_order_ids_stay_different():
    one, two = [conversion(order_id="x" * 300 + end).dedupe_key for end in "ab"]

    assert one != two
    assert one == conversion(order_id="x" * 300 + "a").dedupe_key
    assert len(one) < 100


def test_conversion_of_an_event_needs_nobody_else():
    call = check_conversion({"conversion_type": "a", "event_id": "evt_1"}, TIMING, [])

    assert (call.event_id, call.visitor_id, call.user_id) == ("evt_1", None, None)
    with pytest.raises(InvalidError, match="visitor_id or user_id is required"):
        check_conversion({"conversion_type": "a"}, TIMING, [])


def test_converted_at_beats_timestamp():
    call = conversion(converted_at=NOW - 5, timestamp=NOW - 9)

    assert call.converted_at_ms == NOW - 5
    assert conversion(timestamp=NOW - 9).converted_at_ms == NOW - 9


# -- sizes --


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def test_depth_is_bounded():
    assert check({**TRACK, "properties": nested(protocol.MAX_DEPTH)})
    deeper = {**TRACK, "properties": nested(protocol.MAX_DEPTH + 1)}
    assert errors_of(deeper) == ["properties may be nested 5 levels deep"]
    lists = {**TRACK, "properties": {"a": [[[[[1]]]]]}}
    assert errors_of(lists) == ["properties may be nested 5 levels deep"]


def test_number_of_properties_is_bounded():
    most = {str(number): 1 for number in range(protocol.MAX_PROPERTIES)}

    assert check({**TRACK, "properties": most})
    assert errors_of({**TRACK, "properties": {**most, "more": 1}}) == [
        "properties may have at most 100 keys"
    ]


def test_long_text_is_cut_with_a_warning():
    long = "x" * (protocol.MAX_STRING + 1)

    checked = check({**TRACK, "properties": {"a": [long], "b": long[1:]}})

    assert checked.call.properties["a"] == [long[1:]]
    assert checked.warnings == ["properties: text over 8192 characters was cut"]


def test_a_number_too_large_for_json_is_null():
    checked = check({**TRACK, "properties": {"a": [float("inf"), 1.5]}})

    assert checked.call.properties["a"] == [None, 1.5]


def test_size_is_of_the_item_in_utf_8():
    room = protocol.MAX_EVENT_BYTES - len('{"a":""}')

    check_size({"a": "x" * room})
    check_size({"a": "é" * (room // 2)})
    check_size({"a": "\ud800"})
    for item in ({"a": "x" * (room + 1)}, {"a": "é" * (room // 2 + 1)}):
        with pytest.raises(InvalidError, match="an event may have 32768 bytes"):
            check_size(item)


def test_size_of_what_is_nested_without_end_is_refused():
    with pytest.raises(InvalidError, match="nested too deeply"):
        check_size(nested(100_000))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    "type event_type event visitor_id anonymous_id user_id previous_id group_id id "
    "session_id event_id timestamp properties traits url referrer conversion "
    "conversion_type revenue currency order_id idempotency_key converted_at".split()
)
ITEMS = st.dictionaries(
    FIELDS,
    JSON | st.sampled_from(["track", "alias", "conversion", "group", "identify", "a1"]),
)


def outcome(item):
    try:
        return check(item).call
    except InvalidError as error:
        return error.errors


@given(JSON | ITEMS)
def test_any_json_is_a_call_or_has_reasons_why_not(item):
    said = outcome(item)

    if type(said) is tuple:
        assert said
        assert all(isinstance(text, str) and text for text in said)
    else:
        assert isinstance(
            said, TrackCall | IdentifyCall | AliasCall | GroupCall | ConversionCall
        )


def test_check_track_is_what_items_go_through():
    assert check_track(TRACK, TIMING, []).visitor_id == VISITOR


# -- funnels, e-mails, currencies --


@pytest.mark.parametrize("given", ["checkout", " checkout "])
def test_CV16_funnel_is_kept_of_events_and_conversions(given):
    event = check({**TRACK, "funnel": given, "properties": {"plan": "pro"}}).call
    sale = check({**SALE, "type": "conversion", "funnel": given}).call

    assert event.properties == {"funnel": "checkout", "plan": "pro"}
    assert sale.funnel == "checkout"


@pytest.mark.parametrize("given", [5, " ", "x" * 65, ["a"]])
def test_CV16_funnel_is_a_label_of_64_characters_at_most(given):
    error = "funnel must be text of 1 to 64 characters"

    assert errors_of({**TRACK, "funnel": given}) == [error]
    assert errors_of({**SALE, "type": "conversion", "funnel": given}) == [error]


@pytest.mark.parametrize("given", [None, ""])
def test_CV16_no_funnel_is_fine(given):
    assert check({**TRACK, "funnel": given}).call.properties == {}


def test_I13_conversion_may_name_its_user_by_e_mail():
    item = {"type": "conversion", "conversion_type": "a"}

    call = check({**item, "identifier": {"email": " Ann@shop.example "}}).call

    assert (call.email, call.visitor_id, call.user_id) == (
        "Ann@shop.example",
        None,
        None,
    )


@pytest.mark.parametrize(
    "given",
    ["ann@shop.example", {}, {"email": 5}, {"email": "ann"}, {"email": "@" * 255}],
)
def test_I13_identifier_that_is_none(given):
    (error, *_) = errors_of(
        {"type": "conversion", "conversion_type": "a", "identifier": given}
    )

    assert error.startswith("identifier must be an object with an e-mail")


def test_CV2_letters_that_are_no_currency_are_taken_and_flagged():
    checked = check({**SALE, "type": "conversion", "revenue": "1.5", "currency": "zzz"})

    assert (checked.call.currency, checked.call.revenue_minor) == ("ZZZ", 150)
    assert checked.warnings == ["unknown_currency"]
    assert checked.call.flags == {"unknown_currency"}


def test_CV2_rounding_is_flagged():
    assert check({**SALE, "type": "conversion", "revenue": "1.005"}).call.flags == {
        "rounded"
    }


def test_T3_conversion_of_a_clock_ahead_is_flagged():
    checked = check({**SALE, "type": "conversion", "timestamp": NOW + 3_600_000})

    assert checked.call.converted_at_ms == NOW
    assert checked.call.flags == {"clock_future"}


@pytest.mark.parametrize("given", [5, ["a"], {str(n): n for n in range(200)}])
def test_conversion_is_not_refused_for_what_only_ties_it_to_a_request(given):
    assert check({**SALE, "type": "conversion", "correlation": given}).call
