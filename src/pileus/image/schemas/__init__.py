"""Shapes of requests and answers, a module a noun."""
