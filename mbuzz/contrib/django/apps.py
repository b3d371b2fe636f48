"""The installable app: system checks and a template tag."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from mbuzz.contrib.django import checks


class MbuzzConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """What ``INSTALLED_APPS += ["mbuzz.contrib.django"]`` adds; there are no models."""

    name = "mbuzz.contrib.django"
    label = "mbuzz"  # "django" would be every integration's
    verbose_name = "mbuzz"

    def ready(self) -> None:
        """Register the checks; ``manage.py check --tag mbuzz`` runs them alone."""
        register(checks.check_options, "mbuzz")
        register(checks.check_order, "mbuzz")
        register(checks.check_cookies, "mbuzz")
        register(checks.check_proxy, "mbuzz", deploy=True)
