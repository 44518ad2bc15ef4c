"""One request to a server of somebody else's, over HTTP or HTTPS; its body streamed, its answer's body ignored."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

from pileus.object_store.backend import Unreachable

CONNECT_SECONDS, ANSWER_SECONDS, WRITE_SECONDS = 5.0, 60.0, 60.0
HEAD_BYTES_MAX = 131_072


async def request(
    method: str, url: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None = None
) -> tuple[int, dict[str, str]]:
    """Send a request and return the status and the headers (in lower case) of its answer.  Redirections are not followed.

    :raises Unreachable: when there is no answer.
    """
    where = urlsplit(url)
    secure = where.scheme == "https"
    host, port = where.hostname or "", where.port or (443 if secure else 80)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            context = ssl.create_default_context() if secure else None
            reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=HEAD_BYTES_MAX)
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"{host}:{port}: {error}") from error
    try:
        sent = {"Host": where.netloc, "Connection": "close", **headers}
        if body is None:
            sent.setdefault("Content-Length", "0")
        lines = [f"{method} {where.path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))
        if body is not None:
            async for piece in body:
                writer.write(piece)
                async with asyncio.timeout(WRITE_SECONDS):
                    await writer.drain()
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _answer(reader)
    except (OSError, EOFError, asyncio.LimitOverrunError, ValueError, IndexError, TimeoutError) as error:
        raise Unreachable(f"{host}:{port}: {error!r}") from error
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    while True:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        status = int(first.split(" ", 2)[1])
        if status >= 200:
            return status, {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
