"""Single versions of an object, named by their ids: read, deleted, made the current one again, listed."""

from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from msgspec.structs import replace

from pileus.object_store import names
from pileus.object_store.backend import ObjectName
from pileus.object_store.content import Content
from pileus.object_store.indexes import ContainerInfo, Listing, ObjectEntry, Subdir
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access, entries, locks, reading, versions, writing
from pileus.object_store.service.writing import NewObject

NULL = "null"
NOT_VERSIONED = "version-aware operations require that the container is versioned"


def stored_name(req: Request, version_id: str) -> str:
    """Return the name of a version.  :raises Refused: 400 when its id is none."""
    try:
        return names.version_object(req.name, version_id)
    except ValueError:
        raise Refused(400, "Invalid version parameter") from None


async def _hidden(req: Request, info: ContainerInfo) -> ContainerInfo:
    hidden = await versions.hidden_info(req, info)
    if hidden is None:
        raise Refused(400, NOT_VERSIONED)
    return hidden


def check_owner(req: Request, owner: bool) -> None:
    """Hold those who name a version to be owners of the account.  :raises Refused: 401 or 403."""
    if not owner and not req.vouched:
        raise access.denied(req)


async def open_version(req: Request, info: ContainerInfo, version_id: str, *, head: bool, follow: bool = True) -> Content:
    """Open a version.  :raises Refused: 400, 404."""
    whole = req.query.get("multipart-manifest") != "get"
    if version_id == NULL:
        found = await reading.open_stored(req, info, req.name, head=True)
        if found is None or reading.LINK_VERSION in found.sysmeta:
            raise Refused(404)
        content = await reading.open_content(req, info, req.name, head=head, follow=follow, whole=whole)
    else:
        name = stored_name(req, version_id)
        content = await reading.open_content(req, await _hidden(req, info), name, head=head, follow=follow, whole=whole)
    if content is None:
        raise Refused(404)
    if content.metadata.content_type == versions.MARKER_TYPE:
        await content.source.close()
        raise Refused(404, headers={"X-Object-Version-Id": version_id, "Content-Type": versions.MARKER_TYPE})
    return content


async def current(req: Request, info: ContainerInfo) -> str:
    """Return the id of the current version; "null" when the object is none of the versions."""
    found = await reading.open_stored(req, info, req.name, head=True)
    target = found.sysmeta.get(reading.LINK, "") if found and reading.LINK_VERSION in found.sysmeta else ""
    return version_of_target(target)


def version_of_target(target: str) -> str:
    """Return the id of the version that a link leads to; "null" when it leads elsewhere."""
    try:
        return names.parse_version(unquote(target).partition("/")[2])[1]
    except ValueError:
        return NULL


async def delete(req: Request, info: ContainerInfo, version_id: str) -> dict[str, str]:
    """Delete a version, and the object where that was the current one; return further headers of the answer."""
    if version_id == NULL:
        if info.metadata.get(versions.LOCATION):
            return await versions.delete(req, info)
        written = await writing.remove(req, info, req.name)  # the versions themselves stay, as in Swift
        if not written.ok:
            raise Refused(int(written.status))
        return {"X-Object-Version-Id": NULL}
    hidden = await _hidden(req, info)
    name = stored_name(req, version_id)
    await locks.check_version(req, info, hidden, name)
    latest = await current(req, info)
    if latest == version_id:
        await writing.remove(req, info, req.name)
        latest = NULL
    written = await writing.remove(req, hidden, name)
    if not written.ok:
        raise Refused(int(written.status))
    return {"X-Object-Version-Id": version_id, "X-Object-Current-Version-Id": latest}


