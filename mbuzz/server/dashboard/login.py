"""Who is looking: password checks, log-ins and the marks of a forged request."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from mbuzz import ids
from mbuzz.clock import Clock
from mbuzz.server import passwords
from mbuzz.server.dashboard.attempts import Attempts
from mbuzz.server.http.request import Request
from mbuzz.server.roles import may
from mbuzz.server.storage.errors import StorageError
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.rows.accounts import User

_LASTS_SECONDS: Final = 14 * 86_400
_TOKEN_BYTES: Final = 32
_CHECKS_AT_ONCE: Final = 2  # each takes 32 MiB
_CHECK_WAIT: Final = 2.0  # seconds for one of them to end
_COUNTED_TOGETHER_MS: Final = 3_600_000  # failures that are one entry of the audit log

# A path of this site. "//host" and "/\host" are other sites to a browser, and it
# drops tabs and line breaks before it looks.
_LOCAL_PATH: Final = re.compile(r"/(?!/)[!-\[\]-~]*")


class TooManyAttemptsError(Exception):
    """The password was not looked at; the text says why and what to do."""

    def __init__(self, sentence: str, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A logged-in user, and the token their browser showed."""

    user: User
    token: str

    @property
    def form_token(self) -> str:
        """Return what each form carries; a page of another site cannot know it."""
        return hmac.digest(self.token.encode(), b"mbuzz form", "sha256").hex()

    @property
    def digest(self) -> str:
        """Return what is stored of the log-in."""
        return _digest(self.token)

    def may(self, permission: str) -> bool:
        """Tell whether the user's role has a permission of `mbuzz.server.roles`."""
        return may(self.user.role, permission)

    def sent(self, form_token: str) -> bool:
        """Tell whether a form came from a page of this log-in."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode())


class _Failure(NamedTuple):
    """A wrong password of somebody who is known."""

    account_id: int
    email: str
    now_ms: int


class Logins:
    """Begins, recognizes and ends log-ins; storage keeps a digest of their tokens."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        *,
        cost: passwords.Cost = passwords.COST,
        checks_at_once: int = _CHECKS_AT_ONCE,
        check_wait: float = _CHECK_WAIT,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._cost = cost
        self._checks = threading.BoundedSemaphore(checks_at_once)
        self._check_wait = check_wait
        self._attempts = Attempts(clock)

    def authenticate(self, email: str, password: str, address: str) -> User | None:
        """Return the user, or None if e-mail or password is wrong.

        Raises:
            TooManyAttemptsError: If there were too many from *address*, or too many
                log in at the same time.
        """
        with self._one_of_few():
            # Inside, so that a flood of made-up e-mails cannot push others out.
            seconds = self._attempts.take(email, address)
            if seconds:
                raise TooManyAttemptsError(
                    "Too many attempts for this e-mail address. "
                    f"Try again in {seconds} second{'s' if seconds > 1 else ''}.",
                    seconds,
                )
            user = self._storage.read(
                lambda stores: stores.accounts.user_by_email(email)
            )
            if user is not None and user.account.deleted_at_ms is not None:
                user = None
            stored = user.password_hash if user else None
            right = passwords.verify_password(password, stored, self._cost)
            if user is not None and right:
                self._renew_if_outdated(user, password)
        if user is not None and not right:
            self._count_failure(user)
        return user if right else None

    def hash_password(self, text: str) -> str:
        """Return what to store of a password.

        Raises:
            TooManyAttemptsError: If too many log in at the same time.
        """
        with self._one_of_few():
            return passwords.hash_password(text, self._cost)

    @contextmanager
    def _one_of_few(self) -> Iterator[None]:
        """Reckon with passwords two at a time: each takes time, and 32 MiB."""
        if not self._checks.acquire(timeout=self._check_wait):
            raise TooManyAttemptsError(
                "Many people are logging in right now. Try again in a moment.", 2
            )
        try:
            yield
        finally:
            self._checks.release()

    def _renew_if_outdated(self, user: User, password: str) -> None:
        """Keep the password as it would be kept if it were set now."""
        if not passwords.is_outdated(user.password_hash, self._cost):
            return
        hashed = passwords.hash_password(password, self._cost)
        account_id = user.account.id
        self._storage.write(
            lambda stores: stores.accounts.set_password(account_id, user.id, hashed)
        )

    def _count_failure(self, user: User) -> None:
        """Have it noted without waiting: an unknown e-mail takes no longer."""
        failure = _Failure(user.account.id, user.email, self._clock.now_ms())
        with suppress(StorageError):  # the answer is the same
            self._storage.submit(_note_failures, failure)

    def visit(self, request: Request) -> Visit | None:
        """Return who makes the request; None for somebody not logged in."""
        token = request.cookie(_cookie_name(request))
        if not token:
            return None
        now = self._clock.now_ms()
        user = self._storage.read(
            lambda stores: stores.accounts.user_by_login(_digest(token), now)
        )
        return Visit(user=user, token=token) if user else None

    def begin(self, user: User, request: Request) -> tuple[str, str]:
        """Log *user* in with a new token; return the header that sets its cookie."""
        token = ids.token(_TOKEN_BYTES)
        old = request.cookie(_cookie_name(request))
        now = self._clock.now_ms()

        def work(stores: Stores) -> None:
            if old:
                stores.accounts.delete_login(_digest(old))
            stores.accounts.create_login(
                user, _digest(token), now, now + _LASTS_SECONDS * 1000
            )
            stores.accounts.audit(user.account.id, now, user.email, "login", {})

        self._storage.write(work)
        return _set_cookie(request, token, _LASTS_SECONDS)

    def end(self, visit: Visit, request: Request) -> tuple[str, str]:
        """Forget a log-in; return the header that removes its cookie."""
        self._storage.write(lambda stores: stores.accounts.delete_login(visit.digest))
        return _set_cookie(request, "", 0)


