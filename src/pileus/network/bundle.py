"""What network hands to main.py."""

from pileus.kernel.bundle import Bundle

BUNDLE = Bundle("network")