async def restore(req: Request, info: ContainerInfo, version_id: str) -> dict[str, str]:
    """Make a version the current one; return further headers of the answer."""
    hidden = await _hidden(req, info)
    if version_id == NULL:
        raise Refused(400, "Invalid version parameter")
    name = stored_name(req, version_id)
    async for chunk in req.body.chunks():
        if chunk:
            raise Refused(400, "PUT version-id requests require a zero byte body")
    answer = await req.store.placement.object(hidden.policy, ObjectName(hidden.account, hidden.container, name))
    if answer.status != HTTPStatus.OK or answer.metadata is None:
        raise Refused(404, "The specified version does not exist")
    meta = answer.metadata
    again = NewObject(meta.content_type, dict(meta.headers))
    await versions.link(req, info, name, meta.etag, meta.size_bytes, again)
    return {"X-Object-Version-Id": version_id, "Etag": meta.etag}


async def listing(req: Request, info: ContainerInfo, page: Listing) -> list[dict[str, Any]]:
    """List the versions of all objects, the newest of each first, together with objects that are no version."""
    hidden = await versions.hidden_info(req, info)
    plain_rows = await _rows_of_current(req, info, page)
    latest = {row["name"]: row["version_id"] for row in plain_rows if "name" in row}
    found = [row for row in plain_rows if row.get("version_id") == NULL]
    subdirs = {row["subdir"]: row for row in plain_rows if "subdir" in row}
    if hidden is not None:
        for entry in await _hidden_entries(req, hidden, page):
            if isinstance(entry, Subdir):
                shown = entry.name.removeprefix(names.RESERVED)
                subdirs[shown] = {"subdir": shown}
                continue
            name, version_id = names.parse_version(entry.name)
            if name not in latest:
                latest[name] = await _current_of(req, info, name)
            row = entries.row(req, entry) | {"name": name, "version_id": version_id}
            current_id = latest[name] or (version_id if row["content_type"] == versions.MARKER_TYPE else None)
            latest[name] = current_id
            found.append(row | {"is_latest": version_id == current_id})
    found += subdirs.values()
    found.sort(key=lambda row: _order(row, page.reverse), reverse=page.reverse)
    return found[: page.limit]


def _order(row: dict[str, Any], reverse: bool) -> tuple[str, str]:
    """Sort by name; within a name the newest first, whichever way names go."""
    if "subdir" in row:
        return (row["subdir"], "")
    text = row["version_id"]
    newest_first = "" if text == NULL else names.version_object("", text)
    return (row["name"], newest_first)


async def _rows_of_current(req: Request, info: ContainerInfo, page: Listing) -> list[dict[str, Any]]:
    marker = req.query.get("version_marker")
    answer = await req.store.placement.container(info.account, info.container, page)
    rows: list[dict[str, Any]] = []
    for entry in answer.entries:
        row = entries.row(req, entry)
        if isinstance(entry, ObjectEntry):
            target = entries.split_etag(entry.etag)[1].get("symlink_target", "")
            own = row.pop("version_symlink", False)
            row |= {"version_id": version_of_target(target) if own else NULL, "is_latest": True}
        rows.append(row)
    return rows if marker is None or page.marker == "" else [row for row in rows if row.get("name") != page.marker]


async def _hidden_entries(req: Request, hidden: ContainerInfo, page: Listing) -> list[ObjectEntry | Subdir]:
    marker = page.marker
    version_marker = req.query.get("version_marker")
    if marker and version_marker in (None, NULL):
        marker = names.reserved(marker, "" if (version_marker == NULL) != page.reverse else ":")
    elif marker:
        try:
            marker = names.version_object(marker, version_marker or "")
        except ValueError:
            raise Refused(400, "invalid version_marker param") from None
    inner = replace(
        page,
        prefix=names.RESERVED + page.prefix,
        marker=marker,
        end_marker=names.reserved(page.end_marker, "") if page.end_marker else "",
        allow_reserved=True,
    )
    answer = await req.store.placement.container(hidden.account, hidden.container, inner)
    return list(answer.entries)


async def _current_of(req: Request, info: ContainerInfo, name: str) -> str | None:
    """Return the id of an object's current version; None when the object is deleted."""
    found = await reading.open_stored(req, info, name, head=True)
    if found is None:
        return None
    return version_of_target(found.sysmeta.get(reading.LINK, "")) if reading.LINK_VERSION in found.sysmeta else NULL
