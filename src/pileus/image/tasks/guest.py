"""The guest image that a new cloud starts with: built from Debian packages, then published.

build: make the file      -> publish: make it the image's content
x give_up: the image stays queued and its property says why
"""

import logging
import shutil
import tempfile
from pathlib import Path

from pileus import guest
from pileus.image import store
from pileus.image.files import Workspace
from pileus.image.records import new_record
from pileus.image.tasks.filling import fill_from_file
from pileus.kernel import ids, tasks
from pileus.kernel.context import Cloud
from pileus.kernel.errors import NotFound
from pileus.kernel.tasks import Done, Hop, Nap, Outcome, Program, Run

log = logging.getLogger(__name__)

GUEST = Program("image.guest")
NAME = "cirros-pileus"
WORK = "guest"
MESSAGE = "pileus_message"
DEADLINE_SECONDS = 24 * 3600.0
RETRY_SECONDS = 60.0


def start(cloud: Cloud, owner: str | None) -> None:
    """Begin to make the guest image if there is none; carry on with one that was begun."""
    with cloud.db.begin() as tx:
        image = store.find_by_name(tx, NAME, "public")
        if image is not None and image.status != "queued":
            return
        if image is None:
            base = {"name": NAME, "visibility": "public", "disk_format": "qcow2", "container_format": "bare"}
            properties = {"os_distro": "cirros", "os_type": "linux", "hw_rng_model": "virtio"}
            image = new_record(cloud, ids.uuid(), owner, base, properties)
            store.add(tx, image)
        task_id = f"image-guest-{image.id}"
        if not tasks.wake(tx, cloud, task_id):
            tasks.start(tx, cloud, GUEST, task_id, DEADLINE_SECONDS, {"image": image.id})


def _file(run: Run) -> Path:
    return run.cloud.part(Workspace).work_folder(WORK) / f"{run.memo['image']}.qcow2"


def _say(run: Run, message: str | None) -> None:
    with run.cloud.db.begin() as tx:
        if store.get(tx, run.memo["image"]):
            store.set_property(tx, run.memo["image"], MESSAGE, message)


@GUEST.step
def build(run: Run) -> Outcome:
    """Make the file; when packages are missing, say so on the image and look again later."""
    made = _file(run)
    if not made.exists():
        try:
            with tempfile.TemporaryDirectory(dir=made.parent) as work:
                guest.build(made, Path(work))
        except guest.MissingPackages as error:
            log.warning("the guest image cannot be built: %s", error)
            _say(run, str(error))
            return Nap(RETRY_SECONDS)
    return Hop(publish)


@GUEST.step
def publish(run: Run) -> Outcome:
    """Make the file the image's content; an image that was deleted meanwhile is not wanted."""
    try:
        _say(run, None)
        if _file(run).exists():
            fill_from_file(run.cloud, run.memo["image"], _file(run))
    except NotFound:
        log.info("the guest image was deleted before it was made")
    shutil.rmtree(_file(run).parent, ignore_errors=True)
    return Done()


@GUEST.on_fail
def give_up(run: Run) -> Outcome:
    """Leave the reason on the image, which stays queued; the next start tries again."""
    if run.error:
        _say(run, run.error)
    return Done()
