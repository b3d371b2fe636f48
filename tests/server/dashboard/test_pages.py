"""The report page as somebody in front of it sees it."""

import html
import re
from decimal import Decimal

import pytest

from mbuzz import ids
from mbuzz.server.attribution.journeys import LOOKBACK_DAYS
from mbuzz.server.attribution.models import MODEL_LABELS
from mbuzz.server.dashboard import channel_table
from mbuzz.server.dashboard.report_query import SHOWN_MODELS
from mbuzz.server.ingestion import keys
from mbuzz.server.passwords import hash_password
from tests.server.dashboard.client import (
    CHEAP,
    NOW_MS,
    TODAY,
    Site,
    sale,
    shown,
    table,
    view,
)

SEARCH = "?utm_source=google&utm_medium=cpc"
LETTER = "?utm_source=letter&utm_medium=email"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Three journeys: 100.00 by three channels, 50.01 by two, 1,234.00 by none."""
    site = Site(tmp_path_factory.mktemp("shop") / "x.db")
    site.send(
        view("a", SEARCH, days_ago=9),
        view("a", LETTER, days_ago=6),
        view("a", days_ago=1),
        sale("a", "100.00"),
        view("b", SEARCH, days_ago=3),
        view("b", days_ago=2),
        sale("b", "50.01"),
        view("c", days_ago=1, referrer="https://www.google.com/"),
        sale(None, "1234.00", user_id="7"),
        sale("b", "20.00", currency="EUR"),
    )
    site.open = site.logged_in()
    yield site
    site.app.close()


def test_each_model_shares_the_same_conversions(shop):
    rows = table(shop.open.get("/").text)

    assert rows == {
        #                visits first          last            linear
        "Unattributed": ["0", "1", "1,234.00", "1", "1,234.00", "1.00", "1,234.00"],
        "Direct": ["2", "0", "0.00", "2", "150.01", "0.83", "58.34"],
        "Paid Search": ["2", "2", "150.01", "0", "0.00", "0.84", "58.34"],
        "Email": ["1", "0", "0.00", "0", "0.00", "0.33", "33.33"],
        "Organic Search": ["1", "0", "0.00", "0", "0.00", "0.00", "0.00"],
        "Total": ["6", "3", "1,384.01", "3", "1,384.01", "3.00", "1,384.01"],
    }


def test_every_column_adds_up_to_its_total(shop):
    rows = table(shop.open.get("/").text)
    numbers = {
        name: [Decimal(cell.replace(",", "")) for cell in cells]
        for name, cells in rows.items()
    }
    total = numbers.pop("Total")

    assert [sum(column) for column in zip(*numbers.values(), strict=True)] == total


def test_the_headline_is_the_total(shop):
    text = shown(shop.open.get("/").text)

    assert "Revenue 1,384.01 USD Conversions 3 Visits 6 Visitors 3 Page views 6" in text
    assert "My business" in text
    assert "20 Oct to 18 Nov 2026 UTC" in text


def test_bars_say_in_words_what_they_draw(shop):
    page = shop.open.get("/").text

    assert "<title>First touch 10.8%, Last touch 0.0%, Linear 4.2%</title>" in page
    assert max(float(w) for w in re.findall(r'<rect.*?width="([0-9.]+)"', page)) == 100


def test_the_table_can_be_read_by_a_screen_reader(shop):
    page = shop.open.get("/").text

    assert '<caption id="channels">' in page
    assert page.count('scope="colgroup"') == len(SHOWN_MODELS)
    assert len(re.findall(r"<th(?! scope=)", page.replace("<thead", ""))) == 0
    for name in re.findall(r'<(?:input|select) id="(\w+)"', page):
        assert f'<label for="{name}">' in page


def test_every_model_is_explained(shop):
    text = shown(shop.open.get("/").text)

    assert set(channel_table._EXPLANATIONS) == set(MODEL_LABELS)
    for model in SHOWN_MODELS:
        assert channel_table._EXPLANATIONS[model] in text
    assert f"in the {LOOKBACK_DAYS} days before a conversion" in text
    assert "Unattributed are conversions without any visit before them." in text


def models_of(page):
    """Return the links that choose models: label, address, chosen."""
    (nav,) = re.findall(r'<nav class="choice models".*?</nav>', page, re.DOTALL)
    found = re.findall(r'<a href="([^"]+)"( aria-current="true")?>([^<]+)<', nav)
    return {label: (html.unescape(path), bool(mark)) for path, mark, label in found}


def test_models_are_chosen_by_links_that_keep_the_rest(shop):
    start = models_of(shop.open.get("/?env=live").text)
    assert [label for label, (_, chosen) in start.items() if chosen] == [
        *("First touch", "Last touch", "Linear")
    ]

    page = shop.open.get(start["U-shaped"][0]).text

    assert "U-shaped</th>" in page
    assert page.count('scope="colgroup"') == 4
    assert 'name="models" value="first_touch,last_touch,linear,u_shaped"' in page
    fewer = models_of(page)["First touch"][0]
    assert fewer == "/?env=live&models=last_touch,linear,u_shaped"
    fifth = models_of(page)["Time decay"][0]
    assert fifth.endswith("=last_touch,linear,u_shaped,time_decay")
    alone = shop.open.get("/?models=linear").text
    assert models_of(alone)["Linear"] == ("/?models=linear", True)


def test_unknown_model_in_the_address_is_said(shop):
    text = shown(shop.open.get("/?models=magic").text)

    assert "Model must be one of first_touch, last_touch" in text


def test_model_that_is_not_trained_says_so(shop):
    text = shown(shop.open.get("/?models=linear,markov").text)

    assert "Markov chain has not credited all of these conversions yet" in text


def test_the_page_loads_nothing_from_elsewhere_and_has_no_script_or_style(shop):
    answer = shop.open.get("/")

    assert "style-src 'self'" in answer.header("Content-Security-Policy")
    assert answer.header("Cache-Control") == "no-store"
    assert not re.search(r"<script|<style|style=|\son\w+=", answer.text)
    assert not re.search(r'(?:href|src|action)="(?!/|#|data:)', answer.text)


# -- the period --


def test_days_come_from_the_url_and_stay_in_the_form(shop):
    page = shop.open.get(f"/?from={TODAY}&to={TODAY}").text

    assert f'name="from" type="date" value="{TODAY}"' in page
    assert "18 Nov 2026 UTC" in shown(page)
    assert table(page)["Total"][0] == "0"


def test_quick_periods_are_links_that_keep_the_rest(shop):
    page = shop.open.get("/?env=live&currency=EUR").text

    links = re.findall(r'<a href="([^"]+)"( aria-current="true")?>(\d+) days', page)
    assert [(int(days), bool(mark)) for _, mark, days in links] == [
        (7, False),
        (30, True),
        (90, False),
    ]
    assert links[0][0] == (
        "/?env=live&amp;from=2026-11-12&amp;to=2026-11-18&amp;currency=EUR"
    )


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("from=2026-11-20&to=2026-11-01", "From must not be after to"),
        ("from=yesterday", "From must be a date such as 2026-11-20, got 'yesterday'."),
        ("to=9999-12-31", "To must be a date of the years 1971 to 9998"),
        ("currency=EURO", "Currency must be a code of three letters"),
    ],
)
def test_what_cannot_be_shown_is_said_on_the_page(shop, query, sentence):
    answer = shop.open.get(f"/?{query}")

    assert answer.status == 422
    assert sentence in shown(answer.text)
    assert '<form class="controls"' in answer.text
    assert "<table" not in answer.text


def test_the_form_keeps_what_was_typed_escaped(shop):
    page = shop.open.get("/?from=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&to=x").text

    assert "<script>" not in page
    assert 'value="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in page
    assert 'value="x"' in page


def test_days_without_anything_lead_to_more_days(shop):
    text = shown(shop.open.get("/?from=2026-01-01&to=2026-01-02").text)

    assert "No visits and no conversions in these days." in text
    assert "Show the last 90 days" in text


def test_too_many_fields_are_refused(shop):
    query = "&".join(f"f{n}=1" for n in range(101))

    assert shop.open.get(f"/?{query}").status == 400


# -- currencies --


def test_currencies_are_chosen_never_added(shop):
    page = shop.open.get("/").text
    euros = shop.open.get("/?currency=eur").text

    assert "Left out: 1 in EUR" in shown(page)
    assert "<option selected>USD</option>" in page
    assert "Revenue 20.00 EUR Conversions 1 " in shown(euros)
    assert "<option selected>EUR</option>" in euros


def test_CV10_revenue_is_what_refunds_leave(site):
    site.send(view("a", SEARCH), sale("a", "100.00", id="conv_00000001"))
    answer = site.browser().request(
        "POST",
        "/api/v1/conversions/conv_00000001/refunds",
        b'{"refund_id": "r1", "amount": "30.00"}',
        HTTP_AUTHORIZATION=f"Bearer {site.first.api_key}",
    )
    assert answer.status == 201

    page = site.logged_in().get("/").text

    assert "Revenue 70.00 USD Conversions 1 " in shown(page)
    assert "what is left of 100.00 USD after 30.00 USD of refunds" in shown(page)
    assert table(page)["Paid Search"] == ["1", *["1", "70.00"] * 3]


def test_one_currency_needs_no_choice(site):
    site.send(view("a"), sale("a", "10"))

    page = site.logged_in().get("/").text

    assert "<select" not in page
    assert "Left out" not in page


def test_conversions_without_revenue_are_compared_by_their_number(site):
    site.send(view("a"), sale("a"))

    page = site.logged_in().get("/").text

    assert "Share of conversions" in shown(page)
    assert table(page)["Direct"] == ["1", "1", "0.00", "1", "0.00", "1", "0.00"]
    assert "n/a" in shown(page)
    assert "<title>First touch 100.0%, Last touch 100.0%, Linear 100.0%" in page


def test_visits_without_conversions_show_how_to_record_one(site):
    site.send(view("a"))

    page = site.logged_in().get("/").text

    assert "No conversions in these days" in shown(page)
    assert "mbuzz.conversion(" in page
    assert table(page)["Total"][0] == "1"
    assert "<title>First touch n/a" in page


# -- test and live data --


def new_key(site, *, live, account=None):
    return site.write(
        lambda stores: keys.create(
            stores.accounts,
            account or site.first.account,
            live=live,
            name="more",
            now_ms=NOW_MS,
        )
    )[1]


def current(page):
    return re.findall(r'aria-current="true">(Live|Test)</a>', page)


def test_test_data_is_shown_while_there_is_no_other(tmp_path):
    site = Site(tmp_path / "x.db", live=False)
    browser = site.logged_in()
    assert current(browser.get("/").text) == ["Live"]

    site.send(view("a"))
    assert current(browser.get("/").text) == ["Test"]
    assert current(browser.get("/?env=live").text) == ["Live"]

    site.send(view("b"), key=new_key(site, live=True))
    assert current(browser.get("/").text) == ["Live"]
    assert current(browser.get("/?env=test").text) == ["Test"]
    assert current(browser.get("/?env=both").text) == ["Live"]
    site.app.close()


def test_the_environment_survives_the_form_and_the_links(site):
    site.send(view("a"), key=new_key(site, live=False))
    browser = site.logged_in()

    page = browser.get("/?env=test&from=2026-11-01&to=2026-11-18").text

    assert '<input type="hidden" name="env" value="test">' in page
    assert 'href="/?env=live&amp;from=2026-11-01&amp;to=2026-11-18"' in page


# -- the first steps --


def test_an_empty_account_says_what_to_paste(site):
    page = site.logged_in().get("/").text

    text = shown(page)
    assert "Waiting for the first live event" in text
    assert "pip install mbuzz" in text
    assert "export MBUZZ_API_URL=http://stats.example:8787" in text
    assert "export MBUZZ_API_KEY=sk_live_..." in text
    assert "app.add_middleware(MbuzzMiddleware)" in text
    assert "<table" not in page
    assert "sk_test_..." in site.logged_in().get("/?env=test").text


def test_the_address_is_the_one_the_browser_used(site):
    https = site.browser(**{"wsgi.url_scheme": "https", "HTTP_HOST": "mb.example"})
    https.log_in(site.email, site.password)
    assert "MBUZZ_API_URL=https://mb.example\n" in https.get("/").text

    hostile = site.logged_in().get("/", HTTP_HOST="<script>alert(1)</script>")
    assert "<script>" not in hostile.text


# -- hostile and foreign data --


def test_nothing_that_visitors_send_becomes_markup(site):
    bad = "%3Cscript%3Ealert(1)%3C/script%3E"
    site.send(view("a", f"?utm_source={bad}&utm_medium={bad}"), sale("a", "1"))

    page = site.logged_in().get("/").text

    assert "<script" not in page
    assert "<table" in page


def new_account(site, name, email):
    hashed = hash_password("secret", CHEAP)

    def work(stores):
        account = stores.accounts.create_account(
            name, ids.time_ordered("acct", NOW_MS), "EUR", "UTC", NOW_MS
        )
        stores.accounts.create_user(
            account, ids.time_ordered("user", NOW_MS), email, hashed, NOW_MS
        )
        return account

    return site.write(work)


def test_an_account_sees_its_own_data_only_and_its_name_escaped(site):
    site.send(view("a"), sale("a", "77.00"))
    other = new_account(site, "<img src=x onerror=alert(1)>", "o'<b>@example.com")
    browser = site.browser()
    browser.log_in("o'<b>@example.com", "secret")

    for query in ("", "?env=live", "?env=live&currency=USD", "?account=1"):
        text = browser.get(f"/{query}").text
        assert "77.00" not in text
        assert "Waiting for the first live event" in text
        assert "<img" not in text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
        assert "o&#x27;&lt;b&gt;@example.com" in text

    site.send(view("z"), key=new_key(site, live=True, account=other))
    assert "Visits 1 Visitors 1" in shown(browser.get("/").text)
    assert "Revenue 77.00 USD" in shown(site.logged_in().get("/").text)


@pytest.mark.parametrize("cookie", ["", "mbuzz_dashboard=", "mbuzz_dashboard=abc"])
def test_no_report_without_a_login(shop, cookie):
    browser = shop.browser()
    browser.cookie = cookie

    answer = browser.get("/")

    assert answer.status == 303
    assert answer.text == ""


def test_an_api_key_is_no_login(shop):
    answer = shop.browser().get("/", HTTP_AUTHORIZATION=f"Bearer {shop.first.api_key}")

    assert answer.status == 303


# -- the style sheet --


def test_the_style_is_served_to_all_and_kept_until_it_changes(shop):
    path = re.search(r'rel="stylesheet" href="([^"]+)"', shop.open.get("/").text)[1]

    answer = shop.browser().get(path)

    assert re.fullmatch(r"/assets/mbuzz\.css\?v=[0-9a-f]{12}", path)
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/css; charset=utf-8"
    assert "immutable" in answer.header("Cache-Control")
    assert "prefers-color-scheme: dark" in answer.text
    assert "url(" not in answer.text
    assert "@import" not in answer.text
