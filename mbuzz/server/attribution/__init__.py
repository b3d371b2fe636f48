"""Arithmetic from journeys to credits: no clock, no randomness, no I/O."""
