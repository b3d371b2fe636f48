"""A project as `startproject` makes it, as far as mbuzz can tell."""

import os

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "people",
    "mbuzz.contrib.django",
]
MIDDLEWARE = [
    "mbuzz.contrib.django.MbuzzMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
if os.environ.get("ORDER") == "wrong":
    MIDDLEWARE = ["django.middleware.cache.UpdateCacheMiddleware", *MIDDLEWARE]
MBUZZ = {"API_KEY": os.environ.get("KEY")}
if os.environ.get("OFF"):
    MBUZZ["ENABLED"] = False

ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
AUTH_USER_MODEL = "people.Person"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "people.urls"
SECRET_KEY = "for tests only"
STATIC_URL = "/static/"
USE_TZ = True
