"""`mbuzz models`: programs of custom models, checked, formatted and explained."""

import json
import stat

import pytest

from tests.server.attribution.dsl.programs import ACCEPTED, REJECTED, model

U_SHAPED = model(
    "credit first_touch with 0.4",
    "credit last_touch with 0.4",
    "credit middle_touches with 0.2 equally",
)
UNTIDY = '# ours\nmodel "M"\ncredit last_touch with 100% # all\nend'
TIDY = '# ours\nmodel "M"\n  credit last_touch with 1 # all\nend\n'
WRONG = model("credit frist with 1", "lookback 7")


@pytest.fixture
def file(tmp_path):
    def write(source):
        path = tmp_path / "ours.model"
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return path

    return write


def test_valid_program_is_one_line(mbuzz, file):
    assert mbuzz("models", "check", file(U_SHAPED)) == (
        0,
        "'M' is valid (3 statements)\n",
        "",
    )


def test_wrong_program_is_shown_with_all_that_is_wrong(mbuzz, file):
    exit_code, out, err = mbuzz("models", "check", file(WRONG))

    assert (exit_code, out) == (1, "")
    assert err == (
        "error[E301]: frist selects no touches here\n"
        "line 2, column 10\n"
        "  credit frist with 1\n"
        "         ^\n"
        "hint: did you mean first_touch?\n"
        "\n"
        "error[E305]: the duration has no unit\n"
        "line 3, column 12\n"
        "  lookback 7\n"
        "           ^\n"
        "hint: say of what: 7 minutes, hours, days or weeks\n"
    )


@pytest.mark.parametrize("case", ACCEPTED, ids=[case["name"] for case in ACCEPTED])
def test_valid_program_as_json(mbuzz, file, case):
    exit_code, out, err = mbuzz("models", "check", "--json", file(case["source"]))

    assert (exit_code, err) == (0, "")
    assert json.loads(out) == {"ok": True, "canonical": case["canonical"]}


@pytest.mark.parametrize("case", REJECTED, ids=[case["name"] for case in REJECTED])
def test_wrong_program_as_json(mbuzz, file, case):
    exit_code, out, err = mbuzz("models", "check", "--json", file(case["source"]))

    said = json.loads(out)
    assert (exit_code, err, said["ok"]) == (1, "", False)
    place = (case["code"], case["line"], case["column"])
    assert (said["code"], said["line"], said["column"]) == place
    assert said["message"]
    assert all(other["code"] for other in said["others"])


def test_program_is_printed_as_all_are_written(mbuzz, file):
    path = file(UNTIDY)

    assert mbuzz("models", "format", path) == (0, TIDY, "")
    assert path.read_text("utf-8") == UNTIDY


def test_file_is_written_anew(mbuzz, file, tmp_path):
    path = file(UNTIDY)
    path.chmod(0o640)
    link = tmp_path / "link.model"
    link.symlink_to(path)

    assert mbuzz("models", "format", "--write", link) == (0, "", "")

    assert path.read_bytes() == TIDY.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "link.model",
        "ours.model",
    ]
    assert link.is_symlink()


def test_file_that_is_tidy_is_left_alone(mbuzz, file):
    path = file(TIDY)
    before = path.stat()

    assert mbuzz("models", "format", "--write", path) == (0, "", "")
    assert path.stat().st_ino == before.st_ino


@pytest.mark.parametrize(
    ("source", "exit_code", "said"),
    [(TIDY, 0, ""), (UNTIDY, 1, "ours.model would be written differently\n")],
)
def test_form_can_be_checked(mbuzz, file, source, exit_code, said):
    path = file(source)

    code, out, err = mbuzz("models", "format", "--check", path)

    assert (code, out) == (exit_code, "")
    assert err.endswith(said)
    assert path.read_text("utf-8") == source


@pytest.mark.parametrize("action", ["format", "explain"])
def test_wrong_program_is_neither_formatted_nor_explained(mbuzz, file, action):
    exit_code, out, err = mbuzz("models", action, file(WRONG))

    assert (exit_code, out) == (1, "")
    assert err.startswith("error[E301]: ")


def test_program_is_explained(mbuzz, file):
    exit_code, out, err = mbuzz("models", "explain", file(U_SHAPED))

    assert (exit_code, err) == (0, "")
    assert "- Gives 40% to the first touch.\n" in out
    assert [line.split() for line in out.splitlines()[-3:]] == [
        ["1", "1"],
        ["2", "1/2", "1/2"],
        ["3", "2/5", "1/5", "2/5"],
    ]


def test_shares_that_are_no_simple_fractions_are_decimals(mbuzz, file):
    _, out, _ = mbuzz("models", "explain", file(model("distribute by recency(3 days)")))

    assert out.splitlines()[-1].split() == ["3", "0.2599", "0.3275", "0.4126"]


def test_explanation_obeys_no_control_characters(mbuzz, file):
    source = model("distribute equally").replace('"M"', '"\x1b[2J"')

    _, out, _ = mbuzz("models", "explain", file(source))

    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["check", "-"], "'M' is valid (1 statement)\n"),
        (["format", "-"], TIDY),
        (["explain", "-"], "M\n- Touches count"),
    ],
)
def test_standard_input(run, argv, expected):
    exit_code, out, err = run("models", *argv, piped=UNTIDY)

    assert (exit_code, err) == (0, "")
    assert out.startswith(expected)


@pytest.mark.parametrize("action", ["check", "format", "explain"])
def test_what_cannot_be_read_is_one_sentence(mbuzz, file, tmp_path, action):
    missing = mbuzz("models", action, tmp_path / "none.model")
    folder = mbuzz("models", action, tmp_path)
    latin = mbuzz("models", action, file(b'model "caf\xe9"\n'))

    for exit_code, out, err in (missing, folder, latin):
        assert (exit_code, out) == (1, "")
        assert err.startswith("mbuzz models: cannot read ")
        assert err.count("\n") == 1
    assert "No such file" in missing[2]
    assert "directory" in folder[2]
    assert latin[2].endswith("byte 11 is not UTF-8; save it as UTF-8\n")


def test_file_that_is_too_large_is_not_read(mbuzz, file):
    path = file(b"")
    with path.open("r+b") as large:
        large.truncate(10**9)

    exit_code, out, _ = mbuzz("models", "check", "--json", path)

    said = json.loads(out)
    assert (exit_code, said["code"], said["line"], said["column"]) == (1, "E601", 1, 1)


@pytest.mark.parametrize(
    ("argv", "exit_code", "said"),
    [
        (["format", "--write", "-"], 1, "--write needs a file, and - is the standard"),
        (["format", "--write", "--check", "x"], 2, "not allowed with argument"),
        (["check"], 2, "required: FILE"),
        ([], 2, "required: ACTION"),
    ],
)
def test_wrong_usage(mbuzz, argv, exit_code, said):
    code, out, err = mbuzz("models", *argv)

    assert (code, out) == (exit_code, "")
    assert said in err