def _note_failures(stores: Stores, failures: Sequence[_Failure]) -> list[None]:
    for account_id, email, now_ms in failures:
        since_ms = now_ms - _COUNTED_TOGETHER_MS
        stores.accounts.audit_again(account_id, now_ms, email, "login.failed", since_ms)
    return [None] * len(failures)


def is_forged(request: Request) -> bool:
    """Tell whether a page of another site made the browser send the request.

    A request without either header is no browser's of this decade, so nobody's
    cookies are with it. The scheme is not compared: behind a proxy it is not known.

    Source: Fetch Metadata and Origin as in Go's http.CrossOriginProtection.
    """
    site = request.header("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.header("Origin")
    if origin is None:
        return False
    try:
        host = urlsplit(origin).netloc.lower()
    except ValueError:
        return True
    return not host or host != request.host.lower()


def local_path(text: str | None) -> str:
    """Return *text* if it is a path of this site, else the front page."""
    return text if text and _LOCAL_PATH.fullmatch(text) else "/"


def login_path(request: Request) -> str:
    """Return where to log in, so as to come back to what was asked for."""
    query = str(request.environ.get("QUERY_STRING", ""))
    wanted = f"{request.path}?{query}" if query else request.path
    return f"/login?next={quote(wanted, safe='/')}"


def _digest(token: str) -> str:
    """Return what is stored of a token. 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def _cookie_name(request: Request) -> str:
    # Browsers take the prefix only with https; then no other host can plant it.
    return "__Host-mbuzz" if request.secure else "mbuzz_dashboard"


def _set_cookie(request: Request, value: str, max_age: int) -> tuple[str, str]:
    secure = "; Secure" if request.secure else ""
    attributes = f"Max-Age={max_age}; Path=/; HttpOnly{secure}; SameSite=Lax"
    return "Set-Cookie", f"{_cookie_name(request)}={value}; {attributes}"
