"""API keys: four ways to fail, four sentences."""

import pytest

from mbuzz.server.ingestion import keys
from mbuzz.server.ingestion.keys import KeyRefusedError

NOW = 1_790_000_000_000


@pytest.fixture
def account(storage):
    return storage.write(
        lambda s: s.accounts.create_account("Shop", "acct_1", "USD", "UTC", NOW)
    )


def create(storage, account, *, live=False, name="web", now_ms=NOW, **limits):
    return storage.write(
        lambda s: keys.create(
            s.accounts, account, live=live, name=name, now_ms=now_ms, **limits
        )
    )


def authenticate(storage, header):
    return storage.read(lambda s: keys.authenticate(s.accounts, header, NOW))


@pytest.mark.parametrize("live", [False, True])
def test_key_says_its_environment_and_is_found_again(storage, account, live):
    key, text = create(storage, account, live=live)

    assert text.startswith("sk_live_" if live else "sk_test_")
    assert authenticate(storage, f"Bearer {text}") == key
    assert key.tenant == (account.id, live)
    assert key.tenant.environment == ("live" if live else "test")


def test_only_a_digest_and_a_hint_are_kept(storage, account):
    key, text = create(storage, account)

    kept = storage.read(lambda s: s.accounts._db.rows("SELECT * FROM api_keys", {}))
    assert text not in repr(kept)
    assert key.hint == f"{text[:8]}...{text[-4:]}"


@pytest.mark.parametrize(
    "header", ["bearer {}", "BEARER {}", "  Bearer   {}  ", "Bearer\u0020{}"]
)
def test_scheme_is_case_insensitive(storage, account, header):
    key, text = create(storage, account)

    assert authenticate(storage, header.format(text)) == key


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (None, "no API key was sent; send the header"),
        ("", "no API key was sent; send the header"),
        ("Bearer", "header is malformed; it must be"),
        ("Basic sk_test_" + "a" * 48, "header is malformed; it must be"),
        ("Bearer pk_test_" + "a" * 48, "header is malformed; it must be"),
        ("Bearer sk_test_short", "header is malformed; it must be"),
        ("Bearer sk_test_" + "a" * 47 + "\xe9", "header is malformed; it must be"),
        ("sk_test_" + "a" * 48, "header is malformed; it must be"),
        ("Bearer sk_test_" + "a" * 48, "the API key is unknown here"),
    ],
)
def test_every_failure_has_its_own_sentence(storage, header, sentence):
    with pytest.raises(KeyRefusedError, match=sentence):
        authenticate(storage, header)


def test_revoked_key_says_so(storage, account):
    key, text = create(storage, account)

    def revoke(stores):
        return keys.revoke(stores.accounts, account, key.public_id, now_ms=NOW)

    assert [storage.write(revoke), storage.write(revoke)] == [True, False]
    with pytest.raises(KeyRefusedError, match="was revoked; make a new one"):
        authenticate(storage, f"Bearer {text}")


def test_key_of_another_account_cannot_be_revoked(storage, account):
    key, _ = create(storage, account)

    assert not storage.write(
        lambda s: s.accounts.revoke_key(account.id + 1, key.public_id, NOW)
    )


@pytest.mark.parametrize(
    ("later_ms", "needed"), [(0, False), (60_000, False), (60_001, True)]
)
def test_last_use_is_written_once_a_minute(storage, account, later_ms, needed):
    key, text = create(storage, account)
    assert keys.needs_touch(key, NOW)

    storage.write(lambda s: s.accounts.touch_key(account.id, key.id, NOW))

    key = authenticate(storage, f"Bearer {text}")
    assert key.last_used_at_ms == NOW
    assert keys.needs_touch(key, NOW + later_ms) is needed


def test_a_new_key_may_ingest_and_read(storage, account):
    key, _ = create(storage, account)

    assert key.scopes == {"ingest", "read"}
    assert key.expires_at_ms is None


def test_scopes_and_end_are_kept(storage, account):
    _, text = create(storage, account, scopes=["admin", "read"], expires_at_ms=NOW + 1)

    key = authenticate(storage, f"Bearer {text}")
    assert key.scopes == {"admin", "read"}
    assert key.expires_at_ms == NOW + 1


def test_who_may_import_may_ingest():
    assert keys.check_scopes(["import"]) == {"import", "ingest"}


@pytest.mark.parametrize(
    ("scopes", "got"), [([], "none"), (["read", "all", "x"], "all, x")]
)
def test_unknown_scopes_are_refused(scopes, got):
    with pytest.raises(ValueError, match=f"ingest, read, admin, import, got {got}"):
        keys.check_scopes(scopes)


@pytest.mark.parametrize(("later_ms", "works"), [(-1, True), (0, False), (1, False)])
def test_a_key_ends_at_its_time(storage, account, later_ms, works):
    _, text = create(storage, account, now_ms=NOW - 10, expires_at_ms=NOW - later_ms)

    if works:
        assert authenticate(storage, f"Bearer {text}")
    else:
        with pytest.raises(KeyRefusedError, match="has expired"):
            authenticate(storage, f"Bearer {text}")


def test_keys_made_and_revoked_are_in_the_audit_log_without_their_text(
    storage, account
):
    key, text = create(storage, account)
    for _ in range(2):  # the second one does nothing
        storage.write(
            lambda s: keys.revoke(
                s.accounts, account, key.public_id, now_ms=NOW, actor="ada@example.com"
            )
        )

    entries = storage.read(lambda s: s.accounts.audit_entries(account.id, 10))
    assert [(entry.actor, entry.action) for entry in entries] == [
        ("ada@example.com", "key.revoke"),
        ("command line", "key.create"),
    ]
    assert entries[1].details == {
        "key": key.public_id,
        "hint": key.hint,
        "scopes": ["ingest", "read"],
    }
    assert text not in repr(entries)
    assert keys.digest(text) not in repr(entries)
    assert keys.digest(text) not in repr(key)
