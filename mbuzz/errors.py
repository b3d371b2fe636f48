"""The exceptions that mbuzz raises, all at set-up: tracking calls raise none."""

from __future__ import annotations


class MbuzzError(Exception):
    """Base of every error that mbuzz raises."""


class ConfigurationError(MbuzzError):
    """An option is wrong; the text says which, what was given and what to do."""
