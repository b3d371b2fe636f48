"""Logging in and out: cookies, forged requests, attempts, where it leads."""

import re
import sqlite3

import pytest

from mbuzz.server.dashboard.login import Logins, TooManyAttemptsError, local_path
from tests.server.dashboard.client import CHEAP, DAY_MS, Clock, Site, shown


def form_token(page):
    return re.search(r'name="form_token" value="([0-9a-f]{64})"', page)[1]


def test_without_a_login_the_report_leads_to_the_form_and_back(site):
    browser = site.browser()

    sent = browser.get("/?from=2026-11-01&to=2026-11-02")

    assert sent.status == 303
    assert sent.header("Location") == (
        "/login?next=/%3Ffrom%3D2026-11-01%26to%3D2026-11-02"
    )
    form = browser.get(sent.header("Location"))
    wanted = "/?from=2026-11-01&amp;to=2026-11-02"
    assert form.status == 200
    assert f'name="next" value="{wanted}"' in form.text

    done = browser.post(
        "/login",
        {
            "email": site.email,
            "password": site.password,
            "next": "/?from=2026-11-01&to=2026-11-02",
        },
    )

    assert done.status == 303
    assert done.header("Location") == "/?from=2026-11-01&to=2026-11-02"
    assert browser.get(done.header("Location")).status == 200


def test_the_cookie_on_plain_http(site):
    cookie = site.browser().log_in(site.email, site.password).header("Set-Cookie")

    assert re.fullmatch(
        r"mbuzz_dashboard=[0-9a-f]{64}; Max-Age=1209600; Path=/; HttpOnly; "
        r"SameSite=Lax",
        cookie,
    )


def test_the_cookie_on_https_is_secure_and_the_other_does_not_count_there(site):
    browser = site.browser(**{"wsgi.url_scheme": "https"})

    cookie = browser.log_in(site.email, site.password).header("Set-Cookie")

    assert re.fullmatch(
        r"__Host-mbuzz=[0-9a-f]{64}; Max-Age=1209600; Path=/; HttpOnly; Secure; "
        r"SameSite=Lax",
        cookie,
    )
    assert browser.get("/").status == 200
    browser.cookie = browser.cookie.replace("__Host-mbuzz", "mbuzz_dashboard")
    assert browser.get("/").status == 303


def test_the_token_is_stored_as_a_digest_only(site, tmp_path):
    browser = site.logged_in()

    token = browser.cookie.partition("=")[2]
    with sqlite3.connect(tmp_path / "x.db") as database:
        ((digest,),) = database.execute("SELECT digest FROM logins").fetchall()
    database.close()
    assert token != digest
    browser.cookie = f"mbuzz_dashboard={digest}"
    assert browser.get("/").status == 303


def test_a_login_makes_a_new_token_and_ends_the_one_before(site):
    browser = site.logged_in()
    before = browser.cookie

    browser.log_in(site.email, site.password)

    assert browser.cookie != before
    assert browser.get("/").status == 200
    browser.cookie = before
    assert browser.get("/").status == 303


def test_a_login_ends_after_14_days_however_much_it_is_used(site):
    browser = site.logged_in()

    site.clock.ms += 14 * DAY_MS - 1
    assert browser.get("/").status == 200

    site.clock.ms += 1
    assert browser.get("/").status == 303


def test_strangers_cookies_beside_ours_do_no_harm(site):
    browser = site.logged_in()
    browser.cookie = f'theme={{"dark": true}}; odd; {browser.cookie}; x="'

    assert browser.get("/").status == 200


def test_wrong_password_and_unknown_user_read_the_same(site):
    known = site.browser().log_in(site.email, "wrong")
    unknown = site.browser().log_in("nobody@example.com", "wrong")

    assert known.status == unknown.status == 401
    assert "The e-mail or the password is wrong." in shown(known.text)
    assert known.text.replace(site.email, "X") == unknown.text.replace(
        "nobody@example.com", "X"
    )
    assert known.header("Set-Cookie") is None


def test_the_form_keeps_the_email_escaped_and_never_the_password(site):
    answer = site.browser().log_in('"><script>alert(1)</script>', "hunter2")

    assert "<script>" not in answer.text
    assert 'value="&quot;&gt;&lt;script&gt;' in answer.text
    assert "hunter2" not in answer.text


def test_an_empty_form_is_a_wrong_password(site):
    assert site.browser().post("/login", {}).status == 401


def test_who_is_logged_in_needs_no_form(site):
    browser = site.logged_in()

    assert browser.get("/login?next=/%3Fenv%3Dtest").header("Location") == "/?env=test"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/\u00fc",
    ],
)
def test_nobody_is_led_to_another_site(wanted):
    assert local_path(wanted) == "/"


def test_the_login_itself_leads_nowhere_else(site):
    form = {"email": site.email, "password": site.password, "next": "//evil.example"}

    assert site.browser().post("/login", form).header("Location") == "/"
    assert "evil" not in site.browser().get("/login?next=//evil.example").text


@pytest.mark.parametrize("path", ["/", "/?env=test&from=2026-01-01", "/a/b?c=%2F"])
def test_local_paths_stay(path):
    assert local_path(path) == path


