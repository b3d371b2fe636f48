"""The async twins of calls that may wait."""

from __future__ import annotations

import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


def twin(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return an async function that runs *function* without blocking the event loop."""

    @functools.wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        import asyncio

        return await asyncio.to_thread(function, *args, **kwargs)

    run.__name__ = f"a{function.__name__}"
    run.__doc__ = f"Do `{function.__name__}` without blocking the event loop."
    return run
