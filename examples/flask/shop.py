"""A shop in Flask, made by an application factory."""

from decimal import Decimal

from flask import Flask, abort, redirect, request

import mbuzz
from mbuzz.contrib.flask import Mbuzz

PRICES = {"shoes": Decimal("129.90"), "socks": Decimal("12.30")}


def create_app():
    app = Flask(__name__)
    Mbuzz(app)  # page views, cookies, and who is being served

    @app.get("/")
    def home():
        links = "".join(f'<li><a href="/products/{name}">{name}</a>' for name in PRICES)
        return f"<h1>Shop</h1><ul>{links}</ul>"

    @app.get("/products/<name>")
    def product(name):
        if name not in PRICES:
            abort(404)
        return f"<h1>{name}</h1><p>{PRICES[name]} USD</p>"

    @app.post("/sign-up")
    def sign_up():
        user, plan = request.form["user"], request.form["plan"]
        # From here on, all that this visitor did and will do belongs to the user.
        mbuzz.identify(user, traits={"plan": plan})
        mbuzz.track("Signup", properties={"plan": plan})
        return redirect("/", 303)

    @app.post("/log-in")
    def log_in():
        mbuzz.identify(request.form["user"])
        if "guest" in request.form:
            # An id that stood for the same person before the account existed.
            mbuzz.alias(request.form["user"], request.form["guest"])
        return redirect("/", 303)

    @app.post("/checkout")
    def checkout():
        # The order's id makes it count once, however often the form is sent.
        mbuzz.conversion(
            "purchase",
            revenue=PRICES[request.form["product"]],
            currency="USD",
            order_id=request.form["order"],
        )
        return redirect("/", 303)

    return app
