"""A hypervisor of this very process, in a cloud of many: guests come to it from other hosts, and go there, as to any agent's."""

from typing import Any

from pileus.agent.files import Files
from pileus.compute.driver import GuestSpec
from pileus.compute.moving import Luggage


class OwnHypervisor:
    """Has the methods of a driver; what a guest takes along is handed over between the hosts."""

    def __init__(self, driver: Any, files: Files) -> None:
        self._driver, self._files = driver, files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def ensure(self, spec: GuestSpec) -> None:
        """See Hypervisor.ensure."""
        self._files.close(spec.id)
        self._driver.ensure(spec)

    def destroy(self, guest_id: str) -> None:
        """See Hypervisor.destroy."""
        self._driver.destroy(guest_id)
        self._files.close(guest_id)
        self._files.drop(guest_id)

    def pack(self, guest_id: str, ticket: str, directory: str) -> Luggage:
        """See GuestMover.pack; the files are in a directory that is open to hosts."""
        arguments = {"guest_id": guest_id, "ticket": ticket, "directory": directory}
        return self._files.packed(arguments, lambda given: self._driver.pack(**given))

    def unpack(self, spec: GuestSpec, luggage: Luggage) -> None:
        """See GuestMover.unpack."""
        self._driver.unpack(spec, self._files.collect(luggage))
        self._files.drop(luggage.guest_id)
