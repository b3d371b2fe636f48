"""A Django site in this process, for the tests of the adapter: settings and views."""

import logging

import django
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import re_path

from tests.contrib.cases import Case, call_asgi, call_wsgi

KEY = "sk_test_" + "0" * 32
OURS = "mbuzz.contrib.django.MbuzzMiddleware"

settings.configure(
    ALLOWED_HOSTS=["shop.example"],
    INSTALLED_APPS=["mbuzz.contrib.django"],
    MIDDLEWARE=[OURS],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests only",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": ["django.template.context_processors.request"]
            },
        }
    ],
)
django.setup()

answering = {"case": Case()}


def view(request):
    return _respond(answering["case"])


async def async_view(request):
    return _respond(answering["case"], asynchronous=True)


def _respond(case, *, asynchronous=False):
    if isinstance(case, HttpResponse):
        return case
    if callable(case):
        return case()
    case.does()
    kind = StreamingHttpResponse if case.streamed else HttpResponse
    content = case.chunks if not asynchronous else _later(case.chunks)
    if not case.streamed:
        content = b"".join(case.chunks)
    response = kind(content, status=case.status)
    del response["Content-Type"]
    for name, value in case.answer:
        response[name] = value
    return response


async def _later(chunks):
    for chunk in chunks:
        yield chunk


urlpatterns = [re_path("^async", async_view), re_path("", view)]


ASYNC_URLS = (re_path("", async_view),)


def serve(case, answer=None):
    """Serve *case* by the WSGI stack."""
    answering["case"] = answer or case
    return call_wsgi(WSGIHandler(), case)


def aserve(case, answer=None):
    """Serve *case* by the ASGI stack."""
    answering["case"] = answer or case
    with override_settings(ROOT_URLCONF=ASYNC_URLS):
        return call_asgi(ASGIHandler(), case)


STACKS = pytest.mark.parametrize("serving", [serve, aserve], ids=["wsgi", "asgi"])


@pytest.fixture(autouse=True)
def quiet_django(monkeypatch):
    """Let caplog hold what mbuzz says, and not Django's word on each 404."""
    monkeypatch.setattr(logging.getLogger("django"), "disabled", True)
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)
