"""Serves an ASGI app of the object store on one address, until it is told to stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

BACKLOG = 1024
STOP_SECONDS = 10.0
READY_SECONDS = 10.0


@asynccontextmanager
async def serving(app: Any, host: str, port: int) -> AsyncIterator[None]:
    """Serve while the context is open; it opens once the port answers.

    :raises OSError: when the port cannot be had.
    """
    from granian.constants import Interfaces  # noqa: PLC0415
    from granian.server.embed import Server  # noqa: PLC0415

    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        backlog=BACKLOG,
        websockets=False,
        log_enabled=False,
        log_access=False,
    )
    task = asyncio.create_task(server.serve())
    try:
        await _until_open(host, port, task)
        yield
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait([task], timeout=STOP_SECONDS)


async def _until_open(host: str, port: int, task: "asyncio.Task[Any]") -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            if task.done():
                task.result()
                raise OSError(f"the server on {host}:{port} has ended")
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
