"""Encryption at rest: a placement that keeps nothing of an object readable but its name, its size and its content type.

It stands between the proxy and the devices, so that whatever the proxy does (ranges, copies, large objects, versions, S3)
meets what callers sent, and the devices, their auditors and replicators meet ciphertext.

    X-Object-Sysmeta-Crypto-Body                 the body's key, sealed
    X-Object-Sysmeta-Crypto-Etag                 the ETag of what was sent, sealed (the file's own is that of the ciphertext)
    X-Object-Transient-Sysmeta-Crypto-Meta-NAME  the value of X-Object-Meta-NAME, sealed
    X-Object-Sysmeta-Container-Update-Override-Etag   what listings tell, sealed with the container's key

Objects that were stored before, without these headers, are read as they are.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from msgspec.structs import replace

from pileus.object_store.backend import (
    NO_HEADERS,
    Cluster,
    ObjectAnswer,
    ObjectMetadata,
    ObjectName,
    ObjectPost,
    ObjectPut,
    Written,
)
from pileus.object_store.ciphers import BodyKey, Secrets, Unreadable
from pileus.object_store.indexes import ContainerAnswer, Listing, ObjectEntry
from pileus.object_store.placement import Placement
from pileus.object_store.replicas import Held, Sent
from pileus.object_store.request import Refused

BODY, ETAG = "X-Object-Sysmeta-Crypto-Body", "X-Object-Sysmeta-Crypto-Etag"
META, SEALED_META = "X-Object-Meta-", "X-Object-Transient-Sysmeta-Crypto-Meta-"
INDEX_ETAG = "X-Object-Sysmeta-Container-Update-Override-Etag"
SEALED = "sealed:"
THREADED_BYTES = 65_536


def _path(name: ObjectName) -> str:
    return f"/{name.account}/{name.container}/{name.object}"


def _box(account: str, container: str) -> str:
    return f"/{account}/{container}"


@dataclass
class Sealing:
    """An upload whose body is encrypted as it passes."""

    inner: Sent
    secrets: Secrets
    name: ObjectName
    put: ObjectPut
    body_key: BodyKey
    turn: Callable[[bytes], bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.turn = self.body_key.turner()
        self.digest = hashlib.md5(usedforsecurity=False)

    def _seal(self, data: bytes) -> bytes:
        self.digest.update(data)
        return self.turn(data)

    async def write(self, data: bytes) -> None:
        """Hand on bytes.  :raises Refused: 503 when too few replicas are left."""
        sealed = await asyncio.to_thread(self._seal, data) if len(data) > THREADED_BYTES else self._seal(data)
        await self.inner.write(sealed)

    async def commit(self, footer: Mapping[str, str] = NO_HEADERS) -> Written:
        """Make it the object, and return what a majority says, with the ETag of what was sent."""
        etag = self.digest.hexdigest()
        if (footer.get("Etag") or self.put.etag or etag) != etag:
            await self.inner.abort()
            return Written(HTTPStatus.UNPROCESSABLE_ENTITY, etag=etag)
        more = {key: value for key, value in footer.items() if key != "Etag"}
        path, secrets = _path(self.name), self.secrets
        shown = more.get(INDEX_ETAG) or self.put.headers.get(INDEX_ETAG) or etag
        shown = etag + shown if shown.startswith("; ") else shown  # facts alone: they stand beside the ETag
        sealed = seal_headers(secrets, self.name, more) | {
            BODY: secrets.seal(path, self.body_key.pack(), BODY),
            ETAG: secrets.seal(path, etag.encode(), ETAG),
            INDEX_ETAG: SEALED + secrets.seal(_box(self.name.account, self.name.container), shown.encode(), INDEX_ETAG),
        }
        written = await self.inner.commit(sealed)
        return replace(written, etag=etag)

    async def abort(self) -> None:
        """Forget it everywhere."""
        await self.inner.abort()


def seal_headers(secrets: Secrets, name: ObjectName, headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with the callers' metadata sealed."""
    path, found = _path(name), {}
    for key, value in headers.items():
        if key.startswith(META):
            kept = SEALED_META + key[len(META) :]
            found[kept] = secrets.seal(path, value.encode("utf-8", "surrogateescape"), kept)
        else:
            found[key] = value
    return found


