"""Backups in this cloud's own object store, in an account that no project has, so that nobody else can change them there."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

from pileus.kernel.context import Cloud, cloud_itself
from pileus.object_store.caller import Caller
from pileus.object_store.request import Bytes, FileSlice, Refused, Request, Response
from pileus.object_store.service import containers, objects
from pileus.object_store.state import ObjectStore
from pileus.volume.backup_target import ObjectMissing, TargetError, TargetFull, check_name

SERVICE = "cinder.backup.drivers.pileus.swift"
PROJECT = "volume-backups"
NO_ROOM = (413, 507)


class OwnTarget:
    """Fulfils `BackupTarget`."""

    service = SERVICE

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def put(self, container: str, name: str, data: bytes) -> None:
        async def run() -> None:
            headers = {"content-type": "application/octet-stream"}
            request = self._request("PUT", container, check_name(name), headers=headers, body=Bytes(data))
            try:
                await objects.create(request)
            except Refused as refused:
                if refused.status != 404:
                    raise
                await containers.create(self._request("PUT", container))
                again = self._request("PUT", container, name, headers=headers, body=Bytes(data))
                await objects.create(again)

        _run(run(), name)

    def get(self, container: str, name: str) -> bytes:
        async def run() -> bytes:
            return await _body(await objects.show(self._request("GET", container, check_name(name))))

        return bytes(_run(run(), name))

    def delete(self, container: str, name: str) -> None:
        async def run() -> None:
            try:
                await objects.delete(self._request("DELETE", container, check_name(name)))
            except Refused as refused:
                if refused.status != 404:
                    raise

        _run(run(), name)

    def list(self, container: str, prefix: str) -> Iterator[str]:
        async def run(marker: str) -> bytes:
            query = {"prefix": check_name(prefix) + "/", "marker": marker, "format": "plain"}
            try:
                return await _body(await containers.show(self._request("GET", container, query=query)))
            except Refused as refused:
                if refused.status != 404:
                    raise
                return b""

        marker = ""
        while names := _run(run(marker), prefix).decode().splitlines():
            yield from names
            marker = names[-1]

    def _request(self, method: str, container: str, name: str = "", **more: Any) -> Request:
        store = self._cloud.part(ObjectStore)
        return Request(
            cloud=self._cloud, store=store, method=method, account=f"AUTH_{PROJECT}", container=container, name=name,
            at=store.next_timestamp(self._cloud.clock), caller=Caller(cloud_itself(self._cloud, PROJECT)), **more,
        )  # fmt: skip


async def _body(response: Response) -> bytes:
    try:
        body = response.body
        if isinstance(body, bytes):
            return body
        if isinstance(body, FileSlice):
            return await asyncio.to_thread(_read, body)
        return b"".join([chunk async for chunk in body])
    finally:
        if response.close is not None:
            await response.close()


def _read(part: FileSlice) -> bytes:
    with open(part.path, "rb") as file:
        file.seek(part.start)
        return file.read(part.length)


def _run(work: Coroutine[Any, Any, Any], name: str) -> Any:
    try:
        return asyncio.run(work)
    except Refused as refused:
        if refused.status == 404:
            raise ObjectMissing(f"There is no object {name}.") from None
        kind = TargetFull if refused.status in NO_ROOM else TargetError
        raise kind(f"The object store refused {name}: {refused.status} {refused.message}") from refused
    except OSError as error:
        raise TargetError(f"The object store failed at {name}: {error}") from error
