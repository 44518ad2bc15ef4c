"""The command `pileus`: start, stop, look at and ask the cloud of this machine."""

from pileus.cli.group import main

__all__ = ["main"]
