"""A request to S3: which bucket and key it means, who asks, and the requests to the object store that it becomes."""

import base64
import ipaddress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from pileus.faces.s3 import xml
from pileus.faces.s3.announced import md5_of
from pileus.faces.s3.auth import Who
from pileus.faces.s3.body import Upload, read
from pileus.faces.s3.errors import S3Error
from pileus.kernel.context import Cloud
from pileus.kernel.http import Call
from pileus.kernel.settings import Settings
from pileus.object_store.listing import is_utf8
from pileus.object_store.request import Bytes, Request
from pileus.object_store.state import ObjectStore
from pileus.object_store.timestamps import Timestamp

XML_BYTES_MAX = 1_048_576
REGISTRY_NAME = "s3"


@dataclass
class S3Request:
    """One request."""

    call: Call
    store: ObjectStore
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    at: Timestamp
    who: Who = field(default_factory=Who)
    vouched: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.call.method

    @property
    def cloud(self) -> Cloud:
        """The cloud that is asked."""
        return self.call.cloud

    @property
    def now(self) -> float:
        """The time, epoch seconds."""
        return self.cloud.clock.now()

    @cached_property
    def body(self) -> Upload:
        """The body."""
        whole = self.method == "POST" and "uploadId" in self.query  # a checksum there is of the object, not of the body
        return read(self.call, self.who.signed, self.store.limits.client_timeout_seconds, not whole)

    def swift(self, account: str, container: str = "", name: str = "", **changes: Any) -> Request:
        """Return the request to the object store that this one becomes."""
        base = Request(
            cloud=self.cloud,
            store=self.store,
            method=self.method,
            account=account,
            container=container,
            name=name,
            body=Bytes(),
            at=self.at,
            caller=self.who.caller,
            client=self.call.client,
            trans_id=self.call.ctx.request_id,
            vouched=self.vouched,
            facts=self.facts,
        )
        for key, value in changes.items():
            setattr(base, key, value)
        return base

    async def document(self, root: str, most: int = XML_BYTES_MAX, code: str = "MalformedXML") -> xml.Element:
        """Read the body as a document with this root.  :raises S3Error: when it is none."""
        md5 = md5_of(self.headers)
        if self.body.length is not None and self.body.length > most:
            raise S3Error(code, "The body is too large.")
        raw = await self.body.whole(most)
        if md5:
            check_md5(raw, md5)
        if not raw:
            raise S3Error("MissingRequestBodyError")
        try:
            found = xml.parse(raw)
        except xml.BadXml as error:
            raise S3Error(code) from error
        if found.name != root:
            raise S3Error(code)
        return found


def check_md5(raw: bytes, md5: str) -> None:
    """Hold bytes to their MD5.  :raises S3Error: when they have another."""
    import hashlib  # noqa: PLC0415

    if hashlib.md5(raw, usedforsecurity=False).hexdigest() != md5:
        raise S3Error("BadDigest", ExpectedDigest=base64.b64encode(bytes.fromhex(md5)).decode())


def domains(settings: Settings) -> tuple[str, ...]:
    """Return the names of hosts below which a host is a bucket."""
    if settings.s3_domain:
        return tuple(part.strip().lower() for part in settings.s3_domain.split(",") if part.strip())
    host = settings.public_host or settings.listen.rpartition(":")[0].strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return (host.lower(),) if host else ()
    return ()


def bucket_of_host(host: str, among: tuple[str, ...]) -> str | None:
    """Return the bucket that a Host header names; "" for the domain itself, None for another host."""
    name = host.lower()
    if not name.endswith("]"):
        head, colon, port = name.rpartition(":")
        name = head if colon and port.isdecimal() else name
    for domain in among:
        if name == domain:
            return ""
        if name.endswith("." + domain):
            return name[: -len(domain) - 1]
    return None


def read_request(call: Call) -> S3Request:
    """Return the request that a call makes; who asks is not known yet.  :raises S3Error: for a path that is none."""
    raw = call.path_url[len(call.base_url) :]
    path = unquote(raw, errors="surrogateescape")
    if not is_utf8(path):
        raise S3Error("InvalidURI")
    named = bucket_of_host(call.headers.get("host", ""), domains(call.cloud.settings)) or ""
    bucket, _, key = (f"{named}/{path[1:]}" if named else path[1:]).partition("/")
    store = call.cloud.part(ObjectStore)
    headers = {
        name: value if value.isascii() else value.encode("latin-1").decode("utf-8", "surrogateescape")
        for name, value in call.headers.items()
    }
    at = store.next_timestamp(call.cloud.clock)
    return S3Request(call, store, bucket, key, dict(call.query.pairs), headers, at, facts={"host_bucket": named})
