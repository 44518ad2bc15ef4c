"""Use cases on locations: where an image's content is, said by those who put it there.

Callers may only add places on the web, which `web` lets through, and only where there is a store for them; what is in other
stores gets there by uploads and imports.  A location that is added by a patch is believed; one that is added by `add` is
read and hashed.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct
from msgspec.structs import replace

from pileus.image import store, stores, web
from pileus.image.backend import BackendError
from pileus.image.patch import Change, GivenLocation, Validation
from pileus.image.records import HASH_ALGORITHM, import_task_id
from pileus.image.service import finding
from pileus.image.store import Image, Import, Location
from pileus.image.tasks import places, purge
from pileus.kernel import ids, tasks
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden

INVISIBLE = {"add": "add", "remove": "remove", "replace": "update"}
ALGORITHMS = ("sha1", "sha256", "sha512", "md5")
CHECKSUM_BYTES = 16


class NewPlace(Struct):
    """What is told of a place: its URL and, perhaps, a hash of what is there."""

    url: str
    validation_data: Validation | None = None


def seen(ctx: Context, image: Image) -> bool:
    """Tell whether the caller may see where an image's content is."""
    return ctx.cloud.settings.image_show_locations and ctx.can("get_image_location", finding.target_of(image))


def measure(ctx: Context, image_id: str, changes: list[Change]) -> dict[str, int | None]:
    """Return the sizes of what is at the places that a patch adds; asks for them over the net, so not in a transaction.

    :raises Forbidden: when locations are not shown, and so not changed.
    :raises BadRequest: when a place is none that may be added, or does not answer.
    """
    wanted = [change for change in changes if change.name == "locations"]
    if not wanted:
        return {}
    if not ctx.cloud.settings.image_show_locations:
        raise Forbidden(f"It's not allowed to {INVISIBLE[wanted[0].op]} locations if locations are invisible.")
    with ctx.cloud.db.read() as tx:
        image, target = finding.find(ctx, tx, image_id)
    if any(change.op != "remove" for change in wanted):
        ctx.require("set_image_location", target)
    there = {location.url for location in image.locations}
    urls = {given.url for change in wanted if change.op != "remove" for given in change.value} - there
    return {url: _measure(ctx.cloud, url) for url in sorted(urls)}


def _measure(cloud: Cloud, url: str) -> int | None:
    try:
        return _web_store(cloud, url).backend.size_bytes(url)
    except BackendError as error:
        raise BadRequest(f"Invalid location: {error}") from error


def _web_store(cloud: Cloud, url: str) -> stores.Store:
    found = stores.web(cloud)
    if found is None:
        raise BadRequest(f"Invalid location: no store of this cloud takes {url}.")
    try:
        web.check(url, cloud.settings.image_import_hosts)
    except web.NotFetched:
        raise BadRequest(f"Invalid location: {url} does not pass filtering.") from None
    return found


def apply(ctx: Context, image: Image, target: Mapping[str, Any], change: Change, measured: Mapping[str, int | None]) -> Image:
    """Return an image as a change of its locations leaves it.

    :raises Conflict: when its state does not allow it, or what is told of the content contradicts what is known.
    :raises BadRequest: when a place is there already, or the position is none.
    :raises Forbidden: when it would have no content any more.
    """
    if change.op == "remove":
        ctx.require("delete_image_location", target)
        return _without(image, change.position)
    ctx.require("set_image_location", target)
    if image.status not in ("active", "queued"):
        raise Conflict(f"It's not allowed to {change.op} locations if image status is {image.status}.")
    given: list[GivenLocation] = change.value
    facts = _validated(image, given)
    added = [_location(ctx.cloud, image, one) for one in given]
    if change.op == "add":
        added = _inserted(image.locations, added[0], change.position)
    elif image.locations and sorted(one.url for one in added) != sorted(one.url for one in image.locations):
        raise BadRequest("Original locations is not empty: they can only be replaced by the same places.")
    if len({one.url for one in added}) != len(added):
        raise BadRequest("A location is there already.")
    if image.status != "queued" or not added:
        return replace(image, locations=added)
    return replace(image, locations=added, status="active", size=measured.get(added[0].url), **facts)


def _location(cloud: Cloud, image: Image, given: GivenLocation) -> Location:
    metadata = {name: value for name, value in given.metadata.items() if name != "store"}
    known = next((one for one in image.locations if one.url == given.url), None)
    return Location(known.store if known else _web_store(cloud, given.url).id, given.url, metadata)


def _inserted(there: list[Location], one: Location, position: str) -> list[Location]:
    at = len(there) if position == "-" else int(position) if position.isdecimal() else None
    if at is None:
        raise BadRequest("Invalid position for adding a location.")
    return [*there[:at], one, *there[at:]]


def _without(image: Image, position: str) -> Image:
    if image.status != "active":
        raise Conflict(f"It's not allowed to remove locations if image status is {image.status}.")
    if len(image.locations) == 1:
        raise Forbidden("Cannot remove last location in the image.")
    at = len(image.locations) - 1 if position == "-" else int(position) if position.isdecimal() else -1
    if not 0 <= at < len(image.locations):
        raise BadRequest("Invalid position for removing a location.")
    return replace(image, locations=[*image.locations[:at], *image.locations[at + 1 :]])


