"""Listings: of buckets, of objects in both forms, of versions."""

import base64
import binascii
import math
from typing import Any
from urllib.parse import quote

from pileus.faces.s3 import acl, lock
from pileus.faces.s3.buckets import Bucket, directory, is_name
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.numbers import natural
from pileus.faces.s3.request import S3Request
from pileus.faces.s3.sending import xml_answer
from pileus.faces.s3.xml import answer, tag, wrap
from pileus.kernel.clock import from_iso
from pileus.kernel.http import Answer
from pileus.object_store.indexes import ContainerEntry, Listing, ObjectEntry, Subdir
from pileus.object_store.listing import is_utf8
from pileus.object_store.request import Refused
from pileus.object_store.service import access, entries, version_ids, versions

KEYS_MAX = 1000


class Encoder:
    """Writes names the way a request wants them: as they are, or as in URLs."""

    def __init__(self, s3: S3Request) -> None:
        wanted = s3.query.get("encoding-type")
        if wanted not in (None, "url"):
            raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type")
        self.on = wanted == "url"
        self.note = tag("EncodingType", "url") if self.on else ""

    def __call__(self, name: str) -> str:
        """Write a name."""
        return quote(name, safe="/-_.~*") if self.on else name


def number_of(s3: S3Request, name: str, default: int, most: int = KEYS_MAX) -> int:
    """Return a number of the query, at most so much.  :raises S3Error: when it is none."""
    text = s3.query.get(name)
    if text is None or text == "":
        return default
    found = natural(text)
    if found is None or found > 2_147_483_647:
        raise S3Error(
            "InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=text
        )
    return min(found, most)


async def list_buckets(s3: S3Request) -> Answer:
    """List the buckets of the caller's project."""
    if s3.who.ctx is None:
        raise S3Error("AccessDenied")
    req = s3.swift(s3.who.account)
    await access.authorize_account(req, write=False)
    most, prefix = number_of(s3, "max-buckets", 10_000, 10_000), s3.query.get("prefix", "")
    marker, region = _untoken(s3.query.get("continuation-token")), s3.query.get("bucket-region")
    here = region in (None, "", s3.cloud.settings.region)
    found: list[ContainerEntry] = []
    while here and len(found) <= most:
        page = await s3.store.placement.account(s3.who.account, Listing(marker=marker, prefix=prefix, limit=KEYS_MAX))
        for entry in page.entries:
            marker = entry.name
            if isinstance(entry, ContainerEntry) and is_name(entry.name):
                found.append(entry)
        if len(page.entries) < KEYS_MAX:
            break
    listed = "".join(
        wrap("Bucket", tag("Name", entry.name) + tag("CreationDate", entry.put_at.isoformat[:23] + "Z")) for entry in found[:most]
    )
    inner = acl.owner_xml(s3.who.project_id, directory(s3.cloud)) + wrap("Buckets", listed)
    inner += tag("Prefix", prefix) if prefix else ""
    inner += tag("ContinuationToken", _token(found[most - 1].name)) if len(found) > most > 0 else ""
    return xml_answer(answer("ListAllMyBucketsResult", inner))


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _untoken(text: str | None) -> str:
    if not text:
        return ""
    try:
        found = base64.urlsafe_b64decode(text).decode()
    except (binascii.Error, ValueError):
        found = ""
    if not found:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token")
    return found


def _asked(s3: S3Request, *names: str) -> None:
    for name in names:
        if not is_utf8(s3.query.get(name, "")):
            raise S3Error("InvalidArgument", ArgumentName=name)


async def list_objects(s3: S3Request, bucket: Bucket) -> Answer:
    """List objects, in the first or the second form."""
    _asked(s3, "prefix", "delimiter", "marker", "start-after")
    second, encoder, query = s3.query.get("list-type") == "2", Encoder(s3), s3.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    most = number_of(s3, "max-keys", KEYS_MAX)
    marker = query.get("marker", "")
    if second:
        marker = _untoken(query.get("continuation-token")) or query.get("start-after", "")
    page = Listing(limit=most + 1, prefix=prefix, delimiter=delimiter, marker=marker)
    req = bucket.request(s3, "", method="GET")
    await access.authorize(req, bucket.info, write=False, listing=True)
    found: list[ObjectEntry | Subdir] = []
    if most:
        listed = await s3.store.placement.container(bucket.account, bucket.name, page)
        if listed.info is None:
            raise Refused(404)
        found = list(listed.entries)
    more, shown = len(found) > most, found[:most]
    # the prefix of the first form is not encoded: clients do not decode it there
    inner = tag("Name", s3.bucket) + tag("Prefix", encoder(prefix) if second else prefix) + tag("MaxKeys", most)
    inner += (tag("Delimiter", encoder(delimiter)) if delimiter else "") + encoder.note + tag("IsTruncated", str(more).lower())
    inner += _second_head(s3, shown, more, encoder) if second else _first_head(s3, shown, more, encoder)
    with_owner = not second or query.get("fetch-owner", "").lower() == "true"
    owner = acl.owner_xml(bucket.owner, directory(s3.cloud)) if with_owner else ""
    parts = [_row(entry, encoder, owner) for entry in shown]
    return xml_answer(answer("ListBucketResult", inner + "".join(parts)))


