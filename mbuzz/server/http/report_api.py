"""The routes that read: reports as JSON or CSV."""

from __future__ import annotations

from collections.abc import Mapping

from mbuzz.clock import Clock
from mbuzz.server import money
from mbuzz.server.http.access import KeyRoute
from mbuzz.server.http.errors import unprocessable
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, json_response, text_response
from mbuzz.server.reporting.channels import channel_report
from mbuzz.server.reporting.export import (
    quality_as_dict,
    report_as_csv,
    report_as_dict,
)
from mbuzz.server.reporting.period import Period
from mbuzz.server.reporting.quality import data_quality
from mbuzz.server.storage.port import Storage
from mbuzz.server.storage.rows.accounts import ApiKey


class ReportApi:
    """Answers with what was earned, and by what."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def routes(self) -> list[KeyRoute]:
        """Return the routes."""
        return [
            KeyRoute(
                method="GET",
                path="/reports/channels",
                handler=self.report_channels,
                scope="read",
            ),
            KeyRoute(
                method="GET",
                path="/reports/quality",
                handler=self.report_quality,
                scope="read",
            ),
        ]

    def report_channels(self, request: Request, key: ApiKey) -> Response:
        """Say what each channel earned under each model."""
        query = request.query()
        form = query.get("format", "")
        if form not in ("", "csv", "json"):
            raise unprocessable([f"format must be csv or json, got {form[:40]!r}"])
        try:
            period = self._period(query, key)
            models = [name for name in query.get("model", "").split(",") if name]
            currency = query.get("currency")
            booked = query.get("refunds_booked_on", "conversion")
            if booked not in ("conversion", "refund"):
                raise ValueError(
                    f"refunds_booked_on must be conversion or refund, got {booked!r}"
                )
            report = self._storage.read(
                lambda stores: channel_report(
                    stores.reports,
                    key.tenant,
                    period,
                    default_currency=key.account.currency,
                    currency=money.currency_code(currency) if currency else None,
                    models=models,
                    known=key.account.policy.models,
                    by_refund=booked == "refund",
                )
            )
        except ValueError as error:
            raise unprocessable([str(error)]) from None
        accepted = request.header("Accept") or ""
        if form == "csv" or (not form and "text/csv" in accepted):
            return text_response(report_as_csv(report), "text/csv")
        return json_response(report_as_dict(report))

    def _period(self, query: Mapping[str, str], key: ApiKey) -> Period:
        return Period.parse(
            query.get("from"),
            query.get("to"),
            key.account.timezone,
            self._clock.now_ms(),
        )

    def report_quality(self, request: Request, key: ApiKey) -> Response:
        """Say what of the data deserves a look."""
        query = request.query()
        try:
            period = self._period(query, key)
        except ValueError as error:
            raise unprocessable([str(error)]) from None
        found = self._storage.read(
            lambda stores: data_quality(stores.reports, key.tenant, period)
        )
        return json_response(quality_as_dict(found))
