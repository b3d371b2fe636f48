"""Passwords: what is stored, and who gets in."""

import hashlib
from base64 import b64encode

import pytest

from mbuzz.server.passwords import hash_password, verify_password


@pytest.fixture(scope="module")
def stored():
    return hash_password("correct horse")


def test_the_password_itself_is_right(stored):
    assert verify_password("correct horse", stored)


@pytest.mark.parametrize("text", ["", "Correct horse", "correct horse ", "\0"])
def test_another_one_is_wrong(stored, text):
    assert not verify_password(text, stored)


def test_the_hash_says_how_it_was_made_and_is_salted(stored):
    assert stored.startswith("$scrypt$ln=15,r=8,p=3$")
    assert "correct" not in stored
    assert hash_password("correct horse") != stored


def test_a_hash_made_with_other_parameters_still_counts():
    salt = b"0123456789abcdef"
    digest = hashlib.scrypt(b"old", salt=salt, n=2**4, r=2, p=1, dklen=32)
    parts = [b64encode(part).decode().rstrip("=") for part in (salt, digest)]

    assert verify_password("old", f"$scrypt$ln=4,r=2,p=1${'$'.join(parts)}")


def test_no_password_is_right_for_nobody():
    assert not verify_password("", None)
    assert not verify_password("correct horse", None)


def test_nobody_costs_as_much_work_as_somebody(stored, monkeypatch):
    work = []
    scrypt = hashlib.scrypt

    def counted(password, **options):
        work.append({key: options[key] for key in ("n", "r", "p", "dklen")})
        return scrypt(password, **options)

    monkeypatch.setattr(hashlib, "scrypt", counted)

    verify_password("x", stored)
    verify_password("x", None)

    assert work[0] == work[1]


def test_one_letter_typed_in_two_ways_is_one_password():
    assert verify_password("cafe\u0301", hash_password("caf\u00e9"))


@pytest.mark.parametrize(
    "stored", ["plain", "$scrypt$ln=15,r=8,p=3$short$short", "$2b$12$abc"]
)
def test_a_malformed_hash_is_an_error_not_a_wrong_password(stored):
    with pytest.raises(ValueError, match="malformed"):
        verify_password("x", stored)


def test_a_stored_hash_cannot_ask_for_all_the_memory():
    greedy = f"$scrypt$ln=24,r=8,p=1${'A' * 22}${'A' * 43}"

    with pytest.raises(ValueError, match="memory"):
        verify_password("x", greedy)
