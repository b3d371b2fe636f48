"""`mbuzz settings` and `mbuzz reclassify`: on the database itself."""

import json
import signal

import pytest

from mbuzz.clock import SYSTEM_CLOCK, iso
from mbuzz.server.account_settings import SETTINGS
from mbuzz.server.model import Tenant, TrackCall
from mbuzz.server.policy import DEFAULT
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.server.tracking.processor import process

SITE = "https://www.acme.example/"
RULES = [
    {
        "channel": "partner",
        "when": [{"field": "source", "operator": "is", "value": "news"}],
    }
]
DAY_MS = 86_400_000


def work(path, do):
    """Do something with the open database, in a transaction."""
    storage = SqliteStorage(str(path))
    try:
        return storage.write(do)
    finally:
        storage.close()


def visit(path, visitor, days_ago, live=True):
    at_ms = SYSTEM_CLOCK.now_ms() - days_ago * DAY_MS
    call = TrackCall(
        event_id=f"e-{visitor}",
        event_type="page_view",
        visitor_id=visitor,
        user_id=None,
        session_id=None,
        occurred_at_ms=at_ms,
        received_at_ms=at_ms,
        url=SITE + "?utm_source=news&utm_medium=email",
    )
    work(path, lambda stores: process(stores.tracking, Tenant(1, live), DEFAULT, call))


def channels(path):
    return work(
        path,
        lambda stores: sorted(
            row[0]
            for row in stores.tracking._db.rows(
                "SELECT channel FROM sessions WHERE account_id = 1 AND live IN (0, 1)",
                {},
            )
        ),
    )


def policy(path):
    return work(path, lambda stores: stores.accounts.accounts()[0].policy)


@pytest.fixture
def settings(mbuzz, database):
    return lambda action, *argv: mbuzz(
        "settings", action, "--database", database, *argv
    )


def test_every_setting_is_shown_with_its_meaning(settings):
    exit_code, out, err = settings("show")

    assert (exit_code, err) == (0, "")
    for name, setting in SETTINGS.items():
        assert f"{name} = {json.dumps(setting.default)}  (default)" in out
        assert setting.about in out


@pytest.mark.parametrize(
    ("name", "text", "attribute", "expected"),
    [
        ("session_timeout", "45", "session_timeout_ms", 2_700_000),
        ("allow_apps", "true", "allow_apps", True),
        ("store_ip", "masked", "store_ip", "masked"),
        ("store_ip", '"masked"', "store_ip", "masked"),
        ("own_domains", '["shop.example"]', "own_domains", {"shop.example"}),
    ],
)
def test_what_is_set_holds_and_can_be_unset(
    mbuzz, settings, database, name, text, attribute, expected
):
    assert settings("set", name, text)[0] == 0
    assert getattr(policy(database), attribute) == expected
    assert (
        f"settings.change  setting {name}" in mbuzz("audit", "--database", database)[1]
    )
    (line,) = [
        one for one in settings("show")[1].splitlines() if one.startswith(f"{name} =")
    ]
    assert "(default)" not in line
    assert json.loads(settings("show", name)[1]) is not None

    assert settings("unset", name)[0] == 0
    assert getattr(policy(database), attribute) == getattr(DEFAULT, attribute)


def test_settings_of_others_are_kept(settings, database):
    work(database, lambda s: s.accounts.save_settings(1, {"retention": {"days": 3}}))

    settings("set", "allow_apps", "true")

    kept = work(database, lambda stores: stores.accounts.settings(1))
    assert kept == {"retention": {"days": 3}, "allow_apps": True}


