"""The kinds of back ends."""
