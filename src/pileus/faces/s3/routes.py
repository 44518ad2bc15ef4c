"""Which request is which operation, what it needs to be let in, and how what goes wrong is answered."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pileus.faces.s3 import cors, creation, form, listing, multipart, objects, reading, settings, writing
from pileus.faces.s3.access import Need, admit
from pileus.faces.s3.acl import READ, READ_ACP, WRITE, WRITE_ACP
from pileus.faces.s3.auth import identify
from pileus.faces.s3.buckets import Bucket, find
from pileus.faces.s3.errors import S3Error, body_of, of_refused
from pileus.faces.s3.request import S3Request, read_request
from pileus.faces.s3.sending import XML, nothing
from pileus.faces.s3.unread import Incoming
from pileus.kernel.errors import Fault
from pileus.kernel.http import Answer, Call, FileAnswer, Route, StreamAnswer
from pileus.object_store.backend import Unreachable
from pileus.object_store.request import Refused
from pileus.object_store.service.parts import Unfit

log = logging.getLogger(__name__)

Handler = Callable[[S3Request, Bucket], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """One operation; versioned: with a version's id the action has another name."""

    need: Need
    handler: Handler
    versioned: str = ""


def _on_bucket(action: str, handler: Handler, permission: str = "", data: bool = False) -> Operation:
    return Operation(Need(f"s3:{action}", permission, False, data), handler)


def _on_object(action: str, handler: Handler, permission: str = "", versioned: str = "", data: bool = False) -> Operation:
    return Operation(Need(f"s3:{action}", permission, permission != WRITE, data), handler, f"s3:{versioned}" if versioned else "")


def _absent(code: str) -> Handler:
    async def refuse(s3: S3Request, bucket: Bucket) -> Answer:
        raise S3Error(code, BucketName=bucket.name)

    return refuse


