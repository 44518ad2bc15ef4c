"""Has a thing of the network made as its rows say, by the task of that thing; the steps are in `sync`."""

import hashlib

from sqlalchemy import Connection

from pileus.kernel import tasks
from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Program

SYNC = Program("network.sync")


def touch(tx: Connection, cloud: Cloud, kind: str, id: str, *left: str) -> None:
    """Have a thing (network, group, port or router) made as its rows say, soon.

    :param left: the hosts that may need it no longer ("": none).
    """
    task_id = f"{kind}:{id}"
    tasks.ensure(tx, cloud, SYNC, task_id)
    for host in filter(None, left):
        tasks.raise_signal(tx, task_id, mark(host))


def mark(host: str) -> str:
    """Return the name of the signal that a host was left: as long as such a name may be."""
    return hashlib.blake2s(host.encode(), digest_size=16).hexdigest()
