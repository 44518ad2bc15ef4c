"""What compute hands to main.py."""

from pileus.kernel.bundle import Bundle

BUNDLE = Bundle("compute")
