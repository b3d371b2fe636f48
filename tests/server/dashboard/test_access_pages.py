"""What people may do in the dashboard: keys, passwords, roles, and what is noted."""

import re

import pytest

from mbuzz.server import accounts, create_app, team
from mbuzz.server.passwords import Cost, hash_password
from mbuzz.server.settings import ServerSettings
from tests.server.dashboard.client import CHEAP, DAY_MS, NOW_MS, Browser, shown, view

PASSWORD = "correct horse battery"


def token(page):
    return re.search(r'name="form_token" value="([0-9a-f]{64})"', page)[1]


def add(site, email, role):
    site.write(
        lambda s: team.add(
            s,
            site.first.account,
            email,
            hash_password(PASSWORD, CHEAP),
            role,
            actor="x",
            now_ms=NOW_MS,
        )
    )


def visitor(site, role):
    email = f"{role}@example.com"
    add(site, email, role)
    browser = site.browser()
    assert browser.log_in(email, PASSWORD).status == 303
    return browser


def submit(browser, path, form, page="/keys", **headers):
    return browser.post(
        path, {**form, "form_token": token(browser.get(page).text)}, **headers
    )


def audit(site):
    site.write(lambda _stores: None)  # what was queued before is done
    found = site.app.storage.read(
        lambda s: s.accounts.audit_entries(site.first.account.id, 100)
    )
    return [(e.actor, e.action, dict(e.details)) for e in found]


def test_a_key_is_made_shown_once_and_works(site):
    browser = visitor(site, "admin")

    made = submit(
        browser,
        "/keys",
        {"name": "web shop", "data": "live", "scope_ingest": "on", "days": "30"},
    )

    (text,) = re.findall(r"<code>(sk_live_\w{48})</code>", made.text)
    again = browser.get("/keys").text
    assert made.status == 200
    assert text not in again
    assert f"sk_live_...{text[-4:]} web shop ingest" in shown(again)
    assert "works until 2026-12-18" in shown(again)
    site.send(view("v"), key=text)
    assert audit(site)[0][:2] == ("admin@example.com", "key.create")


def test_a_key_is_revoked(site):
    browser = visitor(site, "owner")
    page = browser.get("/keys").text
    (key,) = re.findall(r'name="key" value="(key_\w+)"', page)

    done = submit(browser, "/keys/revoke", {"key": key})

    assert (done.status, done.header("Location")) == (303, "/keys")
    page = browser.get("/keys").text
    assert "revoked" in shown(page)
    assert 'name="key"' not in page
    assert audit(site)[0] == ("owner@example.com", "key.revoke", {"key": key})


def test_a_key_that_has_expired_says_so(site):
    browser = visitor(site, "owner")
    submit(browser, "/keys", {"days": "1", "scope_read": "on"})

    site.clock.ms += DAY_MS

    assert "expired 2026-11-19" in shown(browser.get("/keys").text)


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({}, "A key's scopes are some of ingest, read, admin, import, got none."),
        ({"scope_read": "on", "days": "0"}, "from 1 to 3650 days"),
        ({"scope_read": "on", "days": "9" * 5_000}, "got '99999999999999999999'."),
        ({"scope_read": "on", "days": "\u0661"}, "A key ends after 1 to 3650 days"),
        ({"scope_read": "on", "name": "x" * 101}, "A name has up to 100 characters."),
    ],
)
def test_a_key_that_cannot_be_is_explained(site, form, sentence):
    answer = submit(visitor(site, "owner"), "/keys", form)

    assert answer.status == 422
    assert sentence.replace("from 1", "after 1") in shown(answer.text)
    assert "sk_test_" not in shown(answer.text).partition("Revoke")[2]


def test_what_a_key_is_called_is_escaped(site):
    browser = visitor(site, "owner")

    submit(browser, "/keys", {"name": "<script>alert(1)</script>", "scope_read": "on"})

    assert "<script>" not in browser.get("/keys").text


def test_a_member_sees_reports_and_no_keys(site):
    browser = visitor(site, "member")

    report = browser.get("/")
    refused = browser.get("/keys")

    assert report.status == 200
    assert "/keys" not in report.text
    assert refused.status == 403
    assert "takes the role owner or admin; yours is member" in shown(refused.text)
    form = {"scope_read": "on", "form_token": token(report.text)}
    assert browser.post("/keys", form).status == 403
    assert len(site.app.storage.read(lambda s: s.accounts.keys(1))) == 1


