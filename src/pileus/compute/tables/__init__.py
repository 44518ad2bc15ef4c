"""The tables of compute, a module a noun."""
