"""What the tracking calls return: truthy when the event was taken, else why not."""

from __future__ import annotations

from collections.abc import Mapping

from mbuzz.values import Frozen


class _Result(Frozen):
    """True when it succeeded, and readable like a mapping."""

    success: bool
    error: str | None = None

    def __bool__(self) -> bool:
        return self.success

    @property
    def message(self) -> str | None:
        """Return what to do about `error`, in one sentence; None on success."""
        if self.error is None:
            return None
        from mbuzz.explanations import explain

        return explain(self.error)

    def __getitem__(self, name: str) -> object:
        if name in tuple(self.fields()):
            return getattr(self, name)
        raise KeyError(name)


class TrackResult(_Result):
    """The answer to `track` and `page`; also readable as ``result["event_id"]``."""

    success: bool
    event_id: str | None = None
    error: str | None = None  # a machine word, such as "missing_identity"


class ConversionResult(_Result):
    """The answer to `conversion`; `attribution` is None until the server has said it.

    `attribution` maps a model's name to its credits, as the server sent them.
    """

    success: bool
    conversion_id: str | None = None
    attribution: Mapping[str, object] | None = None
    duplicate: bool = False
    error: str | None = None


def tracked(event_id: str) -> TrackResult:
    """Return a success; built without keywords, since every call makes one."""
    result = object.__new__(TrackResult)
    values = result.__dict__
    values["success"] = True
    values["event_id"] = event_id
    return result


def converted(item_id: str, said: Mapping[str, object]) -> ConversionResult:
    """Return what the server has *said* of a conversion that it took."""
    credits_ = said.get("attribution_credits")
    return ConversionResult(
        success=True,
        conversion_id=str(said.get("conversion_id") or item_id),
        attribution=credits_ if isinstance(credits_, dict) else None,
        duplicate=said.get("duplicate") is True,
    )
