"""Template tags of the installable app."""
