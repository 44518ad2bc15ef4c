"""What the hosts' own part hands to main.py: its tables."""

from pileus.kernel.bundle import Bundle
from pileus.nodes import tables

__all__ = ["BUNDLE", "tables"]

BUNDLE = Bundle("nodes")
