"""A real browser visits real servers, and the backend is asked what it learned."""
