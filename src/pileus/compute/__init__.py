"""Servers: virtual machines, what they are made from, and where they run."""
