"""The HTTP API of identity, version 3: one module a noun, each with its ROUTES."""
