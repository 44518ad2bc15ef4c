"""What volume hands to main.py."""

from pathlib import Path

from pileus.identity.service import catalog
from pileus.kernel.bundle import Bundle
from pileus.kernel.context import Cloud
from pileus.kernel.events import Events
from pileus.kernel.loops import Loop
from pileus.volume import messages
from pileus.volume.api import SERVICE
from pileus.volume.backup_targets import Targets
from pileus.volume.keys import VolumeKeys
from pileus.volume.policies import RULES
from pileus.volume.service import group_types, projects, types, volume_images
from pileus.volume.store import services
from pileus.volume.tasks import adoption, backends, copies, moves
from pileus.volume.tasks import attachments as attachment_work
from pileus.volume.tasks import backups as backup_work
from pileus.volume.tasks import groups as group_work
from pileus.volume.tasks import snapshots as snapshot_work
from pileus.volume.tasks import volumes as volume_work
from pileus.volume.tasks.backends import Gauges

FURTHER = (adoption, copies, moves)
"""Modules that declare further steps of the programs."""

TYPES = (
    ("block-storage", "cinder", "v3"),
    ("volumev3", "cinderv3", "v3"),
    ("volumev2", "cinderv2", "v2"),
    ("volume", "cinder", "v1"),
)
"""The types under which clients look for the service, its name there, and the version of the API that they then speak."""

LISTED = tuple(
    catalog.Listed(type, name, f"/volume/{version}/$(project_id)s", f"8776/{version}/$(project_id)s", "Block storage")
    for type, name, version in TYPES
)


def bootstrap(cloud: Cloud) -> None:
    """Write down what a new cloud starts with."""
    cloud.part(VolumeKeys).share(cloud)
    with cloud.db.begin() as tx:
        for listed in LISTED:
            catalog.ensure_service(tx, cloud, listed)
        for binary in ("cinder-scheduler", "cinder-backup"):
            services.ensure(tx, binary, cloud.settings.host, cloud.clock.now())
    backends.register(cloud)
    types.bootstrap(cloud)
    group_types.bootstrap(cloud)


def subscribe(events: Events) -> None:
    """Listen to what becomes of projects, of images, and of the volumes that backups are restored to."""
    events.subscribe("identity.project.deleted", projects.on_project_deleted)
    events.subscribe("image.image.deleted", volume_images.on_image_deleted)
    events.subscribe("volume.ready", backup_work.on_volume_made)
    events.subscribe("volume.failed", backup_work.on_volume_made)


BUNDLE = Bundle(
    "volume",
    rules=RULES,
    services=(SERVICE,),
    programs=(
        volume_work.program,
        snapshot_work.program,
        backup_work.program,
        group_work.program,
        group_work.snapshot_program,
    ),
    loops=(
        Loop("volume.backends", backends.REGISTER_SECONDS, backends.register),
        Loop("volume.messages", 3600.0, messages.expire),
        Loop("volume.attachments", attachment_work.SWEEP_SECONDS, attachment_work.sweep),
    ),
    parts=lambda settings: {Gauges: Gauges(), VolumeKeys: VolumeKeys(Path(settings.state_dir)), Targets: Targets()},
    subscribe=subscribe,
    bootstrap=bootstrap,
)
