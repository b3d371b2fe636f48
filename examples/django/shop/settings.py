"""The settings of a project without a database."""

import os

MIDDLEWARE = [
    "mbuzz.contrib.django.MbuzzMiddleware",  # first: page views, cookies, the visitor
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
MBUZZ = {
    "API_KEY": os.environ.get("MBUZZ_API_KEY"),
    "API_URL": os.environ.get("MBUZZ_API_URL"),
}

ROOT_URLCONF = "shop.urls"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
SECRET_KEY = os.environ.get("SECRET_KEY", "for-development-only")
USE_TZ = True
