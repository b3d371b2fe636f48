"""The only code that knows WSGI: requests, responses, routes, limits, errors."""
