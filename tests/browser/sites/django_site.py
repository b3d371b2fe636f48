"""The site in Django, settings and all; its view is async where SITE_ASYNC is set."""

import os

from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.urls import re_path

from tests.browser.pages import OPTIONS, Asked, answer

MIDDLEWARE = [
    "mbuzz.contrib.django.MbuzzMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
MBUZZ = {name.upper(): OPTIONS[name] for name in OPTIONS}
ROOT_URLCONF = __name__
ALLOWED_HOSTS = ["127.0.0.1"]
SECRET_KEY = "for-tests-only"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
USE_TZ = True


def page(request):
    found = answer(
        Asked(
            method=request.method,
            path=request.path,
            query=request.META["QUERY_STRING"],
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.body,
        )
    )
    return HttpResponse(
        found.body,
        status=found.status,
        headers=found.headers,
        content_type=found.type,
    )


async def page_async(request):
    return await sync_to_async(page)(request)


urlpatterns = [re_path("", page_async if "SITE_ASYNC" in os.environ else page)]
