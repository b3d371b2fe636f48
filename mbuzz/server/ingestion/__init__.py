"""Who may send, and what is well-formed."""
