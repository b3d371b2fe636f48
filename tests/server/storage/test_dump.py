"""JSON in columns: many values at once become what each becomes by itself."""

from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.storage.connection import dump, dump_all

TEXTS = st.text() | st.sampled_from(["\n", "\nNaN\n", "NaN", "\u2028", ",", "{}"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=6), max_size=6))
def test_many_values_become_what_each_becomes(values):
    assert dump_all(values) == [dump(value) for value in values]


def test_value_that_cannot_be_changed_is_one_too():
    nothing, same = MappingProxyType({}), {"b": 1, "a": "ü\n"}

    assert dump_all([nothing, same]) == ["{}", '{"a":"ü\\n","b":1}']
