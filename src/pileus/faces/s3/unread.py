"""Bodies that were not read to their end: what is left of one must not be taken for the next request of the connection.

A request may be refused by its headers alone.  A client that waits for `100 Continue` then sends no body and would use the
connection again: the connection ends.  Others are in the midst of sending: what is short is read and thrown away.
"""

import asyncio
from collections.abc import AsyncIterator

from pileus.faces.s3.numbers import natural
from pileus.kernel.errors import Fault
from pileus.kernel.http import Call

DRAINED_BYTES_MAX, DRAINED_SECONDS = 1_048_576, 5.0


class Incoming:
    """The body of a call; stands where the call's chunks were."""

    def __init__(self, call: Call) -> None:
        assert call.chunks is not None
        self._call, self._source = call, call.chunks()
        self._ended = self._broken = False
        call.chunks = self.chunks

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what is left of it."""
        try:
            async for chunk in self._source:
                yield chunk
            self._ended = True
        except (Fault, asyncio.CancelledError):
            self._broken = True
            raise

    async def settle(self) -> dict[str, str]:
        """Read the rest when it is short, and return the headers that the answer needs: that the connection ends, or none."""
        headers = self._call.headers
        length = natural(headers.get("content-length", "0"))
        if self._ended or (length == 0 and "transfer-encoding" not in headers):
            return {}
        too_long = length is None or length > DRAINED_BYTES_MAX
        if too_long or "expect" in headers or self._broken or not await self._drained():
            return {"Connection": "close"}
        return {}

    async def _drained(self) -> bool:
        try:
            async with asyncio.timeout(DRAINED_SECONDS):
                async for _ in self.chunks():
                    pass
        except (Fault, TimeoutError):
            return False
        return True