def _first_head(s3: S3Request, shown: list[Any], more: bool, encoder: Encoder) -> str:
    head = tag("Marker", encoder(s3.query.get("marker", "")))
    if more and shown and s3.query.get("delimiter"):
        head += tag("NextMarker", encoder(shown[-1].name))
    return head


def _second_head(s3: S3Request, shown: list[Any], more: bool, encoder: Encoder) -> str:
    head = tag("KeyCount", len(shown))
    if "continuation-token" in s3.query:
        head += tag("ContinuationToken", s3.query["continuation-token"])
    if "start-after" in s3.query:
        head += tag("StartAfter", encoder(s3.query["start-after"]))
    return head + (tag("NextContinuationToken", _token(shown[-1].name)) if more and shown else "")


def _row(entry: ObjectEntry | Subdir, encoder: Encoder, owner: str) -> str:
    if isinstance(entry, Subdir):
        return wrap("CommonPrefixes", tag("Prefix", encoder(entry.name)))
    etag, size = _facts(entry)
    inner = tag("Key", encoder(entry.name)) + tag("LastModified", lock.to_date(entry.modified_at.ceiling))
    return wrap("Contents", inner + tag("ETag", f'"{etag}"') + tag("Size", size) + owner + tag("StorageClass", "STANDARD"))


def _facts(entry: ObjectEntry) -> tuple[str, int]:
    """Return the ETag and the size of an object in a listing."""
    if "; " not in entry.etag:
        return entry.etag, entry.size_bytes
    etag, facts = entries.split_etag(entry.etag)
    size = int(facts.get("symlink_target_bytes", entry.size_bytes))
    slo = f"{facts['slo_etag']}-N" if "slo_etag" in facts else ""
    return facts.get("s3_etag") or slo or facts.get("symlink_target_etag") or etag, size


async def list_versions(s3: S3Request, bucket: Bucket) -> Answer:
    """List the versions of all objects, and the markers of deletions."""
    _asked(s3, "prefix", "delimiter", "key-marker")
    encoder, query = Encoder(s3), s3.query
    prefix, delimiter, key_marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("key-marker", "")
    id_marker = query.get("version-id-marker", "")
    if "version-id-marker" in query and (not key_marker or not id_marker):
        invalid = "key-marker" in query and bool(id_marker)
        reason = "Invalid version id specified" if invalid else "A version-id marker cannot be specified without a key marker."
        raise S3Error("InvalidArgument", reason)
    most = number_of(s3, "max-keys", KEYS_MAX)
    page = Listing(limit=most + 1, prefix=prefix, delimiter=delimiter, marker=key_marker)
    asked = {"version_marker": id_marker} if id_marker else {}
    req = bucket.request(s3, "", method="GET", query=asked)
    await access.authorize(req, bucket.info, write=False, listing=True)
    rows = await version_ids.listing(req, bucket.info, page) if most else []
    rows = [row for row in rows if "subdir" not in row or row["subdir"] != key_marker]
    if key_marker and not id_marker:
        rows = [row for row in rows if row.get("name", row.get("subdir")) != key_marker]
    more, shown = len(rows) > most, rows[:most]
    inner = tag("Name", s3.bucket) + tag("Prefix", encoder(prefix)) + tag("KeyMarker", encoder(key_marker))
    inner += tag("VersionIdMarker", id_marker) + tag("MaxKeys", most) + encoder.note
    inner += (tag("Delimiter", encoder(delimiter)) if delimiter else "") + tag("IsTruncated", str(more).lower())
    if more:
        last = shown[-1]
        inner += tag("NextKeyMarker", encoder(str(last.get("name", last.get("subdir")))))
        inner += tag("NextVersionIdMarker", last["version_id"]) if "version_id" in last else ""
    owner = acl.owner_xml(bucket.owner, directory(s3.cloud))
    return xml_answer(answer("ListVersionsResult", inner + "".join(_version_row(row, encoder, owner) for row in shown)))


def _version_row(row: dict[str, Any], encoder: Encoder, owner: str) -> str:
    if "subdir" in row:
        return wrap("CommonPrefixes", tag("Prefix", encoder(row["subdir"])))
    version_id = version_ids.NULL if row.get("null") else row["version_id"]
    inner = tag("Key", encoder(row["name"])) + tag("VersionId", version_id) + tag("IsLatest", str(row["is_latest"]).lower())
    inner += tag("LastModified", lock.to_date(math.ceil(from_iso(row["last_modified"]))))
    if row["content_type"] == versions.MARKER_TYPE:
        return wrap("DeleteMarker", inner + owner)
    etag = row.get("s3_etag") or (row["slo_etag"].rstrip('"') + '-N"' if "slo_etag" in row else f'"{row["hash"]}"')
    return wrap("Version", inner + tag("ETag", etag) + tag("Size", row["bytes"]) + owner + tag("StorageClass", "STANDARD"))