def open_metadata(secrets: Secrets, name: ObjectName, stored: ObjectMetadata) -> ObjectMetadata:
    """Return the metadata of an object as it was sent.  :raises Unreadable: when a secret is missing."""
    if BODY not in stored.headers and not any(key.startswith(SEALED_META) for key in stored.headers):
        return stored
    path, found, etag = _path(name), {}, stored.etag
    for key, value in stored.headers.items():
        if key.startswith(SEALED_META):
            found[META + key[len(SEALED_META) :]] = secrets.open(path, value, key).decode("utf-8", "surrogateescape")
        elif key == ETAG:
            etag = secrets.open(path, value, ETAG).decode()
        elif key == INDEX_ETAG:
            found[key] = open_etag(secrets, name.account, name.container, value)
        elif key != BODY:
            found[key] = value
    if found.get(INDEX_ETAG) == etag:
        del found[INDEX_ETAG]
    return replace(stored, etag=etag, headers=found)


def open_etag(secrets: Secrets, account: str, container: str, text: str) -> str:
    """Return the text that a listing tells as an object's ETag.  :raises Unreadable: when a secret is missing."""
    if not text.startswith(SEALED):
        return text
    return secrets.open(_box(account, container), text[len(SEALED) :], INDEX_ETAG).decode()


@dataclass
class Opened:
    """An object held open, decrypted as it is read.

    :param answer: of what was sent.
    """

    stored: Held
    answer: ObjectAnswer
    key: BodyKey

    @property
    def inline(self) -> bytes | None:
        """The whole body, when it is at hand."""
        found = self.stored.inline
        return None if found is None else self.key.turner()(found)

    @property
    def path(self) -> str | None:
        """Nothing: the file holds ciphertext."""
        return None

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read the body, or length bytes from start.  :raises Unreachable: when no replica can go on."""
        turn = self.key.turner(start)
        async for chunk in self.stored.chunks(start, length):
            yield await asyncio.to_thread(turn, chunk) if len(chunk) > THREADED_BYTES else turn(chunk)

    async def close(self) -> None:
        """Let go of it."""
        await self.stored.close()


class EncryptedPlacement(Placement):
    """A cluster that keeps objects encrypted."""

    def __init__(self, cluster: Cluster, secrets: Secrets) -> None:
        super().__init__(cluster)
        self._secrets = secrets

    def _answer(self, name: ObjectName, stored: ObjectAnswer) -> ObjectAnswer:
        if stored.metadata is None:
            return stored
        try:
            return replace(stored, metadata=open_metadata(self._secrets, name, stored.metadata))
        except Unreadable as error:
            raise Refused(500, "Error decrypting object") from error

    async def object(self, policy: int, name: ObjectName, newest: bool = False) -> ObjectAnswer:
        """Return what is known of an object.  :raises Refused: 500 when it was encrypted with a secret that is not known."""
        return self._answer(name, await super().object(policy, name, newest))

    async def open(self, policy: int, name: ObjectName, newest: bool = False) -> Held | None:
        """Open an object; None when there is none.  :raises Refused: 500 when its secret is not known."""
        stored = await super().open(policy, name, newest)
        if stored is None or stored.answer.metadata is None:
            return stored
        try:
            answer = self._answer(name, stored.answer)
            sealed = stored.answer.metadata.headers.get(BODY)
            if sealed is None:
                stored.answer = answer
                return stored
            return Opened(stored, answer, BodyKey.unpack(self._secrets.open(_path(name), sealed, BODY)))
        except Unreadable as error:
            await stored.close()
            raise Refused(500, "Error decrypting object") from error
        except Refused:
            await stored.close()
            raise

    async def upload(self, policy: int, name: ObjectName, put: ObjectPut) -> Sent | Written:
        """Begin to write an object, or return the refusal that is certain already."""
        headers = seal_headers(self._secrets, name, put.headers)
        headers.pop(INDEX_ETAG, None)  # comes in the footer, sealed
        inner = await super().upload(policy, name, replace(put, headers=headers, etag=""))
        if isinstance(inner, Written):
            return inner
        return Sealing(inner, self._secrets, name, put, BodyKey.new())

    async def post_object(self, policy: int, name: ObjectName, post: ObjectPost, quiet: bool = False) -> Written:
        """Replace the metadata of an object."""
        sealed = replace(post, headers=seal_headers(self._secrets, name, post.headers))
        return await super().post_object(policy, name, sealed, quiet)

    async def container(self, account: str, container: str, listing: Listing | None = None) -> ContainerAnswer:
        """Return what is known of a container, with names of its objects where a listing is given."""
        found = await super().container(account, container, listing)
        if not found.entries:
            return found
        reveal = partial(open_etag, self._secrets, account, container)
        try:
            entries = [replace(row, etag=reveal(row.etag)) if isinstance(row, ObjectEntry) else row for row in found.entries]
        except Unreadable as error:
            raise Refused(500, "Error decrypting container listing") from error
        return replace(found, entries=entries)
