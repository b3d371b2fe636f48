"""Which error a wrong program has, where, and how it is shown."""

import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.server.attribution.dsl.errors import MOST_REPORTED, ProgramError
from mbuzz.server.attribution.dsl.formatter import canonical, format_program
from mbuzz.server.attribution.dsl.parser import parse
from tests.server.attribution.dsl.programs import ACCEPTED, model, programs


def refused(source):
    with pytest.raises(ProgramError) as caught:
        parse(source)
    return caught.value


FIRST = "credit first_touch with 1"


@pytest.mark.parametrize(
    ("line", "code", "column"),
    [
        ("credit with 1", "E201", 10),  # no name, but a word of the language
        ('credit "first_touch" with 1', "E201", 10),
        ('credit channel("a") with 1', "E301", 10),
        ("credit age < 1 day with 1", "E301", 10),
        ("weight by 2", "E201", 10),
        ("weight 2 by 2", "E201", 10),
        ("where first_touch", "E205", 3),
        ("first_touch with 1", "E205", 3),
        ('"text"', "E201", 3),
        ("describe", "E201", 11),
        ("describe   # nothing", "E201", 11),
        ("describe text", "E201", 12),
        ('describe ""', "E401", 12),
        ('describe "a" "b"', "E201", 16),
        ("lookback days", "E201", 12),
        ('lookback 7 "days"', "E305", 12),
        ("lookback 7days", "E103", 12),
        ("lookback -7 days", "E401", 12),
        ("lookback 0.00001 minutes", "E401", 12),  # less than a millisecond
        ("lookback 365.1 days", "E401", 12),
        ("lookback 8761 hours", "E401", 12),
        ("lookback 1.1234567 days", "E403", 12),
        ("distribute by recency(0 days)", "E401", 25),
        ("distribute by recency(400 days)", "E401", 25),
        ("distribute by recency(7)", "E305", 25),
        ("distribute by age", "E201", 17),
        ("distribute", "E201", 13),
        ("distribute linear", "E201", 14),
        ("otherwise", "E201", 12),
        ("otherwise all_touches", "E301", 13),
        ("otherwise first_touch equally", "E201", 25),
        ("credit all_touches with 1 equal", "E201", 29),
        ("credit all_touches with 1 proportionally", "E201", 29),
        ("credit all_touches with 1 by 7 days", "E201", 32),
        ("credit touch(1) with 1 equally", "E306", 26),
        ("credit touch with 1", "E201", 16),
        ("credit touch() with 1", "E304", 10),
        ("credit touch(1, 2) with 1", "E304", 10),
        ("credit touch(1,2) with 1", "E103", 16),
        ("credit touch(-0) with 1", "E401", 16),
        ("credit milestone(mql) with 1", "E303", 20),
        ('credit milestone("") with 1', "E401", 20),
        ('credit milestone("a" "b") with 1', "E201", 24),
        ("credit first_touch where with 1", "E201", 28),
        ("credit first_touch with 1/2.5", "E201", 29),
        ("credit first_touch with 0.5/2", "E201", 30),
        ("credit first_touch with 1/", "E201", 29),
        ("credit first_touch with -1/-2 x", "E201", 33),
        ("credit first_touch with -1/2", "E401", 27),
        ("credit first_touch with 101%", "E401", 27),
        ("credit first_touch with 1 %%", "E201", 30),
        ("credit first_touch with +1", "E101", 27),
        ("credit first_touch with 1.", "E103", 27),
        ("credit first_touch with 1_0", "E103", 27),
        ("credit first_touch with 0.0000000000001", "E103", 27),
        ("credit first_touch with 1٣", "E101", 28),
        ('weight channel("a",) by 2', "E201", 22),
        ('weight channel("a" by 2', "E201", 22),
        ("weight channel by 2", "E201", 18),
        ("weight (first_touch by 2", "E201", 23),
        ("weight first_touch) by 2", "E201", 21),
        ("weight first_touch and by 2", "E201", 26),
        ("weight not by 2", "E201", 14),
        ("weight age 7 days by 2", "E201", 14),
        ("weight age <> 7 days by 2", "E201", 15),
        ("weight first_touch by 1000.000001", "E401", 25),
        ("weight " + "(" * 17 + "first_touch" + ")" * 17 + " by 2", "E604", 26),
        ("exclude direct", "E302", 11),
        ("exclude channel(" + ", ".join(['"a"'] * 33) + ")", "E304", 11),
        ("crédit", "E101", 5),
        ("\x0cdescribe", "E101", 3),
        ("\x00", "E101", 3),
        ("\ud800", "E101", 3),
        ('describe "a\ud800"', "E101", 14),
        ("# a\ud800", "E101", 6),
        ('describe "a\\', "E102", 12),
        ('describe "a\rb"', "E102", 12),
        (FIRST + "\r", None, 0),
        (FIRST + "\r\r", "E101", 28),
    ],
)
def test_wrong_line(line, code, column):
    source = model(line, *([] if line.startswith(FIRST) else [FIRST]))
    if code is None:
        assert parse(source)
        return

    error = refused(source)

    assert (error.code, error.line, error.column) == (code, 2, column)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("\ufeff" + model(FIRST), ("E101", 1, 1)),
        (model(FIRST).replace("\n", "\r"), ("E101", 1, 10)),
        ('\n\n  Model "M"\n', ("E204", 3, 3)),
        ("model", ("E201", 1, 6)),
        ('model "M" credit first_touch with 1\nend', ("E201", 1, 11)),
        ("model end\nend", ("E201", 1, 7)),
        (model(FIRST) + "# fine\n", None),
        (model(FIRST) + "\n\n;", ("E101", 6, 1)),  # of all, first what is nothing
        (model("credit frist with 1")[:-4], ("E301", 2, 10)),  # and no end
        (model(FIRST, "otherwise equally", "otherwise"), ("E504", 4, 3)),
        (model("otherwise equally"), ("E505", 3, 1)),
        (model("distribute equally", FIRST, "weight first_touch by 2"), ("E502", 3, 3)),
        (model(FIRST, "weight first_touch by 2", "distribute equally"), ("E502", 3, 3)),
        (model("weight first_touch by 2", "otherwise equally"), ("E503", 4, 1)),
        (
            model("otherwise equally", "weight first_touch by 2", "distribute equally"),
            ("E507", 4, 14),
        ),
        (
            model("credit first_touch with 0.2", "credit first_touch with 0.3"),
            ("E501", 3, 10),
        ),
        (model("credit touch(2) with 0.2"), ("E402", 2, 24)),
        (model("credit touch(2) with 1", 'describe "x"'), ("E506", 2, 3)),
    ],
)
def test_order_of_errors(source, expected):
    if expected is None:
        assert parse(source)
        return

    error = refused(source)

    assert (error.code, error.line, error.column) == expected


