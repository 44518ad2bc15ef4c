"""Image v2 over HTTP, a module a noun."""
