"""Pileus: a whole OpenStack-compatible cloud in one package."""
