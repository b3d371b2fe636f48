"""Views that know, load, or never ask for the user."""

from types import SimpleNamespace

from django.contrib import auth
from django.http import HttpResponse
from django.urls import path

import mbuzz


def public(request):
    return HttpResponse("public")


async def apublic(request):
    return HttpResponse("public")


def private(request):
    return HttpResponse(f"hello {request.user.username}")


async def aprivate(request):
    return HttpResponse(f"hello {(await request.auser()).username}")


def log_in(request):
    assert request.user.is_anonymous
    auth.login(request, auth.get_user_model().objects.get())
    return HttpResponse("in")


def log_out(request):
    assert request.user.is_authenticated
    auth.logout(request)
    return HttpResponse("out")


def by_token(request):
    """Do what Django REST framework does for a user without a model."""
    assert request.user.is_anonymous
    request.user = SimpleNamespace(is_authenticated=True, id="token-7")
    return HttpResponse("hello")


class Slotted:
    """A user of somebody's own making."""

    __slots__ = ("is_authenticated", "pk")

    def __init__(self):
        self.is_authenticated, self.pk = True, "slotted-7"


def by_slots(request):
    request.user = Slotted()
    return HttpResponse("hello")


def count(request):
    mbuzz.track("Counted")
    return HttpResponse("counted")


urlpatterns = [
    path("public", public),
    path("apublic", apublic),
    path("private", private),
    path("aprivate", aprivate),
    path("log-in", log_in),
    path("log-out", log_out),
    path("by-token", by_token),
    path("by-slots", by_slots),
    path("count", count),
]
