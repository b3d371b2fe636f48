"""Click ids (§4, K4)."""

import pytest

from mbuzz.server.tracking.click_ids import CLICK_IDS, read_click_ids, rows_of
from mbuzz.server.tracking.utm import query_pairs


def read(query):
    return dict(read_click_ids(query_pairs(f"/?{query}")))


@pytest.mark.parametrize("row", CLICK_IDS, ids=lambda row: row.name)
def test_every_parameter_is_read_in_any_case(row):
    expected = {row.name: "Abc"}

    assert read(f"{row.name}=Abc") == expected
    assert read(f"{row.name.upper()}=Abc") == expected
    assert rows_of(expected) == [row]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("gclid=", {}),
        ("gclid=%20", {}),
        ("gclid=undefined", {}),
        ("gclid=&gclid=1&gclid=2", {"gclid": "1"}),
        (
            "fbclid=1&gad_source=2&gclid=3",
            {"gclid": "3", "gad_source": "2", "fbclid": "1"},
        ),
        ("gclid=" + "a" * 600, {"gclid": "a" * 512}),
        ("mc_eid=bob%40example.com", {"mc_eid": "[email]"}),
        ("srsltid=1", {}),
        ("xgclid=1", {}),
    ],
)
def test_K4_presence_and_value(query, expected):
    assert read(query) == expected


def test_first_click_id_has_precedence():
    assert list(read("epik=1&dclid=2&gclid=3")) == ["gclid", "dclid", "epik"]
