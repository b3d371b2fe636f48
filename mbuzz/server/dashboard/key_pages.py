"""The routes of the page of API keys; what the role may do is checked at its doors."""

from __future__ import annotations

from mbuzz.clock import Clock
from mbuzz.server.dashboard.doors import Doors
from mbuzz.server.dashboard.key_page import key_page
from mbuzz.server.dashboard.login import Visit
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, html_response, redirect
from mbuzz.server.http.routes import Route
from mbuzz.server.ingestion import keys
from mbuzz.server.roles import KEYS
from mbuzz.server.storage.port import Storage

_DAY_MS = 86_400_000
_MOST_DAYS = 3_650
_MAX_NAME = 100


class KeyPages:
    """Shows, makes and revokes the keys of the visitor's own account."""

    def __init__(self, storage: Storage, clock: Clock, doors: Doors) -> None:
        self._storage = storage
        self._clock = clock
        self._doors = doors

    def routes(self) -> list[Route]:
        """Return the routes."""
        reading, writing = self._doors.reading, self._doors.writing
        return [
            Route(method="GET", path="/keys", handler=reading(KEYS, self.show)),
            Route(method="POST", path="/keys", handler=writing(KEYS, self.make)),
            Route(
                method="POST", path="/keys/revoke", handler=writing(KEYS, self.revoke)
            ),
        ]

    def show(self, _request: Request, visit: Visit) -> Response:
        """Show the keys."""
        return self._page(visit)

    def make(self, request: Request, visit: Visit) -> Response:
        """Make a key and show it, this once."""
        form = request.form()
        scopes = [scope for scope in keys.SCOPES if f"scope_{scope}" in form]
        now = self._clock.now_ms()
        name = form.get("name", "").strip()
        try:
            expires = _expires(form.get("days", "").strip(), now)
            keys.check_scopes(scopes)
            if len(name) > _MAX_NAME:
                raise ValueError(f"a name has up to {_MAX_NAME} characters")
        except ValueError as error:
            return self._page(visit, problem=_sentence(error), status=422)
        _, text = self._storage.write(
            lambda stores: keys.create(
                stores.accounts,
                visit.user.account,
                live=form.get("data") == "live",
                name=name,
                now_ms=now,
                scopes=scopes,
                expires_at_ms=expires,
                actor=visit.user.email,
            )
        )
        return self._page(visit, made=text)

    def revoke(self, request: Request, visit: Visit) -> Response:
        """End a key; one that is not there, or not theirs, changes nothing."""
        public_id = request.form().get("key", "")
        self._storage.write(
            lambda stores: keys.revoke(
                stores.accounts,
                visit.user.account,
                public_id,
                now_ms=self._clock.now_ms(),
                actor=visit.user.email,
            )
        )
        return redirect("/keys")

    def _page(
        self,
        visit: Visit,
        *,
        made: str | None = None,
        problem: str | None = None,
        status: int = 200,
    ) -> Response:
        account_id = visit.user.account.id
        found = self._storage.read(lambda stores: stores.accounts.keys(account_id))
        now = self._clock.now_ms()
        page = key_page(visit, found, now, made=made, problem=problem)
        return html_response(page, status)


def _expires(days: str, now_ms: int) -> int | None:
    if not days:
        return None
    if not (days.isascii() and days.isdigit() and 1 <= int(days[:9]) <= _MOST_DAYS):
        raise ValueError(f"a key ends after 1 to {_MOST_DAYS} days, got {days[:20]!r}")
    return now_ms + int(days) * _DAY_MS


def _sentence(error: ValueError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