# -- requests that another site's page makes --

FORGED = [
    {"HTTP_SEC_FETCH_SITE": "cross-site"},
    {"HTTP_SEC_FETCH_SITE": "same-site"},
    {"HTTP_ORIGIN": "https://evil.example"},
    {"HTTP_ORIGIN": "http://stats.example:9999"},
    {"HTTP_ORIGIN": "null"},
    {"HTTP_ORIGIN": "null", "HTTP_HOST": ""},
    {"HTTP_ORIGIN": "http://[broken"},
    {
        "HTTP_SEC_FETCH_SITE": "cross-site",
        "HTTP_ORIGIN": "http://stats.example:8787",
    },
]
OWN = [
    {},
    {"HTTP_SEC_FETCH_SITE": "same-origin"},
    {"HTTP_SEC_FETCH_SITE": "none"},
    {"HTTP_ORIGIN": "http://stats.example:8787"},
    {"HTTP_ORIGIN": "https://Stats.example:8787"},  # https ends at a proxy
]


@pytest.mark.parametrize("headers", FORGED)
def test_a_forged_login_is_refused_before_the_password_is_looked_at(site, headers):
    answer = site.browser().log_in(site.email, site.password, **headers)

    assert answer.status == 403
    assert "came from another site" in shown(answer.text)
    assert answer.header("Set-Cookie") is None


@pytest.mark.parametrize("headers", OWN)
def test_a_login_of_our_own_page_is_not(site, headers):
    assert site.browser().log_in(site.email, "wrong", **headers).status == 401


def test_logging_out_ends_the_login_everywhere(site):
    browser = site.logged_in()
    cookie = browser.cookie
    token = form_token(browser.get("/").text)

    out = browser.post("/logout", {"form_token": token})

    assert out.status == 303
    assert out.header("Location") == "/login"
    assert out.header("Set-Cookie").startswith("mbuzz_dashboard=; Max-Age=0; Path=/;")
    browser.cookie = cookie
    assert browser.get("/").status == 303


@pytest.mark.parametrize("headers", FORGED)
def test_a_forged_logout_is_refused_even_with_the_token(site, headers):
    browser = site.logged_in()
    token = form_token(browser.get("/").text)

    assert browser.post("/logout", {"form_token": token}, **headers).status == 403
    assert browser.get("/").status == 200


def test_a_logout_without_the_token_of_this_login_is_refused(site):
    browser, other = site.logged_in(), site.logged_in()
    foreign = form_token(other.get("/").text)

    for form in ({}, {"form_token": "\u00fc"}, {"form_token": foreign}):
        answer = browser.post("/logout", form)
        assert answer.status == 403
        assert "nothing was done" in shown(answer.text)
    assert browser.get("/").status == 200


def test_logging_out_twice_is_fine(site):
    assert site.browser().post("/logout", {}).header("Location") == "/login"


def test_logging_out_is_no_link(site):
    assert site.logged_in().get("/logout").status == 405


# -- attempts --


def test_the_eleventh_attempt_has_to_wait(site):
    browser = site.browser()
    for _ in range(10):
        assert browser.log_in(site.email, "wrong").status == 401

    refused = browser.log_in(site.email.upper(), site.password)

    assert refused.status == 429
    assert refused.header("Retry-After") == "60"
    assert (
        "Too many attempts for this e-mail address. Try again in 60 seconds."
        in shown(refused.text)
    )
    site.clock.ms += 59_500
    assert "in 1 second." in shown(browser.log_in(site.email, site.password).text)
    site.clock.ms += 1_000
    assert browser.log_in(site.email, site.password).status == 303


def test_attempts_are_counted_per_email_and_address(site):
    for _ in range(11):
        site.browser().log_in("nobody@example.com", "wrong")

    assert site.browser().log_in(site.email, site.password).status == 303
    elsewhere = site.browser(REMOTE_ADDR="192.0.2.2")
    assert elsewhere.log_in("nobody@example.com", "wrong").status == 401
    assert site.browser().log_in("nobody@example.com", "wrong").status == 429


class Meanwhile(Clock):
    """A clock that somebody looks at while a password is checked, and others come."""

    def __init__(self, others):
        super().__init__()
        self._others = others

    def monotonic(self):
        self._others()
        return super().monotonic()


def test_no_more_than_so_many_passwords_are_checked_at_once(site):
    inside = []

    def others():
        with pytest.raises(TooManyAttemptsError, match="right now") as refused:
            logins.authenticate("b@example.com", "x", "192.0.2.9")
        inside.append(refused.value.retry_after)

    logins = Logins(
        site.app.storage,
        Meanwhile(others),
        cost=CHEAP,
        checks_at_once=1,
        check_wait=0.0,
    )

    assert logins.authenticate("a@example.com", "x", "192.0.2.1") is None
    assert inside == [2]
    assert logins.authenticate("a@example.com", "x", "192.0.2.1") is None
    assert inside == [2, 2]


def test_the_login_of_one_server_is_nothing_on_another(site, tmp_path):
    other = Site(tmp_path / "other.db")
    browser = other.browser()
    browser.cookie = site.logged_in().cookie

    assert browser.get("/").status == 303
    other.app.close()
