"""The servers' states follow what their hosts say.

Each host is listened to, so that a guest that dies shows within moments.  In case that was missed, hosts are looked at:
HOSTS_A_PASS of them every WATCH_SECONDS, at once those that were away.  A server with something under way is left to its task.
A server that should run and whose guest is off for no known reason was on a host that was started again, and is brought up.

A guest that is another host's by now, or deleted, was lost while its host was away: it is destroyed, and nothing starts it.
"""

import logging
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from pileus.compute import neighbours, states
from pileus.compute.driver import DriverError, GuestState
from pileus.compute.store import servers as store
from pileus.compute.tasks import guests
from pileus.compute.tasks import servers as work
from pileus.kernel import rounds
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Unavailable
from pileus.kernel.loops import Loop

log = logging.getLogger(__name__)

WATCH_SECONDS = 2.0
HOSTS_A_PASS = 16
SWEEP_SECONDS = 600.0
DAY_SECONDS = 86_400.0
FORGOTTEN_AT_ONCE = 500
STAYING = {"resized", "rescued"}
"""What a server stays whatever its guest does; only its power is followed."""
FOLLOWED = {"active", "stopped", "paused", "suspended", *STAYING}


class Watch:
    """Which hosts this process listens to already, and whose turn it is to be looked at."""

    def __init__(self) -> None:
        self.rounds = rounds.Rounds(HOSTS_A_PASS)
        self._heard: set[str] = set()
        self._lock = threading.Lock()

    def is_new(self, host: str) -> bool:
        """Tell, once, that a host is not listened to yet."""
        with self._lock:
            if host in self._heard:
                return False
            self._heard.add(host)
            return True


def watch(cloud: Cloud) -> None:
    """Listen to every host, and look at those whose turn it is."""
    part = cloud.part(Watch)

    def look(host: str) -> None:
        try:
            _look(cloud, host, None)
        except (DriverError, HostUnknown, Unavailable) as error:
            part.rounds.again(host)
            log.warning("host %s could not be looked at: %s", host, error)

    for host in cloud.bus.hosts("hypervisor"):
        if part.is_new(host):
            with suppress(HostUnknown):
                guests.hypervisor(cloud, host).listen(lambda guest_id, host=host: _heard(cloud, host, guest_id))  # type: ignore[misc]
    rounds.each(part.rounds.turn(cloud.bus, "hypervisor"), look)


def _heard(cloud: Cloud, host: str, guest_id: str) -> None:
    try:
        _look(cloud, host, guest_id)
    except (DriverError, HostUnknown, Unavailable) as error:
        log.warning("guest %s on %s could not be looked at: %s", guest_id, host, error)


def _look(cloud: Cloud, host: str, guest_id: str | None) -> None:
    """Compare the rows of a host's servers (or of one) with its guests.  The rows are read first: a server that changes
    between is left alone."""
    with cloud.db.read() as tx:
        own = store.on_host(tx, host, guest_id)
    rows = [row for row in own if row.task_state is None and row.vm_state in FOLLOWED]
    if guest_id is not None and not rows:
        return
    driver = guests.hypervisor(cloud, host)
    seen: dict[str, GuestState | None]
    seen = dict(driver.observe_all()) if guest_id is None else {guest_id: driver.observe(guest_id)}
    if guest_id is None and (strangers := set(seen) - {row.id for row in own}):
        _destroy_lost(cloud, host, strangers)
    for row in rows:
        _follow(cloud, row, seen.get(row.id))


def _destroy_lost(cloud: Cloud, host: str, guest_ids: Collection[str]) -> None:
    """Remove the guests that a host lost while it was away."""
    with cloud.db.read() as tx:
        lost = store.lost(tx, host, guest_ids)
    for guest_id in lost:
        log.warning("host %s has lost guest %s, which is destroyed there", host, guest_id)
        guests.hypervisor(cloud, host).destroy(guest_id)


def _follow(cloud: Cloud, row: Any, seen: GuestState | None) -> None:
    should_run = row.vm_state in ("active", "paused") or (row.vm_state in STAYING and row.power_state == states.RUNNING)
    if seen is not None and seen.power == "off" and not seen.why and should_run:
        with cloud.db.begin() as tx:
            log.warning("server %s should run and does not: its host was started again", row.id)
            work.go(tx, cloud, row.id, step="mend")
        return
    power = states.POWER[seen.power if seen else None]
    vm_state = states.VM_STATE[seen.power] if seen else "stopped"
    vm_state = row.vm_state if row.vm_state in STAYING else vm_state
    if (row.power_state, row.vm_state) == (power, vm_state):
        return
    with cloud.db.begin() as tx:
        now = cloud.clock.now()
        if store.change_unmoved(tx, row, vm_state=vm_state, power_state=power, updated_at=now):
            log.info("server %s is %s now%s", row.id, vm_state, f": {seen.why}" if seen and seen.why else "")


def sweep(cloud: Cloud) -> None:
    """Let go of the images' files that no server is made of any more, and forget the servers that were deleted long ago."""
    with cloud.db.read() as tx:
        used = store.images_used(tx)
    neighbours.images.sweep_bases(cloud, used)
    days = cloud.settings.deleted_servers_days
    forgotten = FORGOTTEN_AT_ONCE if days else 0
    while forgotten == FORGOTTEN_AT_ONCE:
        with cloud.db.begin() as tx:
            forgotten = store.forget_deleted(tx, cloud.clock.now() - days * DAY_SECONDS, FORGOTTEN_AT_ONCE)


LOOPS = (Loop("compute.watch", WATCH_SECONDS, watch), Loop("compute.sweep", SWEEP_SECONDS, sweep))
