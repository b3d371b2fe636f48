"""`mbuzz classify`: one visit, or a file of them."""

import json

import pytest

from tests.server.tracking.test_channels import CASES

SITE = "https://www.acme.example/"
RULES = (
    '[{"channel": "partner", "when": [{"field": "source", "operator": "is",'
    ' "value": "news"}]}]'
)


def test_one_visit_is_explained(mbuzz):
    exit_code, out, err = mbuzz(
        *("classify", "--url", SITE + "?utm_source=Google&utm_medium=CPC&gclid=1"),
        *("--referrer", "https://www.bing.com/", "--host", "www.acme.example"),
    )

    assert (exit_code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "channel    paid_search (Paid Search)"
    assert lines[1] == "rule       C4"
    assert "utm_source google" in lines
    assert "click ids  gclid" in lines
    assert "utm_medium 'CPC' was read as 'cpc'" in out


def test_one_visit_as_json(mbuzz):
    exit_code, out, _ = mbuzz("classify", "--referrer", "https://t.co/", "--json")

    found = json.loads(out)
    assert exit_code == 0
    assert (found["channel"], found["rule"], found["utm"]) == (
        "organic_social",
        "C11",
        {},
    )
    assert "t.co" in found["why"]


def test_flags_are_shown(mbuzz):
    _, out, _ = mbuzz("classify", "--url", SITE + "?utm_source=x")

    assert "flags      unassigned_channel" in out


def test_file_of_all_recorded_cases(mbuzz, tmp_path):
    file = tmp_path / "cases.jsonl"
    file.write_text("".join(json.dumps(case) + "\n" for case in CASES), "utf-8")

    exit_code, out, err = mbuzz("classify", "--jsonl", file)

    answers = [json.loads(line) for line in out.splitlines()]
    assert (exit_code, err) == (0, "")
    assert [
        {"channel": answer["channel"], "utm": answer["utm"]} for answer in answers
    ] == [case["expected"] for case in CASES]
    assert {frozenset(answer) for answer in answers} == {
        frozenset({"channel", "utm", "rule", "why"})
    }


@pytest.mark.parametrize("argument", [("--jsonl", "-"), ("--jsonl",)])
def test_standard_input(run, argument):
    line = '{"referrer": "https://t.co"}\n'

    exit_code, out, err = run("classify", *argument, piped=line)

    assert (exit_code, err) == (0, "")
    assert json.loads(out)["channel"] == "organic_social"


def test_bad_lines_are_named_and_the_rest_is_done(mbuzz, tmp_path):
    file = tmp_path / "cases.jsonl"
    lines = [
        '\ufeff{"url": "https://a.example/?gclid=1"}',
        "",
        "   ",
        "{no json",
        "[1]",
        '{"url": 7}',
        '{"url": "' + "a" * 1_000_010 + '"}',
        "[" * 100_000,
        '{"referrer": "https://claude.ai", "url": null, "more": {}}',
        "{}",
        '{"rul": "https://a.example/?gclid=1"}',
    ]
    file.write_text("\n".join(lines), "utf-8")

    exit_code, out, err = mbuzz("classify", "--jsonl", file)

    assert exit_code == 1
    assert [json.loads(line)["channel"] for line in out.splitlines()] == [
        "paid_search",
        "ai",
        "direct",
    ]
    assert err.splitlines() == [
        "mbuzz classify: line 4: it is not JSON",
        "mbuzz classify: line 5: it must be an object with url, referrer and host",
        "mbuzz classify: line 6: url must be text or null, got 7",
        "mbuzz classify: line 7: it is longer than 1000000 characters",
        "mbuzz classify: line 8: it is not JSON",
        "mbuzz classify: line 11: it has none of url, referrer and host",
    ]


def test_rules_of_an_account_count(mbuzz, database):
    url = SITE + "?utm_source=news&utm_medium=email"
    mbuzz("settings", "set", "--database", database, "channel_rules", RULES)

    _, without, _ = mbuzz("classify", "--url", url)
    exit_code, out, _ = mbuzz("classify", "--url", url, "--database", database)

    assert exit_code == 0
    assert without.startswith("channel    email (Email)\nrule       C14\n")
    assert out.startswith("channel    partner (Partner)\nrule       custom 1\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "give --url, --referrer or both, or a file with --jsonl"),
        (["--host", "a.example"], "give --url, --referrer or both"),
        (["--jsonl", "-", "--url", "x"], "not both"),
        (["--jsonl", "/nowhere/x"], "cannot read /nowhere/x: No such file"),
        (["--url", "x", "--account", "a"], "--account needs --database"),
        (["--url", "x", "--database", "/nowhere/x"], "there is no mbuzz database at"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(mbuzz, argv, said):
    exit_code, out, err = mbuzz("classify", *argv)

    assert (exit_code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1
