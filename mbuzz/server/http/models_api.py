"""The routes of attribution models: all there are, an account's own, and a preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from mbuzz.clock import Clock
from mbuzz.server import money
from mbuzz.server.attribution.models import Model
from mbuzz.server.http.access import KeyRoute
from mbuzz.server.http.errors import HttpError, unprocessable
from mbuzz.server.http.model_bodies import (
    definition_body,
    in_full,
    model_body,
    program_error_body,
    samples_body,
    training_body,
    tried_body,
    version_body,
)
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, json_response
from mbuzz.server.model_definitions import JOURNEYS, Definition, definition_of
from mbuzz.server.model_requests import FIELDS, ModelRefusedError, described
from mbuzz.server.reporting.period import Period
from mbuzz.server.storage.model_port import Recredit, TrainingRow
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.rows.accounts import Account, ApiKey
from mbuzz.server.tracking import models
from mbuzz.server.tracking.preview import as_model, try_out

T = TypeVar("T")

_MOST_TRIED: Final = 2_000  # conversions of a preview ...
_NO_VERSION: Final = 10**18  # more than storage can ask for
_TRIED: Final = 500  # ... and if nobody says how many
# What a preview may be asked beside what a model may be.
_ASKED: Final = (
    *("model", "version", "compare", "from", "to", "currency", "conversions"),
)


class ModelsApi:
    """Says which models an account has, and lets it make its own."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def routes(self) -> list[KeyRoute]:
        """Return the routes."""
        one = "/attribution_models/{id}"
        table = [
            ("GET", "/attribution_models", self.list_models, "read"),
            ("POST", "/attribution_models", self.make, "admin"),
            ("POST", "/attribution_models/preview", self.preview, "read"),
            ("GET", one, self.show, "read"),
            ("PATCH", one, self.change, "admin"),
            ("DELETE", one, self.delete, "admin"),
            ("GET", f"{one}/versions", self.list_versions, "read"),
        ]
        return [
            KeyRoute(method=method, path=path, handler=handler, scope=scope)
            for method, path, handler, scope in table
        ]

    def list_models(self, _request: Request, key: ApiKey) -> Response:
        """List all models, the account's own after those that everybody knows."""

        def work(stores: Stores) -> list[dict[str, object]]:
            known = _account(stores, key).policy.models.definitions.values()
            return [model_body(one, *_progress(stores, key, one)) for one in known]

        return json_response({"attribution_models": self._storage.read(work)})

    def show(self, request: Request, key: ApiKey) -> Response:
        """Tell all about a model, as it is or as a version of it was."""
        version = request.query().get("version")
        if version is not None and not version.isdecimal():
            raise unprocessable([f"version must be a number, got {version[:40]!r}"])

        def work(stores: Stores) -> dict[str, object]:
            if version is not None:
                return _version(stores, request, key, int(version[:18]))
            definition = _named(stores, request, key)
            training, recredit = _progress(stores, key, definition)
            if training is not None:
                training = stores.models.training(key.tenant, definition.key)
            return in_full(definition, training, recredit)

        return json_response(self._storage.read(work))

    def list_versions(self, request: Request, key: ApiKey) -> Response:
        """List what a model was, and what it learned when, the latest first."""

        def work(stores: Stores) -> dict[str, object]:
            name = request.parameters["id"]
            definition = _account(stores, key).policy.models.definitions.get(name)
            versions = stores.accounts.model_versions(key.account.id, name)
            if definition is None and not versions:
                raise _unknown(name)
            trained = stores.models.training_versions(key.tenant, name)
            return {
                "versions": [version_body(one) for one in versions],
                "trainings": [training_body(one) for one in trained],
            }

        return json_response(self._storage.read(work))

    def make(self, request: Request, key: ApiKey) -> Response:
        """Make a model of the account's own."""
        body = request.json_object()

        def work(stores: Stores) -> dict[str, object]:
            made = models.make(
                stores,
                _account(stores, key),
                body,
                actor=key.actor,
                now_ms=self._clock.now_ms(),
            )
            return in_full(made, *_progress(stores, key, made))

        return json_response(_refusing(lambda: self._storage.write(work)), 201)

    def change(self, request: Request, key: ApiKey) -> Response:
        """Change a model of the account's own, or switch any off or on."""
        body = request.json_object()

        def work(stores: Stores) -> dict[str, object]:
            now = models.change(
                stores,
                _account(stores, key),
                _named(stores, request, key),
                body,
                actor=key.actor,
                now_ms=self._clock.now_ms(),
            )
            return in_full(now, *_progress(stores, key, now))

        return json_response(_refusing(lambda: self._storage.write(work)))

    def delete(self, request: Request, key: ApiKey) -> Response:
        """Delete a model of the account's own, and all credit under it."""

        def work(stores: Stores) -> dict[str, object]:
            definition = _named(stores, request, key)
            if not definition.own:
                raise HttpError(
                    409,
                    "conflict",
                    f"{definition.key} is known to everybody and cannot be deleted; "
                    'it can be switched off with PATCH and {"active": false}',
                )
            models.delete(
                stores,
                _account(stores, key),
                definition,
                actor=key.actor,
                now_ms=self._clock.now_ms(),
            )
            return {"id": definition.key, "deleted": True}

        return json_response(self._storage.write(work))

    def preview(self, request: Request, key: ApiKey) -> Response:
        """Try a model out, on samples and on real conversions beside another one."""
        body = request.json_object()
        unknown = [name for name in body if name not in (*_ASKED, *FIELDS)]
        if unknown:
            raise unprocessable(
                [
                    f"{name[:60]} is not known here; see /openapi.json"
                    for name in unknown
                ]
            )

        def work(stores: Stores) -> dict[str, object]:
            return self._previewed(stores, body, key)

        return json_response(_refusing(lambda: self._storage.read(work)))

    def _previewed(
        self, stores: Stores, body: Mapping[str, object], key: ApiKey
    ) -> dict[str, object]:
        account = _account(stores, key)
        known = account.policy.models.definitions
        compared = known.get(str(body.get("compare", JOURNEYS)))
        if compared is None:
            raise ValueError(f"compare must be one of {', '.join(known)}")
        currency = account.currency
        if body.get("currency") is not None:
            currency = money.currency_code(body["currency"])
        period = Period.parse(
            _text(body, "from"),
            _text(body, "to"),
            account.timezone,
            self._clock.now_ms(),
        )
        most = _count(body)
        pair = [
            self._tried(stores, body, account, key),
            as_model(stores, key.tenant, compared),
        ]
        span = period.from_ms, period.to_ms
        tried = try_out(stores, key.tenant, account.policy, pair, span, currency, most)
        definition, model = pair[0]
        return {
            "model": definition_body(definition),
            "samples": samples_body(model),
            "real": {
                "from": period.first.isoformat(),
                "to": period.last.isoformat(),
                "compared_with": compared.key,
                **tried_body(tried, currency),
            },
        }

    def _tried(
        self,
        stores: Stores,
        body: Mapping[str, object],
        account: Account,
        key: ApiKey,
    ) -> tuple[Definition, Model]:
        """Return what *body* wants tried: one that there is, or was, or could be."""
        name, version = body.get("model"), body.get("version")
        if name is None:
            if version is not None:
                raise ValueError("version is of a model that there is; give model, too")
            return as_model(
                stores,
                key.tenant,
                described({k: v for k, v in body.items() if k in FIELDS}),
            )
        if any(field in body for field in FIELDS):
            raise ValueError("give either model, or what a model could be; not both")
        if version is not None and (
            not isinstance(version, int)
            or isinstance(version, bool)
            or not 0 < version < _NO_VERSION
        ):
            raise ValueError(f"version must be a number, got {version!r}"[:100])
        found = account.policy.models.definitions.get(str(name))
        if found is not None and (version is None or found.learns):
            return as_model(stores, key.tenant, found, version)
        for one in stores.accounts.model_versions(account.id, str(name)):
            if one.version == version:
                return as_model(stores, key.tenant, definition_of(one.definition))
        if found is not None and version == found.version:
            return as_model(stores, key.tenant, found)
        raise _unknown(str(name))


