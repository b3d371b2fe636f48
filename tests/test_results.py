"""Results: true or false, and readable both ways."""

import dataclasses

import pytest

from mbuzz.results import ConversionResult, TrackResult

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
    for field in dataclasses.fields(result):
        assert result[field.name] == getattr(result, field.name)


@pytest.mark.parametrize("result", RESULTS)
def test_other_names_are_key_errors(result):
    for name in ("id", "__class__", "items"):
        with pytest.raises(KeyError):
            result[name]


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_cannot_be_changed(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.success = True
