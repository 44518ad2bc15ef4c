"""Content in this cloud's own object store, in an account that no project has, so that nobody else can change it there."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from pileus.image.backend import BackendError, BackendFull, ContentMissing
from pileus.image.backends.objects import FilePart, ObjectBackend
from pileus.image.files import READ_BYTES
from pileus.kernel.context import Cloud, cloud_itself
from pileus.object_store.caller import Caller
from pileus.object_store.request import Bytes, FileSlice, Refused, Request, Response, Stream
from pileus.object_store.service import containers, objects
from pileus.object_store.state import ObjectStore

PROJECT = "images"
NO_ROOM = (413, 507)
T = TypeVar("T")


class OwnAccount:
    """Fulfils `Account`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def put(self, container: str, name: str, body: FilePart | bytes, headers: Mapping[str, str]) -> None:
        async def run() -> None:
            try:
                await containers.show(self._request("HEAD", container))
            except Refused as refused:
                if refused.status != 404:
                    raise
                await containers.create(self._request("PUT", container))
            given = Bytes(body) if isinstance(body, bytes) else Stream(_blocks(body), body.length)
            await objects.create(self._request("PUT", container, name, headers=dict(headers), body=given))

        _run(run(), name)

    def read(self, container: str, name: str, start: int, length: int | None) -> Iterator[bytes]:
        headers = (
            {} if not start and length is None else {"range": f"bytes={start}-{'' if length is None else start + length - 1}"}
        )
        loop = asyncio.new_event_loop()  # one for the whole reading: what it opens lives in it
        try:
            response = _translated(
                name, loop.run_until_complete, objects.show(self._request("GET", container, name, headers=headers))
            )
            try:
                yield from _read(loop, response, name)
            finally:
                if response.close is not None:
                    loop.run_until_complete(response.close())
        finally:
            loop.close()

    def size_bytes(self, container: str, name: str) -> int | None:
        response: Response = _run(objects.show(self._request("HEAD", container, name)), name)
        return response.length if response.length is not None else int(response.headers.get("Content-Length", 0))

    def delete(self, container: str, name: str) -> None:
        try:
            _run(objects.delete(self._request("DELETE", container, name)), name)
        except ContentMissing:
            return

    def list(self, container: str, prefix: str) -> list[str]:
        async def run() -> bytes:
            answer = await containers.show(self._request("GET", container, query={"prefix": prefix, "format": "plain"}))
            return bytes(answer.body) if isinstance(answer.body, bytes) else b""

        try:
            return _run(run(), prefix).decode().splitlines()
        except ContentMissing:
            return []

    def _request(self, method: str, container: str, name: str = "", **more: Any) -> Request:
        store = self._cloud.part(ObjectStore)
        return Request(
            cloud=self._cloud, store=store, method=method, account=f"AUTH_{PROJECT}", container=container, name=name,
            at=store.next_timestamp(self._cloud.clock), caller=Caller(cloud_itself(self._cloud, PROJECT)), **more,
        )  # fmt: skip


class OwnBackend(ObjectBackend):
    """Fulfils `Backend`."""

    def __init__(self, cloud: Cloud, container: str) -> None:
        super().__init__(OwnAccount(cloud), container)


async def _blocks(part: FilePart) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(part.read, READ_BYTES):
        yield block


def _read(loop: asyncio.AbstractEventLoop, response: Response, name: str) -> Iterator[bytes]:
    body = response.body
    if isinstance(body, bytes):
        yield body
    elif isinstance(body, FileSlice):
        with open(body.path, "rb") as file:
            file.seek(body.start)
            left = body.length
            while left and (block := file.read(min(READ_BYTES, left))):
                left -= len(block)
                yield block
    else:
        blocks = aiter(body)
        while block := _translated(name, loop.run_until_complete, _next(blocks)):
            yield block


async def _next(blocks: AsyncIterator[bytes]) -> bytes:
    async for block in blocks:
        if block:
            return block
    return b""


def _run(work: Coroutine[Any, Any, T], name: str) -> T:
    return _translated(name, asyncio.run, work)


def _translated(name: str, run: Any, work: Coroutine[Any, Any, T]) -> T:
    try:
        found: T = run(work)
    except Refused as refused:
        if refused.status == 404:
            raise ContentMissing(f"There is no object {name}.") from None
        kind = BackendFull if refused.status in NO_ROOM else BackendError
        raise kind(f"The object store refused {name}: {refused.status} {refused.message}") from refused
    except OSError as error:
        raise BackendError(f"The object store failed at {name}: {error.strerror or error}") from error
    return found