@pytest.mark.parametrize("selector", ["touch(1)", "touch(-1)", "other_touches"])
def test_what_is_in_every_journey_needs_no_fallback(selector):
    assert parse(model(f"credit {selector} with 1"))


def test_all_wrong_lines_are_told():
    error = refused(model("credit frist with 1", FIRST, "lookback 7", "with"))

    assert [one.code for one in (error, *error.others)] == ["E301", "E305", "E205"]
    assert error.others[1].source_line == "  with"


@pytest.mark.parametrize("piece", ["\x00", "x\n", '"\n'])
def test_not_more_is_told_than_people_read(piece):
    error = refused('model "M"\n' + piece * 1000)

    assert len(error.others) < MOST_REPORTED


def test_error_as_it_is_shown():
    error = refused(model("credit first_touch with 0.4", "credit last_touch with 0.5"))

    assert str(error) == (
        "error[E402]: credits sum to 9/10 (0.9), not 1 (line 3, column 26)"
    )
    assert error.render() == (
        "error[E402]: credits sum to 9/10 (0.9), not 1\n"
        "line 3, column 26\n"
        "  credit last_touch with 0.5\n"
        "                         ^\n"
        "hint: 1/10 (0.1) is missing"
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("1", "1"), "credits sum to 2, not 1"),
        (("50%", "1/3"), "credits sum to 5/6 (0.833333333333), not 1"),
        (("1/999999999989", "1/7"), "credits sum to about 0.142857142858, not 1"),
    ],
)
def test_sum_is_told_exactly_unless_that_is_long(parts, said):
    first, second = parts

    error = refused(
        model(f"credit touch(1) with {first}", f"credit touch(2) with {second}")
    )

    assert error.message == said


def test_caret_stands_below_its_place_behind_tabs():
    error = refused('model "M"\n\tcredit\tfrist with 1\nend\n')

    assert error.render().splitlines()[2:4] == ["\tcredit\tfrist with 1", "\t      \t^"]


def test_control_characters_do_not_reach_the_terminal():
    error = refused('model "M"\n  describe "\x1b[2J" \x1b\nend\n')

    assert "\x1b" not in error.render()
    assert "U+001B has no meaning here" in str(error)


def test_error_survives_pickling():
    error = refused("")

    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("credits first_touch with 1", "credit"),
        ("WEIGHT first_touch by 1", "weight"),
        ("credit LastTouch with 1", "last_touch"),
        ("credit middle with 1", "middle_touches"),
        ('exclude chanel("a")', "channel"),
        ("lookback 7 d", "day"),
        ("otherwise last", "last_touch"),
    ],
)
def test_hint_is_the_nearest_word(line, word):
    assert refused(model(line)).hint == f"did you mean {word}?"


