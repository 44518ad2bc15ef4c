"""What compute takes from block storage: volumes to attach, made of something or there already, and how a host reaches them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection as Transaction

from pileus.compute.driver import LIMITS
from pileus.kernel.context import Cloud, cloud_itself
from pileus.volume.driver import Connection, VolumeDriverError
from pileus.volume.service import guests, volume_actions
from pileus.volume.service.guests import VolumeFacts

__all__ = [
    "REFUSALS", "Connection", "VolumeFacts", "abort_detach", "attached", "begin_detach", "connect", "connection", "create",
    "delete", "disconnect", "drop_snapshot", "facts", "limits_of", "moved", "park", "prolong", "refuse_move", "reimage",
    "release", "reserve", "snapshot", "snapshot_facts", "snapshot_status", "status_of", "target_of_move",
]  # fmt: skip

REFUSALS: tuple[type[Exception], ...] = (VolumeDriverError,)

facts = guests.facts
snapshot_facts = guests.snapshot_facts
create = guests.create
reserve = guests.reserve
connect = guests.connect
connection = guests.connection
attached = guests.attached
begin_detach = guests.begin_detach
abort_detach = guests.abort_detach
disconnect = guests.disconnect
release = guests.release
park = guests.park
prolong = guests.prolong
delete = guests.delete
target_of_move = guests.target_of_move
moved = guests.moved
refuse_move = guests.refuse_move
snapshot = guests.snapshot
snapshot_status = guests.snapshot_status
drop_snapshot = guests.drop_snapshot


def status_of(tx: Transaction, cloud: Cloud, project_id: str, volume_id: str) -> VolumeFacts:
    """Return what is known of a volume that a server of a project uses.  :raises NotFound: when it is gone."""
    return facts(tx, cloud_itself(cloud, project_id), volume_id)


def reimage(cloud: Cloud, project_id: str, volume_id: str, image_id: str) -> None:
    """Begin to make the content of a volume, which is kept for a server, that of an image again.

    :raises BadRequest: when it is in no state for that, or the image does not fit.
    :raises NotFound: when one of both is gone.
    """
    volume_actions.reimage(cloud_itself(cloud, project_id), volume_id, image_id, reserved=True)


def limits_of(reached: Mapping[str, Any]) -> dict[str, int]:
    """Return what a connection allows a guest to read and write; what no hypervisor knows is left out."""
    return {name: int(value) for name, value in (reached.get("qos_specs") or {}).items() if name in LIMITS}