def _account(stores: Stores, key: ApiKey) -> Account:
    """Return the key's account as it is in this transaction."""
    return stores.accounts.account(key.account.id)


def _named(stores: Stores, request: Request, key: ApiKey) -> Definition:
    name = request.parameters["id"]
    found = _account(stores, key).policy.models.definitions.get(name)
    if found is None:
        raise _unknown(name)
    return found


def _unknown(name: str) -> HttpError:
    return HttpError(
        404,
        "not_found",
        f"there is no attribution model {name[:80]} here, or not in that version; "
        "GET /api/v1/attribution_models lists them",
    )


def _progress(
    stores: Stores, key: ApiKey, definition: Definition
) -> tuple[TrainingRow | None, Recredit | None]:
    """Return how far a model is, of the key's environment."""
    training = None
    if definition.learns:
        training = stores.models.last_training(key.tenant, definition.key)
    open_ = {one.model: one for one in stores.models.recredits(key.tenant)}
    return training, open_.get(definition.key)


def _version(
    stores: Stores, request: Request, key: ApiKey, version: int
) -> dict[str, object]:
    """Return a model as it was, or what it had learned then."""
    name = request.parameters["id"]
    definition = _account(stores, key).policy.models.definitions.get(name)
    if definition is not None and definition.learns:
        training = stores.models.training(key.tenant, name, version)
        if training is None:
            raise _unknown(name)
        return in_full(definition_of(training.definition), training, None)
    for one in stores.accounts.model_versions(key.account.id, name):
        if one.version == version:
            return in_full(definition_of(one.definition), None, None)
    if definition is not None and definition.version == version:
        return in_full(definition, None, None)
    raise _unknown(name)


def _refusing(work: Callable[[], T]) -> T:
    """Do *work*; what was asked for and cannot be is said in the answer.

    Raises:
        HttpError: If it was refused.
    """
    try:
        return work()
    except ModelRefusedError as error:
        answer = unprocessable(error.errors)
        if error.program is not None:
            answer.details = [program_error_body(error.program)]
        raise answer from None
    except ValueError as error:
        raise unprocessable([str(error)]) from None


def _text(body: Mapping[str, object], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(
            f"{name} must be a date such as 2026-08-01, got {value!r}"[:100]
        )
    return value


def _count(body: Mapping[str, object]) -> int:
    count = body.get("conversions", _TRIED)
    whole = isinstance(count, int) and not isinstance(count, bool)
    if not whole or not 1 <= count <= _MOST_TRIED:  # type: ignore[operator]
        raise ValueError(f"conversions must be 1 to {_MOST_TRIED}, got {count!r}"[:100])
    return count  # type: ignore[return-value]
