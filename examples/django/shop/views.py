"""The shop's views: sync ones, and an async one for the checkout."""

from decimal import Decimal

from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.views.decorators.http import require_GET, require_POST

import mbuzz

PRICES = {"shoes": Decimal("129.90"), "socks": Decimal("12.30")}


@require_GET
def home(request):
    links = "".join(f'<li><a href="/products/{name}">{name}</a>' for name in PRICES)
    return HttpResponse(f"<h1>Shop</h1><ul>{links}</ul>")


@require_GET
def product(request, name):
    if name not in PRICES:
        raise Http404
    return HttpResponse(
        f'<h1>{name}</h1><form method="post" action="/checkout">'
        f'<input type="hidden" name="csrfmiddlewaretoken" value="{get_token(request)}">'
        f'<input type="hidden" name="product" value="{name}">'
        '<input type="hidden" name="order" value="A-1">'
        f"<button>Buy for {PRICES[name]} USD</button></form>"
    )


@require_POST
def sign_up(request):
    user, plan = request.POST["user"], request.POST["plan"]
    # From here on, all that this visitor did and will do belongs to the user.
    mbuzz.identify(user, traits={"plan": plan})
    mbuzz.track("Signup", properties={"plan": plan})
    return HttpResponseRedirect("/")


@require_POST
def log_in(request):
    mbuzz.identify(request.POST["user"])
    if "guest" in request.POST:
        # An id that stood for the same person before the account existed.
        mbuzz.alias(request.POST["user"], request.POST["guest"])
    return HttpResponseRedirect("/")


@require_POST
async def checkout(request):
    # The order's id makes it count once, however often the form is sent.
    await mbuzz.aconversion(
        "purchase",
        revenue=PRICES[request.POST["product"]],
        currency="USD",
        order_id=request.POST["order"],
    )
    return HttpResponseRedirect("/")
