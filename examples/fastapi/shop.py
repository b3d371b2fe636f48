"""A shop in FastAPI: sync and async path operations; its forms send JSON."""

from decimal import Decimal

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel

import mbuzz
from mbuzz.contrib.asgi import MbuzzMiddleware

PRICES = {"shoes": Decimal("129.90"), "socks": Decimal("12.30")}

app = FastAPI()
app.add_middleware(MbuzzMiddleware)  # page views, cookies, and who is being served


class SignUp(BaseModel):
    user: str
    plan: str


class LogIn(BaseModel):
    user: str
    guest: str | None = None


class Order(BaseModel):
    product: str
    order: str


@app.get("/", response_class=HTMLResponse)
async def home():
    links = "".join(f'<li><a href="/products/{name}">{name}</a>' for name in PRICES)
    return f"<h1>Shop</h1><ul>{links}</ul>"


@app.get("/products/{name}", response_class=HTMLResponse)
async def product(name: str):
    if name not in PRICES:
        raise HTTPException(404)
    return f"<h1>{name}</h1><p>{PRICES[name]} USD</p>"


@app.post("/sign-up")
def sign_up(form: SignUp):
    # From here on, all that this visitor did and will do belongs to the user.
    mbuzz.identify(form.user, traits={"plan": form.plan})
    mbuzz.track("Signup", properties={"plan": form.plan})
    return RedirectResponse("/", 303)


@app.post("/log-in")
def log_in(form: LogIn):
    mbuzz.identify(form.user)
    if form.guest is not None:
        # An id that stood for the same person before the account existed.
        mbuzz.alias(form.user, form.guest)
    return RedirectResponse("/", 303)


@app.post("/checkout")
async def checkout(form: Order):
    # The order's id makes it count once, however often the form is sent.
    await mbuzz.aconversion(
        "purchase",
        revenue=PRICES[form.product],
        currency="USD",
        order_id=form.order,
    )
    return RedirectResponse("/", 303)
