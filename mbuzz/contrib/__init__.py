"""Thin adapters from web frameworks to `mbuzz.web`."""
