"""Import of content into one store or several: importing -> active, or queued again with the reason in the task's record.

    download: fetch it first, when it is on the web
    fetch_image: the same, when it is another image
    publish: hash and inspect what is staged; an image that is copied is what it is already
    place: put it into the next store  (again for each)
    finish: say what became of it
    x give_up

The image's properties say how it goes: os_glance_importing_to_stores and os_glance_failed_import hold the stores that are
still to come and those that failed.
"""

import fcntl
from typing import Any

from pileus.image import content, store, stores
from pileus.image.backend import BackendError
from pileus.image.files import Workspace, digest
from pileus.image.formats import Inspection, WrongFormat
from pileus.image.records import facts_of
from pileus.image.store import Image, Location
from pileus.image.tasks import purge, regions
from pileus.image.web import NotFetched, fetch
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Outcome, Program, Run

IMPORT = Program("image.import")
DEADLINE_SECONDS = 6 * 3600.0
BUSY_SECONDS = 5.0
TRIES_MAX = 3
COPY = "copy-image"
TASK, LEFT, FAILED = "os_glance_import_task", "os_glance_importing_to_stores", "os_glance_failed_import"


@IMPORT.step
def publish(run: Run) -> Outcome:
    """Learn what is to be put into the stores."""
    image = _begun(run)
    if image is None:
        return Done()
    if run.memo["method"] == COPY:
        return Hop(place)
    staged = run.cloud.part(Workspace).staged_path(image.id)
    if not staged.exists():
        return Fail("The staged content is gone.")
    try:
        run.memo["facts"] = facts_of(digest(staged, Inspection(image.disk_format or "", image.container_format or "")))
    except WrongFormat as error:
        return Fail(str(error))
    return Hop(place)


@IMPORT.step
def download(run: Run) -> Outcome:
    """Fetch what is to be staged."""
    if _begun(run) is None:
        return Done()
    settings = run.cloud.settings
    return _stage(run, lambda path: fetch(run.memo["uri"], path, settings.image_bytes_max, settings.image_import_hosts))


@IMPORT.step
def fetch_image(run: Run) -> Outcome:
    """Fetch what is to be staged from an image of another region, or of this one, and take over what that is."""
    image = _begun(run)
    if image is None:
        return Done()
    try:
        source = regions.find(run.cloud, regions.Wanted(**run.memo["source"]))
    except NotFetched as error:
        return Fail(str(error))
    outcome = _stage(run, source.write)
    if isinstance(outcome, Hop):
        formats = {"disk_format": source.disk_format, "container_format": source.container_format}
        with run.cloud.db.begin() as tx:
            if store.change(tx, image.id, {"status": "importing"}, **formats):
                store.set_properties(tx, image.id, source.properties)
    return outcome


def _begun(run: Run) -> Image | None:
    """Return the image if the import still is to go on, and say that it does."""
    cloud, image_id = run.cloud, run.memo["image"]
    with cloud.db.begin() as tx:
        image = store.get(tx, image_id)
        wanted = image is not None and image.properties.get(TASK) == run.memo["import"]
        if wanted:
            store.change_import(tx, run.memo["import"], "processing", "", cloud.clock.now())
    if image is None:
        content.remove_local(cloud, image_id)
    return image if wanted else None