def _validated(image: Image, given: list[GivenLocation]) -> dict[str, str]:
    """Return what is newly told of the content."""
    told: dict[str, str] = {}
    for one in given:
        for name, value in one.validation_data.given().items() if one.validation_data else ():
            if told.setdefault(name, value) != value:
                raise Conflict(f"Conflicting values for {name}")
    new = {name: value for name, value in told.items() if value != getattr(image, name)}
    for name in new:
        if getattr(image, name):
            raise Conflict(f"{name} is already set with a different value")
    if not new:
        return {}
    if image.status != "queued":
        raise Conflict(f"New value(s) for {', '.join(new)} may only be provided when image status is 'queued'")
    if new.get("os_hash_algo") != HASH_ALGORITHM:
        raise Conflict(f"os_hash_algo must be {HASH_ALGORITHM}, not {new.get('os_hash_algo')}")
    wanted = {"checksum": CHECKSUM_BYTES, "os_hash_value": hashlib.new(HASH_ALGORITHM).digest_size}
    for name, length in wanted.items():
        if (name in new or name == "os_hash_value") and not _is_hex(new.get(name, ""), length):
            raise Conflict(f"{name} ({new.get(name)}) is not a hexadecimal value of {length} bytes")
    return new


def _is_hex(text: str, length: int) -> bool:
    try:
        return len(bytes.fromhex(text)) == length and len(text) == 2 * length
    except ValueError:
        return False


def remove_dropped(cloud: Cloud, before: Image, after: Image) -> None:
    """Remove from this machine the content at places that an image no longer has."""
    kept = {location.url for location in after.locations}
    for location in before.locations:
        found = stores.find(cloud, location.store)
        if location.url not in kept and found is not None and found.is_local:
            found.backend.remove(location.url)


def add(ctx: Context, image_id: str, place: NewPlace) -> Import:
    """Have a queued image's content be what a place on the web holds: read and hashed, compared where a hash is told.

    :raises Conflict: when the image is not queued.
    :raises Forbidden: when there is no store for the web.
    :raises BadRequest: when the place, or what is told of it, is not well formed.
    """
    cloud, now = ctx.cloud, ctx.cloud.clock.now()
    with cloud.db.read() as tx:
        image, target = finding.find(ctx, tx, image_id)
    _require_queued(image)
    ctx.require("add_image_location", target)
    told = _told(place)
    if stores.web(cloud) is None:
        raise Forbidden("http store must be enabled to use location API by normal user.")
    location = Location(_web_store(cloud, place.url).id, place.url)
    with cloud.db.begin() as tx:
        image, _ = finding.find(ctx, tx, image_id, lock=True)
        _require_queued(image)
        given = {"image_id": image_id, "loc_url": place.url, "validation_data": told}
        record = Import(
            ids.uuid(), image_id, ctx.project_id, ctx.user_id, ctx.request_id, "pending", given, "", now, now
        )  # fmt: skip
        store.add_import(tx, record)
        store.set_locations(tx, image_id, [location])
        algorithm = told.get("os_hash_algo", HASH_ALGORITHM)
        store.change(
            tx, image_id, {"status": "queued"}, status="importing" if told else "active", os_hash_algo=algorithm, updated_at=now
        )
        memo = {"image": image_id, "import": record.id, "algorithm": algorithm, "wanted": told.get("os_hash_value", "")}
        tasks.start(tx, cloud, places.PLACE, import_task_id(image_id), places.DEADLINE_SECONDS, memo)
    return record


def _require_queued(image: Image) -> None:
    if image.status != "queued":
        raise Conflict(f"It's not allowed to add locations if image status is {image.status}.")


def _told(place: NewPlace) -> dict[str, str]:
    validation = place.validation_data
    if validation is None or not validation.given():
        return {}
    if validation.checksum is not UNSET or UNSET in (validation.os_hash_algo, validation.os_hash_value):
        raise BadRequest("validation_data holds os_hash_algo and os_hash_value, both or none.")
    algorithm, value = str(validation.os_hash_algo), str(validation.os_hash_value)
    if algorithm not in ALGORITHMS:
        raise BadRequest(f"'{algorithm}' is not one of {', '.join(ALGORITHMS)}.")
    length = hashlib.new(algorithm, usedforsecurity=False).digest_size
    if not _is_hex(value, length):
        raise BadRequest(f"os_hash_value: ({value}) is not the correct size for ({algorithm}) (should be ({length}) bytes)")
    return {"os_hash_algo": algorithm, "os_hash_value": value}


def list_(ctx: Context, image_id: str) -> list[Location]:
    """Return where an image's content is, for services."""
    with ctx.cloud.db.read() as tx:
        image, target = finding.find(ctx, tx, image_id)
    ctx.require("fetch_image_location", target)
    return image.locations


def delete_from_store(ctx: Context, image_id: str, store_id: str) -> None:
    """Have an image's content in one store less.

    :raises Conflict: when there is no such store, or the image is not active.
    :raises Forbidden: when it is in no other.
    :raises NotFound: when it is not in that store.
    """
    cloud = ctx.cloud
    if stores.find(cloud, store_id) is None:
        raise Conflict(f"The selected store {store_id} is not available on this node.")
    with cloud.db.begin() as tx:
        image, target = finding.find(ctx, tx, image_id, lock=True)
        ctx.require("get_image_location", target)
        ctx.require("delete_image_location", target)
        if image.status != "active":
            raise Conflict("It's not allowed to remove image data from store if image status is not 'active'")
        if len(image.locations) == 1:
            raise Forbidden("Cannot delete image data from the only store containing it. Consider deleting the image instead.")
        dropped = next((location for location in image.locations if location.store == store_id), None)
        if dropped is None:
            raise finding.not_in_store(image_id, store_id)
        changed = replace(image, locations=[location for location in image.locations if location is not dropped])
        store.set_locations(tx, image_id, changed.locations)
        purge.start(tx, cloud, image_id, [dropped])
    remove_dropped(cloud, image, changed)
