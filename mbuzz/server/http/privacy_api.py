"""The routes by which people's data is erased and exported; for admin keys."""

from __future__ import annotations

from mbuzz import protocol
from mbuzz.clock import Clock, iso
from mbuzz.server.http.access import KeyRoute
from mbuzz.server.http.errors import HttpError, unprocessable
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, json_response
from mbuzz.server.privacy.erasure import Find, erase
from mbuzz.server.privacy.export import export
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.privacy_port import Erasure, NamedId
from mbuzz.server.storage.rows.accounts import ApiKey


class PrivacyApi:
    """Erases and exports visitors and users."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def routes(self) -> list[KeyRoute]:
        """Return the routes."""
        table = [
            ("DELETE", "/visitors/{id}", self.erase_visitor),
            ("GET", "/visitors/{id}/export", self.export_visitor),
            ("DELETE", "/users/{id}", self.erase_user),
            ("DELETE", "/users", self.erase_user_of_query),
            ("GET", "/users/{id}/export", self.export_user),
            ("GET", "/users/export", self.export_user_of_query),
            ("GET", "/jobs/{id}", self.job),
        ]
        return [
            KeyRoute(method=method, path=path, handler=handler, scope="admin")
            for method, path, handler in table
        ]

    # -- erasing --

    def erase_visitor(self, request: Request, key: ApiKey) -> Response:
        """Erase one browser's history."""
        return self._erase(key, *_visitor(request, key))

    def erase_user(self, request: Request, key: ApiKey) -> Response:
        """Erase a person, with all user ids and browsers."""
        return self._erase(key, *_user(key, request.parameters["id"]))

    def erase_user_of_query(self, request: Request, key: ApiKey) -> Response:
        """Erase a person by the e-mail address, or by an id that no path can hold."""
        return self._erase(key, *_user_of_query(request, key))

    def _erase(self, key: ApiKey, find: Find, named: NamedId | None) -> Response:
        erasure = erase(self._storage, self._clock, key.tenant, find, named, key.actor)
        if erasure is None:
            raise _nobody()
        status = 200 if erasure.status == "done" else 202
        return json_response(_erasure_body(erasure), status)

    def job(self, request: Request, key: ApiKey) -> Response:
        """Say how far an erasure is."""
        job_id = request.parameters["id"]
        erasure = self._storage.read(
            lambda stores: stores.privacy.erasure(key.tenant, job_id)
        )
        if erasure is None:
            raise HttpError(404, "not_found", "there is no such job here")
        return json_response(_erasure_body(erasure))

    # -- exporting --

    def export_visitor(self, request: Request, key: ApiKey) -> Response:
        """Say all that is stored of a browser."""
        return self._export(request, key, _visitor(request, key)[0])

    def export_user(self, request: Request, key: ApiKey) -> Response:
        """Say all that is stored of a person."""
        return self._export(request, key, _user(key, request.parameters["id"])[0])

    def export_user_of_query(self, request: Request, key: ApiKey) -> Response:
        """Say it of a person by the e-mail address, or by an id in the query."""
        return self._export(request, key, _user_of_query(request, key)[0])

    def _export(self, request: Request, key: ApiKey, find: Find) -> Response:
        after = _row(request.query().get("events_after"))
        now_ms = self._clock.now_ms()

        def read(stores: Stores) -> dict[str, object] | None:
            person = find(stores)
            if person is None:
                return None
            return export(stores, key.tenant, person, now_ms, after)

        def note(stores: Stores) -> None:
            stores.accounts.audit(
                key.account.id,
                now_ms,
                key.actor,
                "data.export",
                {"environment": key.tenant.environment},
            )

        document = self._storage.read(read)
        if document is None:
            raise _nobody()
        self._storage.write(note)
        return json_response(document, headers=(("Cache-Control", "no-store"),))


def _visitor(request: Request, key: ApiKey) -> tuple[Find, NamedId]:
    visitor_id = request.parameters["id"]
    return (
        lambda stores: stores.privacy.person_of_visitor(key.tenant, visitor_id),
        ("visitor", visitor_id),
    )


def _user(key: ApiKey, user_id: str) -> tuple[Find, NamedId]:
    return (
        lambda stores: stores.privacy.person_of_user(key.tenant, user_id),
        ("user", user_id),
    )


def _user_of_query(request: Request, key: ApiKey) -> tuple[Find, NamedId | None]:
    query = request.query()
    email, user_id = query.get("email", "").strip(), query.get("user_id", "")
    if bool(email) == bool(user_id):
        raise unprocessable(["give either email or user_id in the query"])
    if len(email or user_id) > protocol.MAX_USER_ID:
        raise unprocessable([f"an id has at most {protocol.MAX_USER_ID} characters"])
    if user_id:
        return _user(key, user_id)
    return (lambda stores: stores.privacy.person_of_email(key.tenant, email)), None


def _row(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise unprocessable(
            ["events_after must be the next_events_after of the document before"]
        )
    return int(text)


def _nobody() -> HttpError:
    return HttpError(404, "not_found", "nobody of that id is known here")


def _erasure_body(erasure: Erasure) -> dict[str, object]:
    finished = erasure.finished_at_ms
    return {
        "job_id": erasure.public_id,
        "status": erasure.status,
        "created_at": iso(erasure.created_at_ms),
        "finished_at": iso(finished) if finished is not None else None,
        "erased": dict(erasure.counts),
    }
