"""Import of content that is staged or on the web: importing -> active, or queued again with the reason in the task's record.

download: fetch it first, when it is on the web
publish: hash and inspect what is staged, give it the image's name, say that the image is active
x give_up
"""

import fcntl

from pileus.image import store
from pileus.image.files import FileStore, digest, place
from pileus.image.formats import Inspection, WrongFormat
from pileus.image.records import facts_of
from pileus.image.web import NotFetched, fetch
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Outcome, Program, Run

IMPORT = Program("image.import")
DEADLINE_SECONDS = 6 * 3600.0
BUSY_SECONDS = 5.0
FAILED = "os_glance_failed_import"


@IMPORT.step
def publish(run: Run) -> Outcome:
    """Make the staged content the image's."""
    cloud, image_id, import_id = run.cloud, run.memo["image"], run.memo["import"]
    files = cloud.part(FileStore)
    with cloud.db.begin() as tx:
        image = store.get(tx, image_id)
        if image is not None and image.status == "importing":
            store.change_import(tx, import_id, "processing", "", cloud.clock.now())
    if image is None:
        files.remove(image_id)
        return Done()
    staged = files.staged_path(image_id)
    if image.status == "importing":
        if not staged.exists():
            return Fail("The staged content is gone.")
        try:
            found = digest(staged, Inspection(image.disk_format or "", image.container_format or ""))
        except WrongFormat as error:
            return Fail(str(error))
        place(staged, files.scratch_path(image_id), files.path(image_id))
        with cloud.db.begin() as tx:
            now = cloud.clock.now()
            done = store.change(tx, image_id, {"status": "importing"}, status="active", updated_at=now, **facts_of(found))
            if done:
                store.set_property(tx, image_id, FAILED, None)
                store.change_import(tx, import_id, "success", "", now)
            gone = not done and store.get(tx, image_id) is None
        if gone:
            files.remove(image_id)
    staged.unlink(missing_ok=True)
    return Done()


@IMPORT.step
def download(run: Run) -> Outcome:
    """Fetch what is to be staged."""
    cloud, image_id = run.cloud, run.memo["image"]
    with cloud.db.begin() as tx:
        image = store.get(tx, image_id)
        if image is not None and image.status == "importing":
            store.change_import(tx, run.memo["import"], "processing", "", cloud.clock.now())
    if image is None or image.status != "importing":
        return Done()
    files, settings = cloud.part(FileStore), cloud.settings
    staged, scratch = files.staged_path(image_id), files.scratch_path(image_id)
    if staged.exists():  # it took longer than the lease of the step
        return Hop(publish)
    with open(scratch, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Nap(BUSY_SECONDS)
        try:
            fetch(run.memo["uri"], scratch, settings.image_bytes_max, settings.image_import_hosts)
        except NotFetched as error:
            scratch.unlink(missing_ok=True)
            return Fail(str(error))
        scratch.rename(staged)
    return Hop(publish)


@IMPORT.on_fail
def give_up(run: Run) -> Outcome:
    """Say why, and let the caller try again."""
    cloud, image_id = run.cloud, run.memo["image"]
    with cloud.db.begin() as tx:
        now = cloud.clock.now()
        if store.change(tx, image_id, {"status": "importing"}, status="queued", size=None, updated_at=now):
            store.set_property(tx, image_id, FAILED, "file")
        store.change_import(tx, run.memo["import"], "failure", run.error or "The import took too long.", now)
    cloud.part(FileStore).staged_path(image_id).unlink(missing_ok=True)
    return Done()
