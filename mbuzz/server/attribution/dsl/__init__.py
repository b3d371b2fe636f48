"""The language of custom models: programs that say who gets how much credit."""