@pytest.mark.parametrize(
    "text", ["# spam\n a.test \n\nb.test # why\n", '["a.test", "b.test"]']
)
def test_list_can_come_from_a_file(settings, database, tmp_path, text):
    file = tmp_path / "spammers.txt"
    file.write_text(text, "utf-8")

    assert settings("set", "spam_referrers", f"@{file}")[0] == 0

    assert policy(database).spam_referrers == {"a.test", "b.test"}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["set", "nope", "1"], "there is no setting 'nope'"),
        (["unset", "nope"], "there is no setting 'nope'"),
        (["show", "nope"], "there is no setting 'nope'"),
        (["set", "allow_apps", "maybe"], "must be true or false, got 'maybe'"),
        (["set", "own_domains", '["x'], "the value is not JSON: '[\"x'"),
        (["set", "own_domains", "@/nowhere"], "cannot read /nowhere"),
        (["set", "channel_rules", "[1]"], "rule 1 must be"),
        (["set", "session_timeout", "1"], "from 5 to 480, got 1"),
        (["set", "--account", "x", "allow_apps", "true"], "there is no account 'x'"),
    ],
)
def test_what_cannot_be_set_is_one_sentence(settings, database, argv, said):
    exit_code, out, err = settings(*argv)

    assert (exit_code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1
    assert work(database, lambda stores: stores.accounts.settings(1)) == {}


def test_file_that_is_too_long_is_refused(settings, tmp_path):
    file = tmp_path / "x"
    file.write_text("a" * 1_000_001, "utf-8")

    assert (
        "longer than 1000000 characters"
        in settings("set", "own_domains", f"@{file}")[2]
    )


def test_account_is_asked_for_where_there_are_several(settings, database):
    def second(stores):
        return stores.accounts.create_account("Other", "acc_2", "USD", "UTC", 0)

    work(database, second)

    assert "choose one with --account" in settings("show")[2]
    assert settings("set", "--account", "Other", "allow_apps", "true")[0] == 0
    assert settings("set", "--account", "acc_2", "store_ip", "full")[0] == 0
    kept = work(database, lambda stores: stores.accounts.settings(2))
    assert kept == {"allow_apps": True, "store_ip": "full"}


def test_missing_database_is_said(mbuzz, tmp_path):
    exit_code, _, err = mbuzz("settings", "show", "--database", tmp_path / "no.db")

    assert exit_code == 1
    assert "there is no mbuzz database at" in err


# -- reclassify --


def test_new_rules_are_previewed_and_then_applied(mbuzz, settings, database):
    visit(database, "visitor-1", 1)
    visit(database, "visitor-2", 2, live=False)
    visit(database, "visitor-3", 60)

    _, out, _ = settings("set", "own_domains", '["nothing.example"]')
    assert out.endswith("no visit of the last 30 days would change\n")

    _, out, _ = settings("set", "channel_rules", json.dumps(RULES))
    assert "2 of the 2 visits of the last 30 days would change" in out
    assert channels(database) == ["email"] * 3

    exit_code, out, _ = mbuzz("reclassify", "--database", database, "--dry-run")
    assert (exit_code, out.splitlines()[0]) == (0, "2 of 2 visits would change")
    assert ["email", "partner", "2"] in [line.split() for line in out.splitlines()]
    assert channels(database) == ["email"] * 3

    exit_code, out, err = mbuzz("reclassify", "--database", database)
    assert (exit_code, err) == (0, "")
    assert out.splitlines()[0] == "3 of 3 visits changed"
    assert channels(database) == ["partner"] * 3
    assert mbuzz("reclassify", "--database", database)[1] == "0 of 3 visits changed\n"


def test_reclassify_since_a_day(mbuzz, settings, database):
    visit(database, "visitor-1", 1)
    visit(database, "visitor-2", 60)
    settings("set", "channel_rules", json.dumps(RULES))
    day = mbuzz("reclassify", "--database", database, "--since", "2026-99-01")
    assert (day[0], "must be a date such as" in day[2]) == (1, True)

    since = SYSTEM_CLOCK.now_ms() - 10 * DAY_MS
    _, out, _ = mbuzz("reclassify", "--database", database, "--since", iso(since)[:10])

    assert out.splitlines()[0] == "1 of 1 visits changed"
    assert channels(database) == ["email", "partner"]


def test_reclassify_works_beside_a_running_server(mbuzz, settings, database):
    visit(database, "visitor-1", 1)
    settings("set", "channel_rules", json.dumps(RULES))
    server = SqliteStorage(str(database))
    try:
        assert mbuzz("reclassify", "--database", database)[0] == 0
        sold = server.read(
            lambda stores: stores.tracking._db.rows(
                "SELECT channel FROM sessions WHERE account_id = 1 AND live = 1", {}
            )
        )
    finally:
        server.close()
    assert sold == [("partner",)]


def test_reclassify_that_is_stopped_leaves_a_database_that_is_right(
    start, settings, database, mbuzz
):
    for number in range(3):
        visit(database, f"visitor-{number}", 1)
    settings("set", "channel_rules", json.dumps(RULES))
    command = start("reclassify", "--database", database)
    command.send(signal.SIGINT)
    command.end()

    assert set(channels(database)) <= {"email", "partner"}
    assert mbuzz("reclassify", "--database", database)[0] == 0
    assert channels(database) == ["partner"] * 3
    assert mbuzz("db", "check", "--database", database)[0] == 0
