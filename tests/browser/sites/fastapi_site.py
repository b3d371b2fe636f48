"""The site in FastAPI."""

import asyncio

from fastapi import FastAPI, Request, Response

import mbuzz
from mbuzz.contrib.asgi import MbuzzMiddleware
from tests.browser.pages import OPTIONS, Asked, answer

mbuzz.configure(**OPTIONS)
app = FastAPI()
app.add_middleware(MbuzzMiddleware)


@app.api_route("/{path:path}", methods=["GET", "POST"])
async def page(path: str, request: Request) -> Response:
    asked = Asked(
        method=request.method,
        path=f"/{path}",
        query=request.url.query,
        headers=dict(request.headers),
        body=await request.body(),
    )
    if asked.path == "/flush":
        found = await asyncio.to_thread(answer, asked)
    else:
        found = answer(asked)
    return Response(
        found.body, found.status, headers=dict(found.headers), media_type=found.type
    )