NOT_THERE = _absent("NotImplemented")
BUCKET: Mapping[tuple[str, str], Operation] = {
    ("HEAD", ""): _on_bucket("ListBucket", creation.head, READ, data=True),
    ("DELETE", ""): _on_bucket("DeleteBucket", creation.delete),
    ("GET", ""): _on_bucket("ListBucket", listing.list_objects, READ, data=True),
    ("GET", "versions"): _on_bucket("ListBucketVersions", listing.list_versions, READ, data=True),
    ("GET", "uploads"): _on_bucket("ListBucketMultipartUploads", multipart.list_uploads, READ, data=True),
    ("POST", "delete"): _on_bucket("DeleteObject", writing.delete_many),
    ("GET", "location"): _on_bucket("GetBucketLocation", settings.show_location),
    ("GET", "acl"): _on_bucket("GetBucketAcl", settings.show_acl, READ_ACP),
    ("PUT", "acl"): _on_bucket("PutBucketAcl", settings.set_acl, WRITE_ACP),
    ("GET", "cors"): _on_bucket("GetBucketCORS", settings.show_cors),
    ("PUT", "cors"): _on_bucket("PutBucketCORS", settings.set_cors),
    ("DELETE", "cors"): _on_bucket("PutBucketCORS", settings.remove_cors),
    ("GET", "policy"): _on_bucket("GetBucketPolicy", settings.show_policy),
    ("PUT", "policy"): _on_bucket("PutBucketPolicy", settings.set_policy),
    ("DELETE", "policy"): _on_bucket("DeleteBucketPolicy", settings.remove_policy),
    ("GET", "policyStatus"): _on_bucket("GetBucketPolicyStatus", settings.show_policy_status),
    ("GET", "tagging"): _on_bucket("GetBucketTagging", settings.show_tags),
    ("PUT", "tagging"): _on_bucket("PutBucketTagging", settings.set_tags),
    ("DELETE", "tagging"): _on_bucket("PutBucketTagging", settings.remove_tags),
    ("GET", "versioning"): _on_bucket("GetBucketVersioning", settings.show_versioning),
    ("PUT", "versioning"): _on_bucket("PutBucketVersioning", settings.set_versioning),
    ("GET", "object-lock"): _on_bucket("GetBucketObjectLockConfiguration", settings.show_lock),
    ("PUT", "object-lock"): _on_bucket("PutBucketObjectLockConfiguration", settings.set_lock),
    ("GET", "lifecycle"): _on_bucket("GetLifecycleConfiguration", settings.show_lifecycle),
    ("PUT", "lifecycle"): _on_bucket("PutLifecycleConfiguration", settings.set_lifecycle),
    ("DELETE", "lifecycle"): _on_bucket("PutLifecycleConfiguration", settings.remove_lifecycle),
    ("GET", "ownershipControls"): _on_bucket("GetBucketOwnershipControls", settings.show_ownership),
    ("PUT", "ownershipControls"): _on_bucket("PutBucketOwnershipControls", settings.set_ownership),
    ("DELETE", "ownershipControls"): _on_bucket("PutBucketOwnershipControls", settings.remove_ownership),
    ("GET", "publicAccessBlock"): _on_bucket("GetBucketPublicAccessBlock", settings.show_block),
    ("PUT", "publicAccessBlock"): _on_bucket("PutBucketPublicAccessBlock", settings.set_block),
    ("DELETE", "publicAccessBlock"): _on_bucket("PutBucketPublicAccessBlock", settings.remove_block),
    ("GET", "requestPayment"): _on_bucket("GetBucketRequestPayment", settings.show_payer),
    ("GET", "logging"): _on_bucket("GetBucketLogging", settings.show_logging),
    ("GET", "notification"): _on_bucket("GetBucketNotification", settings.show_notification),
    ("GET", "accelerate"): _on_bucket("GetAccelerateConfiguration", settings.show_acceleration),
    ("GET", "encryption"): _on_bucket("GetEncryptionConfiguration", settings.show_encryption),
    ("PUT", "encryption"): _on_bucket("PutEncryptionConfiguration", settings.set_encryption),
    ("DELETE", "encryption"): _on_bucket("PutEncryptionConfiguration", settings.remove_encryption),
    ("GET", "website"): _on_bucket("GetBucketWebsite", _absent("NoSuchWebsiteConfiguration")),
    ("GET", "replication"): _on_bucket("GetReplicationConfiguration", _absent("ReplicationConfigurationNotFoundError")),
}
OBJECT: Mapping[tuple[str, str], Operation] = {
    ("GET", ""): _on_object("GetObject", reading.show, READ, "GetObjectVersion", data=True),
    ("HEAD", ""): _on_object("GetObject", reading.show, READ, "GetObjectVersion", data=True),
    ("GET", "attributes"): _on_object("GetObject", reading.attributes, READ, "GetObjectVersion", data=True),
    ("PUT", ""): _on_object("PutObject", writing.put, WRITE, data=True),
    ("PUT", "copy"): _on_object("PutObject", writing.copy, WRITE, data=True),
    ("DELETE", ""): _on_object("DeleteObject", writing.delete, WRITE, "DeleteObjectVersion", data=True),
    ("GET", "acl"): _on_object("GetObjectAcl", objects.show_acl, READ_ACP, "GetObjectVersionAcl"),
    ("PUT", "acl"): _on_object("PutObjectAcl", objects.set_acl, WRITE_ACP, "PutObjectVersionAcl"),
    ("GET", "tagging"): _on_object("GetObjectTagging", objects.show_tags, "", "GetObjectVersionTagging"),
    ("PUT", "tagging"): _on_object("PutObjectTagging", objects.set_tags, "", "PutObjectVersionTagging"),
    ("DELETE", "tagging"): _on_object("DeleteObjectTagging", objects.remove_tags, "", "DeleteObjectVersionTagging"),
    ("GET", "retention"): _on_object("GetObjectRetention", objects.show_retention),
    ("PUT", "retention"): _on_object("PutObjectRetention", objects.set_retention),
    ("GET", "legal-hold"): _on_object("GetObjectLegalHold", objects.show_hold),
    ("PUT", "legal-hold"): _on_object("PutObjectLegalHold", objects.set_hold),
    ("POST", "uploads"): _on_object("PutObject", multipart.begin, WRITE, data=True),
    ("PUT", "uploadId"): _on_object("PutObject", multipart.put, WRITE, data=True),
    ("PUT", "uploadId copy"): _on_object("PutObject", multipart.copy, WRITE, data=True),
    ("POST", "uploadId"): _on_object("PutObject", multipart.complete, WRITE, data=True),
    ("DELETE", "uploadId"): _on_object("AbortMultipartUpload", multipart.abort, WRITE, data=True),
    ("GET", "uploadId"): _on_object("ListMultipartUploadParts", multipart.list_parts, WRITE, data=True),
}
KNOWN = (
    "acl", "attributes", "accelerate", "analytics", "cors", "delete", "encryption", "intelligent-tiering", "inventory",
    "legal-hold", "lifecycle", "location", "logging", "metrics", "notification", "object-lock", "ownershipControls", "policy",
    "policyStatus", "publicAccessBlock", "replication", "requestPayment", "restore", "retention", "select", "tagging",
    "torrent", "uploads", "uploadId", "versioning", "versions", "website",
)  # fmt: skip


