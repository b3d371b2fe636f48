"""What is read from files of journeys, whole or with lines that are wrong."""

import json

import pytest

from mbuzz.cli.attribution.journey_files import Reading, read
from mbuzz.cli.console import CliError

T = 1_780_272_000
DAY = 86_400


def line(id, *days, converted=None, **said):
    touches = [[f"c{day}", T + day * DAY] for day in days]
    converted_at = None if converted is None else T + converted * DAY
    return json.dumps(
        {"id": id, "touches": touches, "converted_at": converted_at, **said}
    )


@pytest.fixture
def a_file(tmp_path):
    def write(*lines, name="journeys.jsonl", end="\n"):
        path = tmp_path / name
        path.write_bytes(b"".join(each.encode() + end.encode() for each in lines))
        return str(path)

    return write


def within_days(days, **more):
    return Reading(lookback_ms=days * DAY * 1000, **more)


def test_journeys_are_by_time_and_know_where_their_touches_were(a_file):
    file = a_file(line("a", 3, 9, 1, converted=5))

    (found,) = read(file, within_days(0)).conversions

    assert found.journey.channels == ("c1", "c3")
    assert found.places == [2, 0]
    assert found.touches == 3


@pytest.mark.parametrize(("days", "cut"), [(0, False), (4, False), (3, True)])
def test_only_journeys_that_reach_beyond_the_window_are_cut(a_file, days, cut):
    sample = read(a_file(line("a", 1, 4, converted=5)), within_days(days))

    (found,) = sample.conversions

    assert found.cut is cut
    assert sample.seen(found).channels == (("c4",) if cut else ("c1", "c4"))


def test_journeys_without_a_conversion_are_counted_by_path(a_file):
    file = a_file(line("a", 1, 2), line("b", 2, 1), line("c", 1), line("d"))

    sample = read(file, within_days(0))

    assert sample.nulls == {("c1", "c2"): 2, ("c1",): 1, (): 1}
    assert (sample.journeys, sample.converted) == (4, 0)


@pytest.mark.parametrize(
    ("as_of", "paths"),
    [
        (None, {("c1", "c6", "c9"): 1, ("c1",): 1}),
        (9, {("c9",): 1, (): 1}),  # the edge is a touch's, and not in the window
        (8, {("c6",): 1, (): 1}),
    ],
)
def test_where_the_window_of_journeys_without_a_conversion_ends(a_file, as_of, paths):
    file = a_file(line("a", 1, 6, 9), line("b", 1))
    as_of_ms = None if as_of is None else (T + as_of * DAY) * 1000

    sample = read(file, within_days(3, as_of_ms=as_of_ms))

    assert sample.nulls == paths


def test_conversions_without_a_touch_in_the_window_are_counted(a_file):
    file = a_file(
        line("a", converted=5), line("b", 9, converted=5), line("c", 1, converted=5)
    )

    assert read(file, within_days(2)).unattributed == 3
    assert read(file, within_days(0)).unattributed == 2


def test_milestones_after_the_conversion_are_none(a_file):
    file = a_file(line("a", 1, converted=2, mql_at=T + 3 * DAY, sql_at=T))

    (found,) = read(file, within_days(0)).conversions

    assert found.journey.milestones == {"sql": T * 1000}


def test_byte_order_mark_blank_lines_and_crlf_are_no_trouble(a_file):
    file = a_file("\ufeff", line("a", 1), "", "  ", line("b", 2), end="\r\n")

    assert read(file, within_days(0)).journeys == 2


@pytest.mark.parametrize(
    ("name", "text", "timed"),
    [
        ("x.jsonl", '{"touches": []}', True),
        ("x", '\ufeff {"touches": []}', True),
        ("x.txt", "path,conversions", False),
        ("x.csv", "path,conversions", False),
        ("x.CSV", "\ufeffpath;conversions", False),
        ("x.tsv", "path\tconversions", False),
    ],
)
def test_the_name_or_the_first_line_tells_what_a_file_is(a_file, name, text, timed):
    assert read(a_file(text, name=name), within_days(0)).timed is timed


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_have_one_of_several_delimiters(a_file, delimiter):
    rows = [["path", "conversions", "value", "null"], ['"a > b"', "2", "9.98", "3"]]
    file = a_file(*(delimiter.join(row) for row in rows), name="paths.csv")

    sample = read(file, within_days(90))

    (found,) = sample.conversions
    assert (found.id, found.occurrences) == ("2", 2)
    assert (found.journey.channels, found.journey.revenue) == (("a", "b"), 9_980_000)
    assert sample.nulls == {("a", "b"): 3}
    assert (sample.journeys, sample.converted, sample.revenue) == (5, 2, 9_980_000)


