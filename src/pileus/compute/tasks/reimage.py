"""Putting an image on the volume that a server boots from, while its guest is away."""

from pileus.compute import neighbours
from pileus.compute.store import server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks
from pileus.kernel.context import Cloud
from pileus.kernel.errors import BadRequest
from pileus.kernel.tasks import Fail, Nap, Outcome


def reimage(cloud: Cloud, server: Server) -> Outcome | None:
    """Have the volume that a server boots from made of an image again; None: it is.

    :raises VolumeDriverError: when the way to the volume cannot be taken.
    :raises NotFound: when the volume or the image is gone.
    """
    with cloud.db.read() as tx:
        row = next((row for row in server_volumes.of(tx, server.id) if row.boot_index == 0), None)
        status = disks.status(tx, cloud, server, row) if row is not None else ""
    if row is None or not status or status.startswith("error"):
        return Fail(f"The volume that the server boots from could not be made of image {server.aside['reimage']}.")
    if status in disks.UNMADE:
        return Nap(disks.LOOK_AGAIN_SECONDS)
    if server.aside.get("begun"):
        return None
    disks.disconnect_one(cloud, row.attachment_id)
    with cloud.db.begin() as tx:
        neighbours.volumes.park(tx, cloud, row.attachment_id)
    try:
        neighbours.volumes.reimage(cloud, server.project_id, row.volume_id, server.aside["reimage"])
    except BadRequest as error:
        return Fail(error.message)
    with cloud.db.begin() as tx:
        store.change_if(tx, server, aside={**server.aside, "begun": True})
    return Nap(disks.LOOK_AGAIN_SECONDS)