@pytest.mark.parametrize(
    ("written", "canonical_line"),
    [
        (
            "weight first_touch by 33.333333%",
            "weight first_touch by 33333333/100000000",
        ),
        ("weight first_touch by 2/6", "weight first_touch by 1/3"),
        ("weight first_touch by 3/4", "weight first_touch by 0.75"),
        ("weight first_touch by 1 / 1000000", "weight first_touch by 0.000001"),
        ("weight first_touch by 007.50", "weight first_touch by 7.5"),
        ("weight age<1.0 days by 2", "weight age < 1 day by 2"),
        ("weight age>=2 week by 2", "weight age >= 2 weeks by 2"),
        ("weight age > 0.5 day by 2", "weight age > 0.5 days by 2"),
        (
            "weight ((touch( 1 ) or (touch(2) or (touch(3))))) by 2",
            "weight touch(1) or touch(2) or touch(3) by 2",
        ),
        (
            "weight (touch(1) or touch(2)) and (touch(3) and not (not touch(4))) by 2",
            "weight (touch(1) or touch(2)) and touch(3) and not not touch(4) by 2",
        ),
        (
            "weight touch(1) or (touch(2) and not (touch(3) and touch(4))) by 2",
            "weight touch(1) or touch(2) and not (touch(3) and touch(4)) by 2",
        ),
    ],
)
def test_canonical_line(written, canonical_line):
    program = parse(model(written, "distribute proportionally"))

    assert canonical(program) == model(canonical_line, "distribute proportionally")


def test_comments_and_their_places_are_kept():
    source = (
        "#! top\n\n#\n"
        'model "M"  #name \n'
        "#  indented\n"
        "\t# two\n"
        "  credit first_touch with 1 ## once\n"
        "  # before the end\n"
        "end #\n"
        "# after"
    )

    program = parse(source)

    assert format_program(program) == (
        "# ! top\n#\n"
        'model "M" # name\n'
        "  #  indented\n"
        "  # two\n"
        "  credit first_touch with 1 ## once\n"
        "  # before the end\n"
        "end #\n"
        "# after\n"
    )
    assert parse(format_program(program)) == program


def test_formatted_text_that_is_too_large_is_refused():
    source = 'model "M"\n' + "#x\n" * 5400 + "distribute equally\nend\n"

    program = parse(source)

    with pytest.raises(ProgramError, match="E601"):
        format_program(program)


def test_largest_source():
    source = model(FIRST)
    room = 16_384 - len(source.encode())

    assert parse(source + "#" * room)
    assert refused(source + "#" * (room + 1)).code == "E601"
    assert refused(source + "é" * (room // 2 + 1)).code == "E601"


@settings(deadline=None)
@given(programs())
def test_program_survives_its_text(program):
    text = format_program(program)

    again = parse(text)

    assert again == program
    assert format_program(again) == text
    assert parse(text.replace("\n", "\r\n")) == program
    assert canonical(parse(canonical(program))) == canonical(program)


HOSTILE = [
    *("(" * 16_000, "not " * 4000, "\x00" * 16_000, '"' * 16_001, "\\" * 16_000),
    *('"' + "\\" * 15_999, '"' + "\\n" * 8000 + '"', "9" * 16_000, "1," * 8000 + "1"),
    *("\n" * 16_000, "#\n" * 8000, "\r" * 16_000, "a " * 8000, "\ufeff" * 5000),
    *("\ud800" * 5000, '"' + "\ud800" * 5000 + '"', "-" * 16_000, "." * 16_000),
    "x" * 10_000_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize(
    "begin", ["", 'model "M"\nexclude ', 'model "M"\ncredit all_touches with ']
)
def test_hostile_text_is_refused(begin, text):
    error = refused(begin + text)

    assert re.fullmatch(r"error\[E\d{3}\]: .*", str(error))
    assert error.render()


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_program_is_valid_or_refused(data):
    source = data.draw(st.sampled_from([case["source"] for case in ACCEPTED]))
    at = data.draw(st.integers(0, len(source)))
    gone = data.draw(st.integers(0, 6))
    new = data.draw(
        st.text(st.sampled_from('"\\#()%/,<=.-19 \n\r\taex\x00\ud800'), max_size=4)
    )

    try:
        program = parse(source[:at] + new + source[at + gone :])
    except ProgramError as error:
        program = None
        place = error.place
    assert program is None or parse(format_program(program)) == program
    assert program is not None or min(place[:2]) >= 1
