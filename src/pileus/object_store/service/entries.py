"""Lines of a container's listing as callers see them.

The ETag column of the index may hold more than the ETag: `md5; slo_etag=...; symlink_target=...`, what other features want
listings to tell.
"""

from typing import Any
from urllib.parse import quote

from pileus.object_store import names
from pileus.object_store.indexes import ObjectEntry, Subdir
from pileus.object_store.request import Request
from pileus.object_store.timestamps import iso_of

NO_FACTS: dict[str, str] = {}
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def index_etag(etag: str, **more: str) -> str:
    """Return what the index is told as an ETag, with further facts."""
    return "; ".join([etag, *(f"{key}={value}" for key, value in more.items() if value)])


def split_etag(text: str) -> tuple[str, dict[str, str]]:
    """Return the ETag and the further facts."""
    etag, *rest = text.split("; ")
    return etag, dict(part.partition("=")[::2] for part in rest if "=" in part)


def row(req: Request, entry: ObjectEntry | Subdir) -> dict[str, Any]:
    """Return one line of a listing."""
    if isinstance(entry, Subdir):
        return {"subdir": entry.name}
    etag, facts = split_etag(entry.etag) if "; " in entry.etag else (entry.etag, NO_FACTS)
    found: dict[str, Any] = {
        "name": entry.name,
        "hash": etag,
        "bytes": entry.size_bytes,
        "content_type": entry.content_type,
        "last_modified": iso_of(entry.stamp),
    }
    if not facts:
        return found
    if "slo_etag" in facts:
        found["slo_etag"] = f'"{facts["slo_etag"]}"'
    if "s3_etag" in facts:
        found["s3_etag"] = f'"{facts["s3_etag"]}"'
    if facts.get("null") == "true":
        found["null"] = True
    if target := facts.get("symlink_target"):
        _show_link(req, found, target, facts)
    return found


def _show_link(req: Request, found: dict[str, Any], target: str, facts: dict[str, str]) -> None:
    container, _, name = target.partition("/")
    if container.startswith(quote(names.RESERVED)):
        stored = name.replace(quote(names.RESERVED), names.RESERVED)
        _, _, version_id = stored.rpartition(names.RESERVED)
        found["bytes"] = int(facts.get("symlink_target_bytes", "0"))
        found["hash"] = facts.get("symlink_target_etag", found["hash"])
        found["version_symlink"] = True
        found["symlink_path"] = f"/v1/{quote(req.account)}/{quote(req.container)}/{quote(found['name'])}" + (
            f"?version-id={version_of(version_id)}"
        )
        return
    account = facts.get("symlink_target_account") or quote(req.account)
    found["symlink_path"] = f"/v1/{account}/{target}"
    if "symlink_target_etag" in facts:
        found["symlink_etag"] = facts["symlink_target_etag"]
        found["symlink_bytes"] = int(facts.get("symlink_target_bytes", "0"))


def version_of(inverted: str) -> str:
    """Return the id of a version out of the inverted time in its name."""
    return names.parse_version(names.reserved("", inverted))[1]