def operation_of(s3: S3Request) -> Operation:
    """Return the operation that a request is.  :raises S3Error: when there is none such."""
    table = OBJECT if s3.key else BUCKET
    chosen = next((name for name in KNOWN if name in s3.query), "")
    if s3.key and s3.method == "PUT" and "x-amz-copy-source" in s3.headers and chosen in ("", "uploadId"):
        chosen = f"{chosen} copy".strip()
    found = table.get((s3.method, chosen))
    if found is not None:
        return found
    if chosen or s3.method == "POST":
        raise S3Error("NotImplemented")
    raise S3Error("MethodNotAllowed", Method=s3.method, ResourceType="OBJECT" if s3.key else "BUCKET")


async def _serve(s3: S3Request) -> Any:
    if s3.method == "OPTIONS":
        return await _preflight(s3)
    s3.who = await identify(s3.call, s3.facts["host_bucket"])
    if not s3.bucket:
        if s3.method != "GET":
            raise S3Error("MethodNotAllowed", Method=s3.method, ResourceType="SERVICE")
        return await listing.list_buckets(s3)
    if s3.method == "PUT" and not s3.key and not any(name in s3.query for name in KNOWN):
        return await creation.create(s3)
    if s3.method == "POST" and not s3.key and not any(name in s3.query for name in KNOWN):
        bucket = s3.facts["found"] = await find(s3, s3.bucket)
        return await form.upload(s3, bucket)
    operation = operation_of(s3)
    bucket = await find(s3, s3.bucket)
    s3.facts["found"] = bucket
    expected = s3.headers.get("x-amz-expected-bucket-owner")
    if expected is not None and expected != bucket.owner:
        raise S3Error("AccessDenied")
    need = operation.need
    if operation.versioned and "versionId" in s3.query:
        need = replace(need, action=operation.versioned)
    if operation.handler is not writing.delete_many:
        await admit(s3, bucket, need)
    return await operation.handler(s3, bucket)


async def _preflight(s3: S3Request) -> Answer:
    origin, method = s3.headers.get("origin"), s3.headers.get("access-control-request-method")
    if not origin or not method:
        raise S3Error("InvalidRequest", "Insufficient information. Origin request header needed.")
    bucket = await find(s3, s3.bucket)
    rules = cors.decode(bucket.setting("Cors"))
    asked = s3.headers.get("access-control-request-headers", "")
    return nothing(200, cors.preflight(rules, origin, method, asked))


async def serve(call: Call) -> Any:
    """Serve one request."""
    s3: S3Request | None = None
    incoming = Incoming(call)
    try:
        s3 = read_request(call)
        found = await _serve(s3)
    except (Fault, Unreachable) as fault:
        error = _error(fault, s3)
        resource = call.path_url[len(call.base_url) :]
        fields = {"HostId": call.ctx.request_id, **error.fields}
        body = body_of(error.kind, error.message, resource, call.ctx.request_id, fields)
        found = Answer(body, error.status, error.headers, XML)
    found = _with_cors(s3, found)
    more = {"x-amz-id-2": call.ctx.request_id, **await incoming.settle()}
    return replace(found, headers={**found.headers, **more})


def _error(fault: Exception, s3: S3Request | None) -> S3Error:
    if isinstance(fault, S3Error):
        return fault
    key = s3.key if s3 else ""
    if isinstance(fault, Unfit):
        return multipart.of_unfit(fault, s3.query.get("uploadId", "") if s3 else "")
    if isinstance(fault, Refused):
        return of_refused(fault, key, s3.query.get("versionId", "") if s3 else "")
    if isinstance(fault, Fault):
        return of_refused(Refused(fault.status, fault.message), key)
    return S3Error("ServiceUnavailable")


def _with_cors(s3: S3Request | None, found: Any) -> Any:
    """Give an answer the headers that let the page that asked see it."""
    bucket = s3.facts.get("found") if s3 is not None else None
    if s3 is None or bucket is None or "origin" not in s3.headers or not bucket.setting("Cors"):
        return found
    method = s3.headers.get("access-control-request-method", s3.method)
    rule = cors.choose(cors.decode(bucket.setting("Cors")), s3.headers["origin"], method)
    if rule is None or not isinstance(found, Answer | FileAnswer | StreamAnswer):
        return found
    return replace(found, headers={**found.headers, **cors.shown(rule, s3.headers["origin"])})


METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS")
PATHS = ("/", "/{bucket}", "/{bucket}/{key:rest}")
ROUTES = tuple(Route(method, path, serve, stream=True, public=True) for path in PATHS for method in METHODS)
