"""Whether somebody agrees to be recorded, as the site and the browser say."""

import warnings
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.web.consent import consent_of, has_gpc, without_click_ids
from mbuzz.web_options import WebOptions
from tests.web.visits import a_request


class Word(StrEnum):
    DENIED = "denied"


class Undecidable:
    def __bool__(self):
        raise ZeroDivisionError


def ask(consent=None, headers=None, **options):
    return consent_of(
        a_request(headers, cookie="agreed=yes"), WebOptions(consent=consent, **options)
    )


ANSWERS = {
    "true": (True, "granted"),
    "false": (False, "denied"),
    "none": (None, "unknown"),
    "granted": ("granted", "granted"),
    "denied": ("denied", "denied"),
    "unknown": ("unknown", "unknown"),
    "enum": (Word.DENIED, "denied"),
    "one": (1, "granted"),
    "zero": (0, "denied"),
    "empty list": ([], "denied"),
    "another word": ("no", "unknown"),
    "false as a word": ("false", "unknown"),
    "capitals": ("Granted", "unknown"),
    "empty word": ("", "unknown"),
}


@pytest.mark.parametrize(("said", "consent"), ANSWERS.values(), ids=ANSWERS)
def test_answer_of_the_site(said, consent):
    assert ask(lambda request: said) == consent


def test_without_a_question_everybody_consents():
    assert ask() == "granted"


def test_site_is_asked_about_the_request():
    asked = ask(lambda request: request.cookies["agreed"] == "yes")

    assert asked == "granted"


def test_bug_in_the_question_makes_nobody_refuse(caplog):
    assert ask(lambda request: request.cookies["misspelt"]) == "unknown"
    assert ask(lambda request: Undecidable()) == "unknown"
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_answer_that_means_nothing_is_heard_of(caplog):
    assert ask(lambda request: "no") == "unknown"

    (record,) = caplog.records
    assert (record.levelname, "consent" in record.getMessage()) == ("ERROR", True)


def test_question_that_would_have_to_be_awaited_is_no_consent(caplog):
    async def consent(request):
        return False

    class Later:
        def __await__(self):
            yield

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = [ask(consent), ask(lambda request: Later())]

    assert answers == ["unknown", "unknown"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


SIGNALS = {
    "gpc": ({"Sec-GPC": "1"}, {"respect_gpc": True}, "denied"),
    "gpc of no weight": ({"Sec-GPC": "1"}, {}, "granted"),
    "gpc off": ({"Sec-GPC": "0"}, {"respect_gpc": True}, "granted"),
    "gpc odd": ({"Sec-GPC": "yes"}, {"respect_gpc": True}, "granted"),
    "dnt": ({"DNT": "1"}, {"respect_dnt": True}, "denied"),
    "dnt of no weight": ({"DNT": "1"}, {"respect_gpc": True}, "granted"),
    "dnt off": ({"DNT": "0"}, {"respect_dnt": True}, "granted"),
    "neither": ({}, {"respect_gpc": True, "respect_dnt": True}, "granted"),
}


@pytest.mark.parametrize(
    ("headers", "options", "consent"), SIGNALS.values(), ids=SIGNALS
)
def test_signal_of_the_browser(headers, options, consent):
    assert ask(headers=headers, **options) == consent


def test_signal_of_the_browser_goes_before_the_sites_answer():
    asked = []

    said = ask(asked.append, {"Sec-GPC": "1"}, respect_gpc=True)

    assert (said, asked) == ("denied", [])


@pytest.mark.parametrize(("value", "has"), [("1", True), ("0", False), (None, False)])
def test_privacy_control_is_a_header(value, has):
    assert has_gpc(a_request({"Sec-GPC": value} if value else {})) is has


URLS = {
    "one": ("https://x/?gclid=abc", "https://x/?gclid=[redacted]"),
    "in the middle": ("/?a=1&fbclid=z&b=2", "/?a=1&fbclid=[redacted]&b=2"),
    "many": ("/?gclid=a&gclid=b", "/?gclid=[redacted]&gclid=[redacted]"),
    "capitals": ("/?GCLID=a", "/?GCLID=[redacted]"),
    "before a fragment": ("/?gclid=a#b", "/?gclid=[redacted]#b"),
    "campaigns stay": ("/?utm_source=gclid&ref=x", "/?utm_source=gclid&ref=x"),
    "other names": ("/?my_gclid=a&gclid_x=b", "/?my_gclid=a&gclid_x=b"),
    "empty": ("/?gclid=&x=1", "/?gclid=&x=1"),
    "in the path": ("/gclid=a", "/gclid=a"),
    "none": ("/", "/"),
}


@pytest.mark.parametrize(("url", "cleaned"), URLS.values(), ids=URLS)
def test_click_ids_are_taken_out_and_the_rest_stays(url, cleaned):
    assert without_click_ids(url) == cleaned


@given(
    before=st.text(alphabet="abc=&%", max_size=20),
    secret=st.text(alphabet="xyz0123456789-_%=?", min_size=8, max_size=40),
    after=st.text(alphabet="abc=&#%", max_size=20),
)
def test_no_click_id_is_left(before, secret, after):
    cleaned = without_click_ids(
        f"https://shop.example/?{before}&gclid={secret}&{after}"
    )

    assert f"={secret}&" not in cleaned
    assert cleaned.startswith(f"https://shop.example/?{before}&gclid=[redacted]&")
    assert without_click_ids(cleaned) == cleaned
