"""Bodies of refused requests: what is left of one must not be taken for the next request of the connection.

A server closes a connection whose body was not read, behind the answer; who uses it again meets an end where they want an
answer.  So what is short is read and thrown away; otherwise the answer says that the connection ends.
"""

import asyncio

from pileus.kernel.errors import Fault
from pileus.kernel.http import Call
from pileus.object_store.api.front import Upload
from pileus.object_store.request import Body

DRAINED_BYTES_MAX, DRAINED_SECONDS = 1_048_576, 5.0
CLOSING = {"Connection": "close"}


async def settle(call: Call, body: Body | None) -> dict[str, str]:
    """Read the rest of a body when it is short, and return the headers that the answer needs: that the connection ends, or none.

    :param body: what the request was given to read it by; None: it was refused before.
    """
    headers = call.headers
    length = headers.get("content-length", "0")
    if (length == "0" and "transfer-encoding" not in headers) or (body is not None and not isinstance(body, Upload)):
        return {}
    if body is not None and body.ended:
        return {}
    broken = body is not None and body.broken
    too_long = not length.isdecimal() or len(length) > 9 or int(length) > DRAINED_BYTES_MAX
    if broken or too_long or "expect" in headers or not await _drained(call):
        return CLOSING
    return {}


async def _drained(call: Call) -> bool:
    if call.chunks is None:
        return False
    size = 0
    try:
        async with asyncio.timeout(DRAINED_SECONDS):
            async for chunk in call.chunks():
                size += len(chunk)
                if size > DRAINED_BYTES_MAX:
                    return False
    except (Fault, TimeoutError):
        return False
    return True