def test_another_role_counts_from_the_next_request_on(site):
    browser = visitor(site, "admin")
    assert browser.get("/keys").status == 200

    def demote(stores):
        user = team.find(stores, site.first.account, "admin@example.com")
        team.change_role(stores, user, "member", actor="x", now_ms=NOW_MS)

    site.write(demote)

    assert browser.get("/keys").status == 403


@pytest.mark.parametrize(
    "headers", [{"HTTP_SEC_FETCH_SITE": "cross-site"}, {"HTTP_ORIGIN": "http://x.y"}]
)
@pytest.mark.parametrize("path", ["/keys", "/keys/revoke", "/password"])
def test_forged_forms_do_nothing(site, path, headers):
    answer = submit(visitor(site, "owner"), path, {"scope_read": "on"}, **headers)

    assert answer.status == 403
    assert "came from another site" in shown(answer.text)


# -- passwords --


def change(browser, current, new, again=None):
    form = {"current": current, "new": new, "again": new if again is None else again}
    return submit(browser, "/password", form, "/password")


def test_a_new_password_ends_the_other_logins_and_the_old_password(site):
    here = visitor(site, "member")
    elsewhere = site.browser()
    elsewhere.log_in("member@example.com", PASSWORD)

    done = change(here, PASSWORD, "another good one")

    assert done.status == 200
    assert here.get("/").status == 200
    assert elsewhere.get("/").status == 303
    assert elsewhere.log_in("member@example.com", PASSWORD).status == 401
    assert elsewhere.log_in("member@example.com", "another good one").status == 303
    assert ("member@example.com", "user.password") in [e[:2] for e in audit(site)]


@pytest.mark.parametrize(
    ("current", "new", "again", "sentence"),
    [
        ("wrong", "another good one", None, "current password is wrong"),
        (PASSWORD, "short", None, "from 10 to 256 characters"),
        (PASSWORD, "another good one", "another good two", "passwords differ"),
    ],
)
def test_a_password_that_is_not_changed_is_explained(
    site, current, new, again, sentence
):
    browser = visitor(site, "member")

    answer = change(browser, current, new, again)

    assert answer.status == 422
    assert sentence in shown(answer.text)
    assert new not in answer.text
    assert site.browser().log_in("member@example.com", PASSWORD).status == 303


def test_guesses_of_the_current_password_are_bounded(site):
    browser = visitor(site, "member")
    for _ in range(9):
        assert change(browser, "wrong", "another good one").status == 422

    answer = change(browser, PASSWORD, "another good one")

    assert answer.status == 429
    assert answer.header("Retry-After") == "60"


def test_a_login_renews_a_hash_made_in_an_older_way(site):
    def stored():
        return site.app.storage.read(lambda s: s.accounts.user_by_email(site.email))

    before = stored().password_hash
    settings = ServerSettings(database=site.app.storage.path)
    newer = create_app(settings, clock=site.clock, password_cost=Cost(log_n=5))
    browser = Browser(newer)
    assert browser.log_in(site.email, site.password).status == 303

    after = stored().password_hash
    assert before.startswith("$scrypt$ln=4,")
    assert after.startswith("$scrypt$ln=5,")
    assert browser.get("/").status == 200
    assert Browser(newer).log_in(site.email, site.password).status == 303
    assert stored().password_hash == after
    newer.close()


# -- accounts, and what is noted --


def test_nobody_is_logged_in_to_a_closed_account(site):
    browser = site.logged_in()

    site.write(
        lambda s: accounts.close(s, site.first.account, actor="x", now_ms=NOW_MS)
    )

    assert browser.get("/").status == 303
    answer = site.browser().log_in(site.email, site.password)
    assert answer.status == 401
    assert "e-mail or the password is wrong" in shown(answer.text)


def test_a_removed_user_is_logged_out(site):
    browser = visitor(site, "member")

    def remove(stores):
        user = team.find(stores, site.first.account, "member@example.com")
        team.remove(stores, user, actor="x", now_ms=NOW_MS)

    site.write(remove)

    assert browser.get("/").status == 303


def test_logins_are_noted_and_failures_counted_by_the_hour(site):
    for _ in range(3):
        site.browser().log_in(site.email, "wrong")
    site.browser().log_in("nobody@example.com", "wrong")
    site.clock.ms += 3_600_001
    site.browser().log_in(site.email, "wrong")
    site.logged_in()

    assert audit(site)[:3] == [
        (site.email, "login", {}),
        (site.email, "login.failed", {"times": 1}),
        (site.email, "login.failed", {"times": 3}),
    ]
    assert "nobody" not in repr(audit(site))
    assert "wrong" not in repr(audit(site))
