"""Parts chosen by name: entry points of a group, so that others can add their own."""

from importlib.metadata import entry_points
from typing import Any


class PluginUnknown(Exception):
    """No plugin of that name is installed."""


def load(group: str, name: str) -> Any:
    """Return what an entry point names.

    :raises PluginUnknown: when there is none; says which there are.
    """
    found = {point.name: point for point in entry_points(group=group)}
    if name not in found:
        raise PluginUnknown(f"There is no {name!r} in {group}; there are: {', '.join(sorted(found))}.")
    return found[name].load()
