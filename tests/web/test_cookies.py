"""The two cookies: what is read from a browser, and what may be written to one."""

import pytest

from mbuzz import protocol
from mbuzz.web.cookies import Cookie, read_all, read_cookie, read_set_cookies
from tests.web.visits import SESSION, VISITOR

V, S = f"_mbuzz_vid={VISITOR}", f"_mbuzz_sid={SESSION}"
OTHER = "ef" * 32


@pytest.mark.parametrize(
    ("header", "visitor"),
    [
        ("", None),
        (V, VISITOR),
        (f"a=1; {V}", VISITOR),
        (f"a=1;{V};b=2", VISITOR),
        (f"a=1\t{V} ; b=2", VISITOR),
        (f'_mbuzz_vid="{VISITOR}"; b=2', VISITOR),
        (f"a=1,{V},b=2", VISITOR),  # joined by a server
        (f'a[b]=1; json={{"x": 1}}; {V}', VISITOR),
        (f"{V}; _mbuzz_vid={OTHER}", VISITOR),  # the first counts
        (f"_mbuzz_vid=junk; {V}", VISITOR),
        (f"_mbuzz_vid=; {V}", VISITOR),
        ("_mbuzz_vid=junk; " * 500 + V, VISITOR),
        (f"x{V}; " * 500 + V, VISITOR),
        (f"x_mbuzz_vid={VISITOR}", None),
        (f'a="_mbuzz_vid={VISITOR}"', None),
        (f"_mbuzz_vid={VISITOR.upper()}", None),
        (f"_mbuzz_vid={VISITOR}0", None),
        (f"_mbuzz_vid={VISITOR[:-1]}", None),
        (f"_mbuzz_vid={VISITOR[:-1]}_", None),
        (f"_mbuzz_vid={VISITOR}\r\nSet-Cookie: a=b", None),
        (f"_mbuzz_vid={VISITOR}\x00", None),
        (f"_mbuzz_vid={VISITOR} x", None),
        ("_mbuzz_vid", None),
        ("_mbuzz_vid=", None),
    ],
)
def test_visitor_is_read_defensively(header, visitor):
    assert read_cookie(header, protocol.VISITOR_COOKIE) == visitor


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("12345678", True),
        ("sess_0190-Az", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("1234567", False),
        ("12345678;", True),
        ("1234567\N{LATIN SMALL LETTER E WITH ACUTE}8", False),
        ("12345678\r\n", False),
        ("<script>alert(1)</script>", False),
    ],
)
def test_session_is_8_to_128_characters_of_an_id(value, accepted):
    found = read_cookie(f"_mbuzz_sid={value}", protocol.SESSION_COOKIE)

    assert found == (value.strip(";") if accepted else None)


def test_both_are_found_among_many():
    header = "; ".join([*(f"c{n}=v" for n in range(155)), S, V])

    assert read_cookie(header, protocol.VISITOR_COOKIE) == VISITOR
    assert read_cookie(header, protocol.SESSION_COOKIE) == SESSION


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("ok=1; ok=0", {"ok": "1"}),  # as with ours
        ("a" * 65_536 + "; z=1", {}),
    ],
    ids=["twice", "too long"],
)
def test_consent_is_given_all_cookies_as_they_are(header, cookies):
    assert read_all(header) == cookies


@pytest.mark.parametrize(
    ("secure", "domain", "tail"),
    [
        (False, None, ""),
        (True, None, "; Secure"),
        (True, ".shop.example", "; Secure; Domain=.shop.example"),
        (False, "shop.example", "; Domain=shop.example"),
    ],
)
def test_header_is_written_whole(secure, domain, tail):
    cookie = Cookie(
        name="_mbuzz_vid", value=VISITOR, max_age=60, secure=secure, domain=domain
    )

    assert cookie.header() == (f"{V}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax{tail}")


@pytest.mark.parametrize(
    ("header", "read"),
    [
        (f"{V}; Max-Age=60", {"_mbuzz_vid": (VISITOR, 60)}),
        (f"{V};max-age = 60 ; Path=/", {"_mbuzz_vid": (VISITOR, 60)}),
        (V, {"_mbuzz_vid": (VISITOR, None)}),
        (f" {S} ; Path=/", {"_mbuzz_sid": (SESSION, None)}),
        (f"{S}; Domain=mbuzz.co; Path=/x", {"_mbuzz_sid": (SESSION, None)}),
        (f"{V}; Max-Age=0", {"_mbuzz_vid": (VISITOR, 0)}),
        (f"{V}; Max-Age=-5", {"_mbuzz_vid": (VISITOR, None)}),
        (f"{V}; Max-Age=9999999999", {"_mbuzz_vid": (VISITOR, 34_560_000)}),
        (f"{V}; Max-Age={'9' * 5_000}", {"_mbuzz_vid": (VISITOR, None)}),
        (
            f"{V}; Expires=Sat, 21 Nov 2026 12:00:00 GMT",
            {"_mbuzz_vid": (VISITOR, None)},
        ),
        ("session=abcdefgh; Max-Age=60", {}),
        (f"_MBUZZ_VID={VISITOR}", {}),
        (f"_mbuzz_vid={VISITOR}x", {}),
        (f"_mbuzz_vid={VISITOR}\r\nX-Evil: 1", {}),
        ("_mbuzz_sid=abc\r\nSet-Cookie: a=b", {}),
        ("_mbuzz_sid=", {}),
        ("", {}),
    ],
)
def test_nothing_but_an_id_and_its_age_is_taken_from_the_backend(header, read):
    assert read_set_cookies([header]) == read


def test_a_foreign_cookie_beside_ours_does_not_pass():
    read = read_set_cookies([f"{V}; Max-Age=1", "admin=1", f"{S}; Max-Age=2"])

    assert read == {"_mbuzz_vid": (VISITOR, 1), "_mbuzz_sid": (SESSION, 2)}
