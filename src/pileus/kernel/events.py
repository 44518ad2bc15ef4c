"""News between services, told upward in the transaction that made it.

A lower service publishes; a higher one that cares subscribed at start.  Subscribers run at once, in the same transaction, so
what they write is committed or undone together with the news.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

if TYPE_CHECKING:
    from pileus.kernel.context import Cloud

Subscriber = Callable[[Connection, "Cloud", Mapping[str, Any]], None]


class Events:
    """Who listens to what.  Filled in main.py, then only read."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Subscriber]] = defaultdict(list)

    def subscribe(self, name: str, subscriber: Subscriber) -> None:
        """Have a function called at each event of a name, such as "identity.project.deleted"."""
        self._subscribers[name].append(subscriber)

    def publish(self, tx: Connection, cloud: "Cloud", name: str, facts: Mapping[str, Any]) -> None:
        """Tell the subscribers of a name."""
        for subscriber in self._subscribers.get(name, ()):
            subscriber(tx, cloud, facts)
