"""What the commands share: tables and progress."""

import io
import os

import pytest

from mbuzz.cli.console import Progress, table


def test_table_is_aligned():
    text = table(["name", "n"], [["a", "1"], ["longer", "1,000"]])

    assert text.splitlines() == [
        "name        n",
        "------  -----",
        "a           1",
        "longer  1,000",
    ]


def test_table_of_words_is_left():
    text = table(["name", "note"], [["a", "b"], ["c", "longer"]], words=True)

    assert text.splitlines()[2:] == ["a     b", "c     longer"]


def test_table_without_rows_and_with_totals():
    assert table(["name", "n"], []).splitlines() == ["name  n", "----  -"]
    assert table(
        ["name", "n"], [["a", "1"], ["Total", "1"]], foot=True
    ).splitlines() == [*["name   n", "-----  -", "a      1", "-----  -", "Total  1"]]


def test_lines_have_no_spaces_at_their_end():
    assert table(["name", "note"], [["a", ""]]).splitlines()[-1] == "a"


@pytest.mark.parametrize(
    ("total", "lines"),
    [
        (8, ["x: 2/8", "x: 4/8", "x: 6/8", "x: 8/8"]),
        (3, ["x: 1/3", "x: 2/3", "x: 3/3"]),
        (1, ["x: 1/1"]),
    ],
)
def test_progress_in_a_file_is_a_line_each_quarter(total, lines):
    out = io.StringIO()
    progress = Progress("x", total, out)

    for _ in range(total):
        progress.step()
    progress.finish()

    assert out.getvalue().splitlines() == lines


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("columns", "width"), [(200, 40), (29, 20), (5, 10)])
def test_progress_on_a_terminal_is_a_bar(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    progress = Progress("x", 2, out)

    progress.step()
    progress.step()
    progress.finish()

    _, first, second = out.getvalue().split("\r")
    half = width // 2
    assert first == f"x [{'#' * half}{'.' * (width - half)}] 1/2"
    assert second == f"x [{'#' * width}] 2/2\n"


def test_progress_of_nothing_is_silent():
    out = io.StringIO()
    Progress("x", 0, out).finish()

    assert out.getvalue() == ""


def test_progress_goes_to_stderr(capsys):
    progress = Progress("x", 1)
    progress.step()
    progress.finish()

    assert capsys.readouterr() == ("", f"x: 1/1{os.linesep}")
