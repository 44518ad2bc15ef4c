"""A place on the web becomes an image's content: read through and hashed.  Whether it is what the image's record says is looked
at when it is used (see `content`), since what is there may change at any time.

read: importing -> active when the hash is the one that was told; an image of which none was told is active meanwhile
x give_up: queued again, or active without a hash
"""

from collections.abc import Iterator

from pileus.image import content, store
from pileus.image.backend import BackendError
from pileus.image.formats import Inspection
from pileus.image.store import Image
from pileus.kernel.context import Cloud
from pileus.kernel.tasks import Done, Fail, Outcome, Program, Run

PLACE = Program("image.place")
DEADLINE_SECONDS = 6 * 3600.0
TRIES_MAX = 3
LOOK_SECONDS = 5.0


class _Gone(Exception):
    """The image was deleted meanwhile."""


@PLACE.step
def read(run: Run) -> Outcome:
    """Read and hash it."""
    cloud, memo = run.cloud, run.memo
    with cloud.db.begin() as tx:
        image = store.get(tx, memo["image"])
        if image is not None and image.os_hash_value is None:
            store.change_import(tx, memo["import"], "processing", "", cloud.clock.now())
    if image is None or image.os_hash_value is not None:
        return Done()
    try:
        found = content.examine(_watched(cloud, image), memo["algorithm"], Inspection("", ""))
    except _Gone:
        return Done()
    except BackendError as error:
        if run.tries < TRIES_MAX:
            raise
        return Fail(str(error))
    if memo["wanted"] and found.digest != memo["wanted"]:
        return Fail(f"os_hash_value: ({memo['wanted']}) not matched with actual os_hash_value: ({found.digest})")
    with cloud.db.begin() as tx:
        now = cloud.clock.now()
        store.change(
            tx, image.id, {"status": ("importing", "active")}, status="active", size=found.size_bytes, checksum=found.md5,
            os_hash_value=found.digest, updated_at=now,
        )  # fmt: skip
        store.change_import(tx, memo["import"], "success", "", now)
    return Done()


def _watched(cloud: Cloud, image: Image) -> Iterator[bytes]:
    """Yield the content for as long as the image is there."""
    looked_at, taken = cloud.clock.now(), 0
    for block in content.read(cloud, image):
        taken += len(block)
        if taken > cloud.settings.image_bytes_max:
            raise BackendError(f"the image is larger than {cloud.settings.image_bytes_max} bytes")
        if cloud.clock.now() > looked_at + LOOK_SECONDS:
            looked_at = cloud.clock.now()
            with cloud.db.read() as tx:
                if not store.known(tx, [image.id]):
                    raise _Gone
        yield block


@PLACE.on_fail
def give_up(run: Run) -> Outcome:
    """Say why; the place stays, since it is not this cloud's to remove."""
    cloud, memo = run.cloud, run.memo
    with cloud.db.begin() as tx:
        now = cloud.clock.now()
        store.change(tx, memo["image"], {"status": "importing"}, status="queued", updated_at=now)
        store.change(tx, memo["image"], {"os_hash_value": None}, os_hash_algo=None)
        store.change_import(tx, memo["import"], "failure", run.error or "It took too long.", now)
    return Done()
