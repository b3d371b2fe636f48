"""Users and accounts: roles, the last owner, passwords, and who did what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server import accounts, roles, team
from mbuzz.server.accounts import AccountError
from mbuzz.server.team import TeamError

NOW = 1_790_000_000_000


@pytest.fixture
def shop(storage):
    return opened(storage, "Shop")


def opened(storage, name, currency="USD", timezone="UTC"):
    return storage.write(
        lambda s: accounts.open_account(
            s, name, currency, timezone, actor="x", now_ms=NOW
        )
    )


def add(storage, account, email, role="member"):
    return storage.write(
        lambda s: team.add(s, account, email, "hash", role, actor="x", now_ms=NOW)
    )


def users(storage, account):
    found = storage.read(lambda s: s.accounts.users(account.id))
    return {user.email: user.role for user in found}


def test_roles_may_what_the_table_says():
    assert roles.may("owner", roles.PRIVACY)
    assert roles.may("admin", roles.KEYS)
    assert not roles.may("admin", roles.ACCOUNT)
    assert roles.may("member", roles.REPORTS)
    assert not roles.may("member", roles.KEYS)
    assert not roles.may("somebody", roles.REPORTS)


def test_each_role_may_all_that_the_next_one_may():
    owner, admin, member = roles.PERMISSIONS.values()

    assert owner > admin > member


def test_people_are_added_changed_and_removed(storage, shop):
    add(storage, shop, "ada@example.com", "owner")
    bob = add(storage, shop, "bob@example.com")

    storage.write(lambda s: team.change_role(s, bob, "admin", actor="x", now_ms=NOW))
    assert users(storage, shop) == {
        "ada@example.com": "owner",
        "bob@example.com": "admin",
    }
    storage.write(lambda s: team.remove(s, bob, actor="x", now_ms=NOW))
    assert users(storage, shop) == {"ada@example.com": "owner"}


@pytest.mark.parametrize("role", ["admin", "member"])
def test_the_last_owner_stays_owner(storage, shop, role):
    ada = add(storage, shop, "ada@example.com", "owner")
    add(storage, shop, "bob@example.com", "admin")
    other = opened(storage, "Other")
    add(storage, other, "eve@example.com", "owner")
    sentence = "ada@example.com is the last owner of Shop; make somebody else an owner"

    for work in (
        lambda s: team.change_role(s, ada, role, actor="x", now_ms=NOW),
        lambda s: team.remove(s, ada, actor="x", now_ms=NOW),
    ):
        with pytest.raises(TeamError, match=sentence):
            storage.write(work)
    assert users(storage, shop)["ada@example.com"] == "owner"


def test_one_of_two_owners_may_go(storage, shop):
    ada = add(storage, shop, "ada@example.com", "owner")
    add(storage, shop, "bob@example.com", "owner")

    storage.write(lambda s: team.remove(s, ada, actor="x", now_ms=NOW))

    assert users(storage, shop) == {"bob@example.com": "owner"}


def test_an_email_has_one_account(storage, shop):
    add(storage, shop, "ada@example.com")

    with pytest.raises(TeamError, match="there is a user ada@example"):
        add(storage, opened(storage, "Other"), "ada@example.com")


def test_an_unknown_role_is_refused(storage, shop):
    with pytest.raises(
        TeamError, match="a role is one of owner, admin, member, got 'x'"
    ):
        add(storage, shop, "ada@example.com", "x")


def test_somebody_unknown_is_told_who_is_known(storage, shop):
    def find(email):
        return storage.read(lambda s: team.find(s, shop, email))

    with pytest.raises(TeamError, match="there is no user 'x' in Shop; there is nob"):
        find("x")
    ada = add(storage, shop, "ada@example.com")
    assert find(" Ada@Example.com ").id == ada.id
    with pytest.raises(TeamError, match="there is ada@"):
        find("x")


def test_a_user_of_another_account_is_nobody_here(storage, shop):
    add(storage, opened(storage, "Other"), "eve@example.com")

    with pytest.raises(TeamError, match="there is nobody"):
        storage.read(lambda s: team.find(s, shop, "eve@example.com"))


@pytest.mark.parametrize("text", ["owner@localhost", " Ada@Example.COM ", "ü@ö.de"])
def test_emails_are_kept_in_small_letters(text):
    assert team.check_email(text) == text.strip().lower()


@pytest.mark.parametrize(
    "text",
    ["", "ada", "@", "a@", "@b", "a b@c", "a@b\n c", "a@b@c", "a" * 251 + "@b.c"],
)
def test_what_is_no_email_is_refused(text):
    with pytest.raises(TeamError, match="an e-mail address looks like"):
        team.check_email(text)


@pytest.mark.parametrize("text", ["", "short", "x" * 257])
def test_passwords_have_a_length(text):
    with pytest.raises(TeamError, match=f"from 10 to 256 characters, .* {len(text)}"):
        team.check_password(text, "ada@example.com")


@pytest.mark.parametrize("text", ["lovelace.ada", "Lovelace.Ada@example.com"])
def test_the_email_is_no_password(text):
    with pytest.raises(TeamError, match="must not be the e-mail"):
        team.check_password(text, "lovelace.ada@example.com")


@given(st.text(min_size=10, max_size=256))
def test_any_other_password_will_do(text):
    assert team.check_password(text, "ada@example.com") == text


def test_made_passwords_pass_and_differ():
    made = [team.new_password() for _ in range(3)]

    assert len(set(made)) == 3
    assert [team.check_password(text, "a@b.c") for text in made] == made


# -- accounts --


def pick(storage, text):
    return accounts.pick(storage.read(lambda s: s.accounts.accounts()), text)


def test_the_only_account_need_not_be_named(storage, shop):
    assert pick(storage, None).id == shop.id


def test_an_account_is_meant_by_name_or_id(storage, shop):
    other = opened(storage, "Other Shop")

    assert pick(storage, "other shop").id == other.id
    assert pick(storage, shop.public_id).id == shop.id


def test_who_names_no_account_of_several_is_told_them(storage, shop):
    other = opened(storage, "Other")

    with pytest.raises(AccountError) as refused:
        pick(storage, None)

    assert str(refused.value) == (
        "this backend has several accounts; choose one with --account: "
        f"Shop ({shop.public_id}), Other ({other.public_id})"
    )
    with pytest.raises(AccountError, match="there is no account 'X'; there is Shop"):
        pick(storage, "X")


def test_an_ambiguous_name_is_refused(storage, shop):
    twin = storage.write(
        lambda s: s.accounts.create_account("SHOP", "acct_2", "USD", "UTC", NOW)
    )

    with pytest.raises(AccountError, match="several accounts are called 'shop'"):
        pick(storage, "shop")
    assert pick(storage, twin.public_id) == twin


def test_no_account_at_all_is_said():
    with pytest.raises(AccountError, match="there is no account that this could be"):
        accounts.pick([], None)
    with pytest.raises(AccountError, match="no account 'x'; there is none"):
        accounts.pick([], "x")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((" ",), "must have 1 to 100 printable characters, got ''"),
        (("x" * 101,), "must have 1 to 100 printable characters"),
        (("a\x1b[31m",), "printable characters"),
        (("shop",), "there is an account 'shop' already"),
        (("X", "dollars"), "got 'dollars'"),
        (("X", "USD", "Mars/Base"), "a name such as Europe/Berlin, got 'Mars/Base'"),
        (("X", "USD", "../etc"), "a name such as Europe/Berlin"),
    ],
)
def test_an_account_that_cannot_be_is_refused(storage, shop, arguments, sentence):
    with pytest.raises(AccountError, match=sentence):
        opened(storage, *arguments)


def test_a_closed_account_comes_back_as_it_was(storage, shop):
    storage.write(lambda s: accounts.close(s, shop, actor="x", now_ms=NOW))
    closed = pick(storage, "Shop")
    assert closed.deleted_at_ms == NOW
    assert not accounts.is_open(closed)

    storage.write(lambda s: accounts.restore(s, shop, actor="x", now_ms=NOW))

    assert pick(storage, "Shop") == shop


# -- who did what --


def audit(storage, account, limit=100):
    found = storage.read(lambda s: s.accounts.audit_entries(account.id, limit))
    return [(entry.actor, entry.action, dict(entry.details)) for entry in found]


def test_every_change_is_in_the_audit_log_the_latest_first(storage, shop):
    ada = add(storage, shop, "ada@example.com", "owner")
    bob = add(storage, shop, "bob@example.com")

    def work(stores):
        team.change_role(stores, bob, "admin", actor="ada", now_ms=NOW + 1)
        team.change_password(stores, bob, "secret", actor="bob", now_ms=NOW + 2)
        team.remove(stores, bob, actor="ada", now_ms=NOW + 3)
        accounts.close(stores, shop, actor="ada", now_ms=NOW + 4)
        accounts.restore(stores, shop, actor="operator", now_ms=NOW + 5)

    storage.write(work)

    user = {"user": "bob@example.com"}
    whose = {"account": shop.public_id}
    assert audit(storage, shop) == [
        ("operator", "account.restore", whose),
        ("ada", "account.delete", whose),
        ("ada", "user.delete", {**user, "role": "member"}),
        ("bob", "user.password", user),
        ("ada", "user.role", {**user, "before": "member", "role": "admin"}),
        ("x", "user.create", {**user, "role": "member"}),
        ("x", "user.create", {"user": ada.email, "role": "owner"}),
        ("x", "account.create", whose),
    ]
    assert len(audit(storage, shop, limit=2)) == 2


def test_what_is_refused_is_not_in_the_log(storage, shop):
    ada = add(storage, shop, "ada@example.com", "owner")
    before = audit(storage, shop)

    with pytest.raises(TeamError):
        storage.write(lambda s: team.remove(s, ada, actor="x", now_ms=NOW))

    assert audit(storage, shop) == before


def test_what_happens_again_is_counted(storage, shop):
    def again(actor, at, since):
        storage.write(
            lambda s: s.accounts.audit_again(shop.id, at, actor, "failed", since)
        )

    again("ada", NOW, NOW - 10)
    again("ada", NOW + 5, NOW - 5)
    again("bob", NOW + 5, NOW - 5)
    again("ada", NOW + 20, NOW + 10)

    assert audit(storage, shop)[:3] == [
        ("ada", "failed", {"times": 1}),
        ("bob", "failed", {"times": 1}),
        ("ada", "failed", {"times": 2}),
    ]
