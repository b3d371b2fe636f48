"""The read side: what the reports say."""
