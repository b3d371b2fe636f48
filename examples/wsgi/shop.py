"""A shop in plain WSGI, without any framework."""

import os
from decimal import Decimal
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

import mbuzz
from mbuzz.contrib.wsgi import MbuzzMiddleware

PRICES = {"shoes": Decimal("129.90"), "socks": Decimal("12.30")}


def home(start_response):
    links = "".join(f'<li><a href="/products/{name}">{name}</a>' for name in PRICES)
    return page(start_response, f"<h1>Shop</h1><ul>{links}</ul>")


def product(start_response, name):
    return page(start_response, f"<h1>{name}</h1><p>{PRICES[name]} USD</p>")


def sign_up(start_response, form):
    # From here on, all that this visitor did and will do belongs to the user.
    mbuzz.identify(form["user"], traits={"plan": form["plan"]})
    mbuzz.track("Signup", properties={"plan": form["plan"]})
    return see(start_response, "/")


def log_in(start_response, form):
    mbuzz.identify(form["user"])
    if "guest" in form:
        # An id that stood for the same person before the account existed.
        mbuzz.alias(form["user"], form["guest"])
    return see(start_response, "/")


def checkout(start_response, form):
    # The order's id makes it count once, however often the form is sent.
    mbuzz.conversion(
        "purchase",
        revenue=PRICES[form["product"]],
        currency="USD",
        order_id=form["order"],
    )
    return see(start_response, "/")


ACTIONS = {"/sign-up": sign_up, "/log-in": log_in, "/checkout": checkout}


def shop(environ, start_response):
    path = environ["PATH_INFO"]
    if environ["REQUEST_METHOD"] == "POST" and path in ACTIONS:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        return ACTIONS[path](start_response, form)
    name = path.removeprefix("/products/")
    if name in PRICES:
        return product(start_response, name)
    return home(start_response)


def page(start_response, body):
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [f'<!doctype html><html lang="en"><title>Shop</title>{body}'.encode()]


def see(start_response, path):
    start_response("303 See Other", [("Location", path), ("Content-Length", "0")])
    return [b""]


app = MbuzzMiddleware(shop)  # page views, cookies, and who is being served

if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
