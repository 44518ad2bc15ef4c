"""Frames for guests that move while they run: every host sends them elsewhere in the moment in which a guest is halted."""

import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, wait
from typing import cast

from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Unavailable
from pileus.network.driver import NetworkDriverError, Rerouter
from pileus.network.store import hosts as hosts_store
from pileus.network.store import ports as ports_store
from pileus.network.store.records import Port
from pileus.network.tasks import spanning, specs

ROLE = "network"
TELL_SECONDS = 2.0

log = logging.getLogger(__name__)


def reroute(cloud: Cloud, port_ids: Collection[str], host: str) -> None:
    """Have every host that knows of ports send their frames to another one from now on, ahead of what the rows say.

    All are told at the same time, and nobody waits long for one that does not answer: what fails is made good when the rows
    say so, too.
    """
    with cloud.db.read() as tx:
        moved = list(ports_store.ports_by_id(tx, list(port_ids)).values())
        end = hosts_store.tunnels(tx).get(host)
        knowing = hosts_store.hosts_of(tx, {port.network_id for port in moved}) | {host}
    told = sorted(knowing & set(cloud.bus.hosts(ROLE)))
    if end is None or len(told) < 2:
        return
    pool = ThreadPoolExecutor(len(told), thread_name_prefix="reroute")
    wait([pool.submit(_tell, cloud, name, moved, end, name == host) for name in told], TELL_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)


def _tell(cloud: Cloud, name: str, moved: Collection[Port], end: str, here: bool) -> None:
    try:
        driver = cast(Rerouter, cloud.bus.host(name, ROLE))
        for port in moved:
            driver.reroute(port.network_id, specs.tap_name(port.id), tuple(spanning.places(port, end)), here)
    except AttributeError:  # an agent of an older version
        log.info("host %s hears later where ports have gone", name)
    except (HostUnknown, NetworkDriverError, Unavailable) as error:
        log.warning("host %s hears later where ports have gone: %s", name, error)
