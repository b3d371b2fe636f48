"""The text of a call's fields; the rest is tested through `validation`."""

import pytest

from mbuzz.server.ingestion.fields import storable, unquote


@pytest.mark.parametrize(
    ("given", "kept"),
    [("plain", "plain"), ("é", "é"), ("a\0b", "ab"), ("\ud800", "?"), ("é\0", "é")],
)
def test_text_that_databases_cannot_keep_is_cleaned(given, kept):
    assert storable(given) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [('"a"', "a"), ("'a'", "a"), ("\"a'", "\"a'"), ('"', '"'), ('""a""', '"a"')],
)
def test_one_pair_of_quotes_is_taken_off(given, kept):
    assert unquote(given) == kept
