"""Secrets: known by name, by look, and inside URLs; and what only looks like one."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.redaction import REDACTED, Redactor
from mbuzz.secret_names import SECRET, NameRules

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP"
KEY = "sk_live_" + "a1B2" * 8
OBJECT_ID = "ab4111111111111111cdef07"  # in hexadecimal, with a card's number by chance

scrub = Redactor().scrub
kind = NameRules().kind


@pytest.mark.parametrize(
    "name",
    [
        *"password PASSWORD passwd pwd userPassword PassWord pass_word".split(),
        "password1",
        *"api_key apiKey APIKey api-key X-Api-Key apikey STRIPE_API_KEY".split(),
        *"token authToken auth_token accesstoken refreshToken".split(),
        "csrfmiddlewaretoken",
        *"secret clientSecret secretKey secretkey private_key AccessKey".split(),
        *"Authorization set-cookie cookies sessionid session_id sessionId".split(),
        *"card cardNumber credit_card ccnumber cvv cvc pin otp ssn iban".split(),
        *"socialSecurityNumber account_number credentials signature bearer jwt".split(),
    ],
)
def test_names_of_secrets(name):
    assert kind(name) == SECRET


@pytest.mark.parametrize(
    "name",
    [
        *"author authored spinner pinned company discard carded tokenizer key".split(),
        *"plan url referrer keyboard monkey_business session sessions account".split(),
        *"accounting number accessory prompt_tokens privateer hotpink".split(),
        "",
        "名前",
        "Sign up",
    ],
)
def test_names_that_only_look_like_it(name):
    assert kind(name) != SECRET


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        (f"key {KEY}.", f"key {REDACTED}."),
        ("Authorization: Bearer abcdefgh123", f"Authorization: {REDACTED}"),
        (f"got {JWT}!", f"got {REDACTED}!"),
        (f"session-{JWT}", f"session-{REDACTED}"),
        ("4111111111111111", REDACTED),
        ("card 4111 1111 1111 1111, thanks", f"card {REDACTED}, thanks"),
        ("5500-0000-0000-0004", REDACTED),
        ("378282246310005", REDACTED),
        ("abc4111111111111111def", f"abc{REDACTED}def"),
        (f"{OBJECT_ID} 4111111111111111", f"{OBJECT_ID} {REDACTED}"),
        (f"{OBJECT_ID}0", f"ab{REDACTED}cdef070"),  # no length of an id
    ],
)
def test_secrets_known_by_their_look(text, scrubbed):
    assert scrub(text) == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "order 4111111111111112",  # fails the check
        "0000000000000000",
        "2026-11-20 10:30:00",
        "+49 170 1234567",
        "550e8400-e29b-41d4-a716-446655440000",
        "sk_test_short",
        "bearer of news",
        "eyJ is how they begin",
        "1.4111111111111111",
        OBJECT_ID,
        f"order {OBJECT_ID.upper()}, paid",
        f"evt_{OBJECT_ID}deadbeef",
        f"{OBJECT_ID}{'0f' * 8}",
    ],
)
def test_text_that_is_left_alone(text):
    assert scrub(text) == text


def test_digests_are_left_alone_whatever_their_digits():
    # One in 250 has a number in it that reads like a card's.
    digests = [sha256(bytes([a, b])).hexdigest() for a in range(256) for b in range(8)]

    assert [scrub(digest) for digest in digests] == digests


@pytest.mark.parametrize(
    ("url", "scrubbed"),
    [
        ("https://h/a?x=1&y=", "https://h/a?x=1&y="),
        ("https://h/a?", "https://h/a?"),
        ("https://me:hunter2@h/a", "https://h/a"),
        ("https://h/a?token=abc&b=2", f"https://h/a?token={REDACTED}&b=2"),
        ("https://h/?reset%5Ftoken=abc", f"https://h/?reset%5Ftoken={REDACTED}"),
        ("https://h/?code=abc", f"https://h/?code={REDACTED}"),
        ("https://h/?ref_token=abc", f"https://h/?ref_token={REDACTED}"),
        ("https://h/?q=me@x.org", "https://h/?q=[email]"),
        ("https://h/?q=me%40x.org", "https://h/?q=[email]"),
        ("https://h/?me@x.org", "https://h/?[email]"),
        ("https://h/u/me@x.org/a", "https://h/u/[email]/a"),
        ("https://h/u/me@x.org/a?b=1", "https://h/u/[email]/a?b=1"),
        (f"https://h/?next={KEY}", f"https://h/?next={REDACTED}"),
        (f"https://h/?next={JWT}", f"https://h/?next={REDACTED}"),
        ("https://h/?4111111111111111", f"https://h/?{REDACTED}"),
        (
            "https://h/reset/0123456789abcdef0123/",
            f"https://h/reset/{REDACTED}",
        ),
        (
            "https://h/accounts/password-reset/MQ/bx-0123456789abcdef/?a=1",
            f"https://h/accounts/password-reset/{REDACTED}?a=1",
        ),
        ("https://h/reset/done", "https://h/reset/done"),
        ("https://h/confirm/", "https://h/confirm/"),
        ("https://h/#access_token=abc", f"https://h/#access_token={REDACTED}"),
        ("https://h/?a=1#id_token=abc&b=2", f"https://h/?a=1#id_token={REDACTED}&b=2"),
        ("https://h/#/login?token=abc", f"https://h/#/login?token={REDACTED}"),
        ("https://h/#/reset/0123456789abcdef", f"https://h/#/reset/{REDACTED}"),
        ("https://h/#top", "https://h/#top"),
        ("/login?token=abc", f"/login?token={REDACTED}"),
        (
            "https://h/?utm_source=news&utm_term=token&gclid=4111111111111111",
            "https://h/?utm_source=news&utm_term=token&gclid=4111111111111111",
        ),
        ("https://h/?utm_id=a%20b&ref=1&mc_cid=2&pk_source=3", None),
        ("https://h/?utm_email=me@x.org", "https://h/?utm_email=[email]"),
    ],
)
def test_urls(url, scrubbed):
    assert scrub(url) == (url if scrubbed is None else scrubbed)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 8000 + " @",
        "https://h/?q=" + "a" * 8000 + " @",
        "https://h/" + "a" * 99 + "@" + "a." * 4000,
        "https://h" + "/reset" * 1300 + "/",
        "-eyJ" * 2000,
        "bearer" + " " * 8000,
        "1 " * 4000,
    ],
)
def test_hostile_text_is_done_with_like_any_other(text):
    """Each took a second or more with patterns that try every way."""
    assert isinstance(scrub(text) + scrub(text), str)


@given(st.text(), st.text())
def test_nothing_breaks_it(a, b):
    scrub(f"{a}4111111111111111{b}")
    scrub(f"https://{a}?{b}={a}#{b}")
    kind(a)


@given(st.text(alphabet="abcXYZ019-_", min_size=1), st.sampled_from("?&#"))
def test_a_token_in_a_url_never_survives(secret, mark):
    url = {
        "?": "https://h/?token=",
        "&": "https://h/?a=1&token=",
        "#": "https://h/#token=",
    }

    assert scrub(url[mark] + f"PLANTED{secret}") == url[mark] + REDACTED
