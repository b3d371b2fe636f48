"""What the options about personal data change, name by name and text by text."""

import json
import re

import pytest

from mbuzz import protocol
from mbuzz.redaction import REDACTED
from mbuzz.serialization import Encoder, EventTooLargeError


def one(name, value, *, traits=False, **options):
    """Return what becomes of a property *name*."""
    encoder = Encoder(**options)
    encode = encoder.traits if traits else encoder.mapping
    ((_, encoded),) = json.loads(encode({name: value})).items()
    return encoded


@pytest.mark.parametrize(
    ("name", "value", "encoded"),
    [
        ("note", "mail me@x.org, please", "mail [email], please"),
        ("email", "me@x.org", "me@x.org"),
        ("customer_email", "me@x.org", "me@x.org"),
        ("emailAddress", "me@x.org", "me@x.org"),
        ("emails", ["me@x.org", {"a": "b@x.org"}], ["me@x.org", {"a": "b@x.org"}]),
        ("email_body", "me@x.org", "[email]"),
        ("url", "https://h/?q=me@x.org", "https://h/?q=[email]"),
        ("ip", "203.0.113.77", "203.0.113.0"),
        ("client_ip", "2001:db8:1:2::3", "2001:db8:1::"),
        ("REMOTE_ADDR", "203.0.113.77", "203.0.113.0"),
        ("ip_address", ["::ffff:203.0.113.77"], ["::ffff:203.0.113.0"]),
        ("x-forwarded-for", "10.1.2.3, 10.4.5.6", "10.1.2.0, 10.4.5.0"),
        ("version", "1.2.3.4", "1.2.3.4"),
        ("amount", 4111111111111111, REDACTED),
        ("amount", 4111111111111111.0, REDACTED),
        ("amount", 4111111111111112, 4111111111111112),
        ("at_ms", 1700000000005, 1700000000005),
        ("name", "Ann", "Ann"),
        ("phone", "+49 170 1234567", "+49 170 1234567"),
    ],
)
def test_standard(name, value, encoded):
    assert one(name, value) == encoded


@pytest.mark.parametrize(
    "name",
    "email name first_name lastName phone phoneNumber address street zip ip birthday "
    "date_of_birth mobile username".split(),
)
def test_strict_redacts_what_names_a_person(name):
    assert one(name, "x", pii="strict") == REDACTED


@pytest.mark.parametrize("name", "plan product_name event_name description".split())
def test_strict_leaves_other_names(name):
    assert one(name, "x", pii="strict") == "x"


@pytest.mark.parametrize("pii", ["standard", "strict"])
def test_traits_keep_name_and_address_of_mail(pii):
    for name, value in [("email", "me@x.org"), ("name", "Ann"), ("firstName", "Ann"),
                        ("about", "me@x.org")]:  # fmt: skip
        assert one(name, value, pii=pii, traits=True) == value
    assert one("password", "x", pii=pii, traits=True) == REDACTED
    assert one("site", "https://me:hunter2@h/", pii=pii, traits=True) == "https://h/"
    phone = one("phone", "+49 170 1234567", pii=pii, traits=True)
    assert (phone == REDACTED) == (pii == "strict")


def test_off_leaves_everything():
    given = {"password": "x", "ip": "1.2.3.4", "card": 4111111111111111, "a": "b@c.de"}

    assert json.loads(Encoder(pii="off").mapping(given)) == given


@pytest.mark.parametrize(
    "name",
    "loyalty loyalty_number LoyaltyNumber customer-ref customerRef CUSTOMER_REF "
    "my_customer_ref 顧客".split(),
)
def test_own_names_are_words_or_whole_names(name):
    own = ("Loyalty", "customer ref", "顧客")

    assert one(name, "x", redact_keys=own) == REDACTED
    assert one("customer", "x", redact_keys=own) == "x"
    assert one("url", f"https://h/?{name}=hunter2", redact_keys=own).endswith(REDACTED)


def test_allowed_names_are_read_and_their_values_looked_at():
    allowed = {"allow_keys": ("session_id", "Token")}

    assert one("sessionId", "abc", **allowed) == "abc"
    assert one("token", "abc", **allowed) == "abc"
    assert one("auth_token", "abc", **allowed) == REDACTED
    assert one("url", "https://h/?token=a&code=b", **allowed).endswith(
        f"?token=a&code={REDACTED}"
    )
    assert one("token", "4111111111111111", **allowed) == REDACTED


def test_own_patterns_replace_parts_of_texts():
    own = (r"^ACME-\d+$", r"(?i)project \w+")

    assert one("a", "ACME-12", redact_patterns=own) == REDACTED
    assert one("a", "no ACME-12", redact_patterns=own) == "no ACME-12"
    assert one("a", "see Project X now", redact_patterns=own) == f"see {REDACTED} now"
    assert Encoder(redact_patterns=own).mapping({"ACME-1": 1}) == f'{{"{REDACTED}":1}}'


def test_a_broken_pattern_is_an_error_at_once():
    with pytest.raises(re.error):
        Encoder(redact_patterns=("(",))


def test_plain_fields_are_literals_that_can_be_stored():
    encoder = Encoder()

    assert encoder.text('a"b') == '"a\\"b"'
    assert json.loads(encoder.text("Zoë\0\ud800")) == "Zoë?"


def test_a_mapping_fits_into_its_room_or_is_an_error():
    encoder = Encoder()
    source = {"a": "x" * 5000, "b": "short"}

    cut = encoder.mapping(source, room=1000)

    assert len(cut) <= 1000
    assert json.loads(cut)["b"] == "short"
    assert len(encoder.mapping({str(n): "x" * 8000 for n in range(9)})) < (
        protocol.MAX_EVENT_BYTES - 2000
    )
    with pytest.raises(EventTooLargeError):
        encoder.mapping(source, room=40)


def test_a_whole_event_keeps_the_order_of_its_fields():
    item = {
        "type": "identify",
        "traits": {"email": "me@x.org"},
        "properties": {"note": "me@x.org"},
        "correlation": {"request_id": "r\0"},
        "n": 5,
    }

    assert Encoder().item(item) == (
        b'{"type":"identify","traits":{"email":"me@x.org"},'
        b'"properties":{"note":"[email]"},"correlation":{"request_id":"r"},"n":5}'
    )
