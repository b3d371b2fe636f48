"""A shop in Starlette; its forms send JSON."""

from decimal import Decimal

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route

import mbuzz
from mbuzz.contrib.asgi import MbuzzMiddleware

PRICES = {"shoes": Decimal("129.90"), "socks": Decimal("12.30")}


async def home(request):
    links = "".join(f'<li><a href="/products/{name}">{name}</a>' for name in PRICES)
    return HTMLResponse(f"<h1>Shop</h1><ul>{links}</ul>")


async def product(request):
    name = request.path_params["name"]
    if name not in PRICES:
        raise HTTPException(404)
    return HTMLResponse(f"<h1>{name}</h1><p>{PRICES[name]} USD</p>")


async def sign_up(request):
    form = await request.json()
    # From here on, all that this visitor did and will do belongs to the user.
    mbuzz.identify(form["user"], traits={"plan": form["plan"]})
    mbuzz.track("Signup", properties={"plan": form["plan"]})
    return RedirectResponse("/", 303)


async def log_in(request):
    form = await request.json()
    mbuzz.identify(form["user"])
    if "guest" in form:
        # An id that stood for the same person before the account existed.
        mbuzz.alias(form["user"], form["guest"])
    return RedirectResponse("/", 303)


async def checkout(request):
    form = await request.json()
    # The order's id makes it count once, however often the form is sent.
    await mbuzz.aconversion(
        "purchase",
        revenue=PRICES[form["product"]],
        currency="USD",
        order_id=form["order"],
    )
    return RedirectResponse("/", 303)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/products/{name}", product),
        Route("/sign-up", sign_up, methods=["POST"]),
        Route("/log-in", log_in, methods=["POST"]),
        Route("/checkout", checkout, methods=["POST"]),
    ],
    middleware=[Middleware(MbuzzMiddleware)],  # page views, cookies, the visitor
)
