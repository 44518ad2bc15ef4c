"""What the control plane is told of a host: that it is here, what its drivers can do, and which guests changed by themselves."""

import contextlib
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from pileus.kernel import ids, rabbit, wire
from pileus.kernel.bus_rabbit import CONDUCTOR, TOPICS, News

PRESENCE_SECONDS = 1.5


class Presence:
    """Tells of a host every PRESENCE_SECONDS, and whenever somebody asks who is there.

    :param roles: its drivers, by name (the host's, or HOST@BACKEND) and role.
    :param facts: what else is told (version, address).
    """

    def __init__(
        self,
        url: str,
        host: str,
        roles: Mapping[str, Mapping[str, Any]],
        contracts: Mapping[str, wire.Contract],
        facts: Mapping[str, str],
    ) -> None:
        self._host, self._roles, self._facts, self._id = host, roles, facts, ids.hex_id()
        self._served = {
            name: {role: tuple(sorted(contracts[role].served_by(driver))) for role, driver in drivers.items()}
            for name, drivers in roles.items()
        }
        self._stop = threading.Event()
        self._publisher = rabbit.Publisher(url)
        asked = [rabbit.fanout_queue(topic, self._id) for topic in topics(roles)]
        self._consumer = rabbit.Consumer(url, asked, lambda _: self._say_present(), self._say_present)
        self._teller = threading.Thread(target=self._tell, name="presence", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        for name, drivers in self._roles.items():
            if "hypervisor" in drivers:
                drivers["hypervisor"].listen(partial(self._say_changed, name))
        self._consumer.start()
        self._teller.start()

    def close(self) -> None:
        """Tell nothing more: the host is taken for gone a few seconds later."""
        self._stop.set()
        self._consumer.stop()
        self._publisher.close()

    def _say(self, news: News) -> None:
        with contextlib.suppress(rabbit.BusDown):
            self._publisher.publish(rabbit.fanout(CONDUCTOR), "", rabbit.Message(msgspec.msgpack.encode(news)))

    def _say_changed(self, host: str, guest_id: str) -> None:
        self._say(News("changed", self._id, host, guest_id=guest_id))

    def _say_present(self) -> None:
        self._say(News("present", self._id, self._host, self._served, self._facts))

    def _tell(self) -> None:
        while not self._stop.wait(PRESENCE_SECONDS):
            self._say_present()


def topics(roles: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the topics of the roles that a host has."""
    return sorted({TOPICS[role] for drivers in roles.values() for role in drivers})
