"""What image hands to main.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pileus.identity.service import projects
from pileus.image import store
from pileus.image.api import cache, data, discovery, images, imports, locations, metadefs
from pileus.image.files import Workspace
from pileus.image.policies import RULES
from pileus.image.store import Location
from pileus.image.stores import FIRST, Stores
from pileus.image.tasks import guest
from pileus.image.tasks.caching import CACHE
from pileus.image.tasks.imports import IMPORT
from pileus.image.tasks.places import PLACE
from pileus.image.tasks.purge import PURGE
from pileus.image.tasks.sweep import SWEEP
from pileus.kernel import faults
from pileus.kernel.bundle import Bundle
from pileus.kernel.context import Cloud, cloud_itself
from pileus.kernel.errors import BadRequest, Fault, OverQuota
from pileus.kernel.http import Service
from pileus.kernel.settings import Settings


def _body_fault(reason: str) -> Fault:
    return BadRequest(f"Provided object does not match schema 'image': {reason}")


def _parts(settings: Settings) -> Mapping[type[Any], Any]:
    return {Workspace: Workspace(Path(settings.state_dir) / "images"), Stores: Stores(settings)}


def _alias(path: str) -> tuple[str, str]:
    """Tell an image without an id, which there is none of, from the list of images."""
    return ("/v2/no-image" if path == "/v2/images/" else path), ""


def _bootstrap(cloud: Cloud) -> None:
    cloud.part(Workspace).prepare()
    _place_what_was_there(cloud)
    if cloud.settings.demo:
        guest.start(cloud, _admin_project_id(cloud))


def _place_what_was_there(cloud: Cloud) -> None:
    """Say where the content is of images of a cloud that had but one store."""
    with cloud.db.begin() as tx:
        for image_id in store.list_unplaced(tx):
            folder = cloud.part(Workspace).folder.absolute()
            store.set_locations(tx, image_id, [Location(FIRST, f"file://{folder}/{image_id}")])


def _admin_project_id(cloud: Cloud) -> str | None:
    """Return the project that owns what the cloud itself brings along."""
    found = projects.list_(cloud_itself(cloud), {"name": "admin", "domain_id": "default"})
    return found[0].id if found else None


SERVICE = Service(
    "image",
    "Image v2",
    routes=(
        *discovery.ROUTES,
        *images.ROUTES,
        *imports.ROUTES,
        *locations.ROUTES,
        *data.ROUTES,
        *cache.ROUTES,
        *metadefs.ROUTES,
    ),
    fault_form=faults.glance,
    statuses={OverQuota: 413},
    classic_ports=(9292,),
    body_fault=_body_fault,
    alias=_alias,
)

BUNDLE = Bundle(
    "image",
    rules=RULES,
    services=(SERVICE,),
    programs=(IMPORT, PLACE, CACHE, PURGE, guest.GUEST),
    loops=(SWEEP,),
    parts=_parts,
    bootstrap=_bootstrap,
    census=store.census,
)