def test_a_path_may_be_very_long(a_file):
    path = " > ".join(f"channel {n % 9}" for n in range(20_000))
    file = a_file("path,conversions", f"{path},1", name="paths.csv")

    (found,) = read(file, within_days(0)).conversions

    assert len(found.journey.channels) == 20_000


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.csv", "empty"])
@pytest.mark.parametrize("lines", [[], ["", "  "], ["\ufeff"]])
def test_an_empty_file_says_what_should_be_there(a_file, name, lines):
    with pytest.raises(CliError, match="is empty; give a file of journeys"):
        read(a_file(*lines, name=name), within_days(0))


GOOD = line("good", 1)
WRONG_LINES = [
    ("{", "line 2: this is not JSON"),
    (line("good", 1), "line 2: id 'good' is that of line 1, too"),
    (
        '{"touches": [["a", 1]], "id": "x' + "x" * 5_000_000,
        "line 2: the line is longer",
    ),
]


@pytest.mark.parametrize(("wrong", "complaint"), WRONG_LINES)
def test_a_wrong_line_is_told_with_its_number(a_file, wrong, complaint):
    with pytest.raises(CliError, match=complaint):
        read(a_file(GOOD, wrong, line("b", 2)), within_days(0))


@pytest.mark.parametrize(("wrong", "complaint"), WRONG_LINES)
def test_wrong_lines_can_be_left_out(a_file, wrong, complaint):
    file = a_file(GOOD, wrong, line("b", 2), wrong)

    sample = read(file, within_days(0, skip_bad=True))

    assert (sample.journeys, sample.skipped) == (2, 2)
    assert complaint in sample.first_skipped


@pytest.mark.parametrize(
    "raw", [b'{"touches": [["caf\xe9", 1]]}\n', b"\x1f\x8b\x08\x00\n", b"\xff\xfe{\0"]
)
def test_what_is_no_utf_8_is_told(tmp_path, raw):
    path = tmp_path / "journeys.jsonl"
    path.write_bytes(raw)

    with pytest.raises(CliError, match=r"line 1: byte \d+ is not UTF-8"):
        read(str(path), within_days(0))


def test_a_line_number_is_the_name_of_what_has_none(a_file):
    unnamed = '{"touches": [], "converted_at": 1}'
    file = a_file(line("1", 1, converted=2), unnamed)

    assert [one.id for one in read(file, within_days(0)).conversions] == ["1", "2"]

    with pytest.raises(CliError, match="line 2: id '2' is that of line 1"):
        read(a_file(line("2", 1, converted=2), unnamed), within_days(0))


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (["hello"], "line 1: a table must have the columns"),
        (["path,conversions", '"a,1'], "line 2: this is no row of a table"),
        (["path,conversions", "a"], "line 2: the header has 2 columns"),
    ],
)
def test_a_wrong_table_is_told(a_file, rows, complaint):
    with pytest.raises(CliError, match=complaint):
        read(a_file(*rows, name="paths.csv"), within_days(0))


def test_a_header_cannot_be_left_out(a_file):
    with pytest.raises(CliError, match="line 1"):
        read(a_file("a,b", "a,1", name="x.csv"), within_days(0, skip_bad=True))


def test_unknown_names_are_kept(a_file):
    assert read(a_file(line("a", x=1), line("b", y=1)), within_days(0)).unknown == {
        "x",
        "y",
    }
    table = a_file("path,conversions,country", "a,1,fr", name="x.csv")
    assert read(table, within_days(0)).unknown == {"country"}


def test_what_is_no_file_is_told(tmp_path):
    for name in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(CliError, match="cannot read"):
            read(str(name), within_days(0))
