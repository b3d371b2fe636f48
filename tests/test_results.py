"""Results: true or false, and readable both ways."""

import ast
import re
from pathlib import Path

import pytest

import mbuzz
from mbuzz import explanations
from mbuzz.explanations import explain
from mbuzz.results import ConversionResult, TrackResult, tracked

RESULTS = [
    TrackResult(success=True, event_id="evt_1"),
    TrackResult(success=False, error="missing_identity"),
    ConversionResult(success=True, conversion_id="conv_1", attribution={"linear": []}),
    ConversionResult(success=False, error="disabled"),
]


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_is_true_when_it_succeeded(result):
    assert bool(result) is result.success


@pytest.mark.parametrize("result", RESULTS)
def test_every_field_can_be_read_like_a_key(result):
    for name in result.fields():
        assert result[name] == getattr(result, name)


@pytest.mark.parametrize("result", RESULTS)
def test_other_names_are_key_errors(result):
    for name in ("id", "__class__", "items"):
        with pytest.raises(KeyError):
            result[name]


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_cannot_be_changed(result):
    with pytest.raises(AttributeError, match="cannot be changed"):
        result.success = True


def test_the_short_way_makes_the_same_result():
    assert tracked("evt_1") == TrackResult(success=True, event_id="evt_1")


# -- what to do about an error --

PACKAGE = Path(mbuzz.__file__).parent
SDK = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in ("server", "cli")
)
# Calls that are given a word which may come back as a result's `error`.
GIVEN_A_WORD = set(
    "InvalidEventError LeftOutError EventTooLargeError text_id required_id name _text "
    "TrackResult ConversionResult Answer _refused refuse leave_out let_go".split()
)
A_WORD = re.compile(r"[a-z]+(_[a-z0-9]+)+|closed|disabled|expired|rejected|retrying")


def words_of(tree):
    """Yield the nodes of the machine words that a module makes errors of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in GIVEN_A_WORD:
                values = [*node.args, *(keyword.value for keyword in node.keywords)]
                yield from filter(is_word, values)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            yield from filter(is_word, [node.value.body, node.value.orelse])


def is_word(node):
    text = getattr(node, "value", None)
    return isinstance(text, str) and A_WORD.fullmatch(text) is not None


WORDS = sorted(
    {
        node.value
        for path in SDK
        for node in words_of(ast.parse(path.read_text("utf-8")))
    }
)


def test_the_words_are_found_in_the_source():
    assert set(WORDS) >= set(
        "missing_event missing_conversion_type missing_identity invalid_user_id "
        "invalid_visitor_id invalid_event_id invalid_timestamp invalid_revenue "
        "invalid_currency invalid_order_id invalid_idempotency_key invalid_group_id "
        "invalid_previous_id event_too_large not_configured disabled network_off "
        "queue_full closed expired sampled_out before_send before_send_failed "
        "undeclared_event internal_error retrying".split()
    )


@pytest.mark.parametrize("word", [*WORDS, "rejected"])
def test_every_word_has_a_sentence_that_says_what_to_do(word):
    sentence = explain(word)

    assert sentence != word
    assert re.fullmatch(r"[A-Z][^\n]{20,180}\.", sentence), sentence


@pytest.mark.parametrize("status", [*range(300, 309), *range(400, 452), 500, 503, 599])
def test_every_status_has_a_sentence(status):
    sentence = explain(f"http_{status}")

    assert re.fullmatch(r"[A-Z][^\n]{20,180}\.", sentence), sentence


def test_no_word_is_explained_that_no_call_returns():
    explained = {word for word in explanations._WORDS if not word.startswith("http_")}

    assert explained - {*WORDS, "rejected"} == set()


@pytest.mark.parametrize("kind", [TrackResult, ConversionResult])
def test_a_result_says_what_to_do(kind):
    assert kind(success=True).message is None
    assert "user_id=" in kind(success=False, error="missing_identity").message
    assert "api_key" in kind(success=False, error="http_401").message


@pytest.mark.parametrize(
    "word", ["event_type is required", "", "http_", "http_4", "http_xxx", "x_http_401"]
)
def test_the_word_of_a_server_speaks_for_itself(word):
    assert TrackResult(success=False, error=word).message == word


def test_a_message_is_no_field_and_changes_nothing_of_a_result():
    result = TrackResult(success=False, error="disabled")

    assert "message" not in set(result.fields())
    assert repr(result) == "TrackResult(success=False, event_id=None, error='disabled')"