def _stage(run: Run, write: Any) -> Outcome:
    staged = run.cloud.part(Workspace).staged_path(run.memo["image"])
    if staged.exists():  # it took longer than the lease of the step
        return Hop(publish)
    scratch = run.cloud.part(Workspace).upload_path(run.memo["image"], run.memo["import"])
    with open(scratch, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Nap(BUSY_SECONDS)
        try:
            write(scratch)
        except NotFetched as error:
            scratch.unlink(missing_ok=True)
            return Fail(str(error))
        scratch.rename(staged)
    return Hop(publish)


@IMPORT.step
def place(run: Run) -> Outcome:
    """Put the content into the next store."""
    left = run.memo["left"]
    if not left:
        return Hop(finish)
    with run.cloud.db.read() as tx:
        image = store.get(tx, run.memo["image"])
    target = stores.find(run.cloud, left[0])
    if image is None or target is None:
        return Hop(finish) if image is None else _missed(run, f"The store {left[0]} is not configured.")
    try:
        source = content.bring(run.cloud, image) if run.memo["method"] == COPY else _staged(run)
        location = content.put(run.cloud, target, image.id, run.memo["import"], source)
    except BackendError as error:
        if run.tries < TRIES_MAX:
            raise
        return _missed(run, f"{target.id}: {error}")
    _placed(run, location)
    run.memo["left"] = left[1:]
    return Hop(place)


def _staged(run: Run) -> Any:
    return run.cloud.part(Workspace).staged_path(run.memo["image"])


def _placed(run: Run, location: Location) -> None:
    """Write down where the content is; the first place makes the image active, unless it must be in all of them."""
    memo, now, left = run.memo, run.cloud.clock.now(), run.memo["left"][1:]
    with run.cloud.db.begin() as tx:
        image = store.get(tx, memo["image"], lock=True)
        if image is None:
            purge.start(tx, run.cloud, memo["image"], [location])
            return
        others = [] if image.status == "importing" and not memo["placed"] else image.locations
        kept = [other for other in others if other.url != location.url]
        store.set_locations(tx, image.id, [*kept, location])
        store.set_properties(tx, image.id, {LEFT: ",".join(left)})
        if image.status == "importing" and not (left and memo["all"]):
            store.change(tx, image.id, {"status": "importing"}, status="active", updated_at=now, **memo["facts"])
    memo["placed"] = [*memo["placed"], {"store": location.store, "url": location.url}]


def _missed(run: Run, reason: str) -> Outcome:
    memo = run.memo
    if memo["all"]:
        return Fail(reason)
    memo["failed"], memo["left"] = [*memo["failed"], memo["left"][0]], memo["left"][1:]
    memo["reason"] = reason
    with run.cloud.db.begin() as tx:
        if store.get(tx, memo["image"], lock=True):
            store.set_properties(tx, memo["image"], {LEFT: ",".join(memo["left"]), FAILED: ",".join(memo["failed"])})
    return Hop(place)


@IMPORT.step
def finish(run: Run) -> Outcome:
    """Say how it went."""
    memo, cloud = run.memo, run.cloud
    if not memo["placed"]:
        return Fail(memo.get("reason") or "The content could be put into no store.")
    with cloud.db.begin() as tx:
        gone = store.get(tx, memo["image"], lock=True) is None
        if not gone:
            store.set_properties(tx, memo["image"], {TASK: None, LEFT: "", FAILED: ",".join(memo["failed"])})
        store.change_import(tx, memo["import"], "success", memo.get("reason", ""), cloud.clock.now())
    if gone:
        purge.release(cloud, memo["image"], [Location(**found) for found in memo["placed"]])
    elif memo["method"] != COPY:
        _staged(run).unlink(missing_ok=True)
    return Done()


@IMPORT.on_fail
def give_up(run: Run) -> Outcome:
    """Say why, take back what was put into stores, and let the caller try again."""
    memo, cloud = run.memo, run.cloud
    placed = [Location(**found) for found in memo["placed"]]
    taken = {location.url for location in placed}
    with cloud.db.begin() as tx:
        now = cloud.clock.now()
        image = store.get(tx, memo["image"], lock=True)
        if image is not None:
            kept = [location for location in image.locations if location.url not in taken]
            store.set_locations(tx, image.id, kept)
            store.change(tx, image.id, {"status": "importing"}, status="queued", size=None, updated_at=now)
            failed = ",".join([*memo["failed"], *(found["store"] for found in memo["placed"]), *memo["left"]])
            store.set_properties(tx, image.id, {TASK: None, LEFT: "", FAILED: failed})
        purge.start(tx, cloud, memo["image"], placed)
        store.change_import(tx, memo["import"], "failure", run.error or "The import took too long.", now)
    for location in placed:
        found = stores.find(cloud, location.store)
        if found is not None and found.is_local:
            found.backend.remove(location.url)
    if memo["method"] != COPY:
        _staged(run).unlink(missing_ok=True)
    return Done()
