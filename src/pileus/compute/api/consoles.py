"""/v2.1/servers/{id}/remote-consoles and its forerunners; and the console itself: noVNC's page, and a WebSocket to the guest.

The page is Debian's package novnc, installed or unpacked in a cache folder.
"""

import asyncio
import contextlib
import mimetypes
import re
from pathlib import Path
from typing import Any

from pileus.compute.policies.servers import API
from pileus.compute.schemas import servers as schemas
from pileus.compute.service import consoles
from pileus.guest import packages
from pileus.kernel import faults
from pileus.kernel.context import Cloud
from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.http import Answer, Call, Route, Service
from pileus.kernel.sockets import Socket

READ_BYTES = 65536
CONNECT_SECONDS = 5.0
SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")
ERRORS = (400, 401, 403, 404, 409)

MISSING_PAGE = b"""<!DOCTYPE html>
<html><head><title>noVNC</title></head><body>
<p>The pages of noVNC are not on this machine. <code>make ready</code> in a checkout of Pileus fetches them, or install Debian's
package: <code>apt-get install --no-install-recommends novnc</code>.</p>
<script></script></body></html>
"""


def create(call: Call) -> Any:
    """Open a remote console."""
    wanted = call.body.remote_console
    if wanted.type == "spice-direct" and not call.since("2.99"):
        raise BadRequest("Invalid input for field/attribute type. Value: spice-direct.")
    console = consoles.open_console(call.ctx, call.path["server_id"], wanted.protocol, wanted.type)
    return {"remote_console": {"protocol": console.protocol, "type": console.kind, "url": console.url}}


def create_older(call: Call, server_id: str, protocol: str, kind: str) -> Any:
    """Open a remote console by a server's action (until 2.5)."""
    console = consoles.open_console(call.ctx, server_id, protocol, kind)
    return Answer({"console": {"type": console.kind, "url": console.url}}, status=200)


def show_token(call: Call) -> Any:
    """Show what a console's token opens."""
    found = consoles.show_token(call.ctx, call.path["token"])
    shown = {"instance_uuid": found.server_id, "host": found.host, "port": 0, "internal_access_path": found.path}
    shown |= {"tls_port": None} if call.since("2.99") else {}
    return {"console": shown}


def page(call: Call) -> Any:
    """Send a file of noVNC."""
    name = call.path["name"]
    folder = packages.find_novnc()
    if folder and SAFE.match(name) and (folder / name).is_file():
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Answer((folder / name).read_bytes(), headers={"Cache-Control": "max-age=3600"}, content_type=kind)
    if name == "vnc_lite.html":
        return Answer(MISSING_PAGE, content_type="text/html")
    raise NotFound("There is no such page.")


async def connect(cloud: Cloud, socket: Socket) -> None:
    """Connect a WebSocket to what its token opens, until either end goes away."""
    if not socket.is_same_site:
        return await socket.refuse()
    try:
        target = await asyncio.to_thread(consoles.redeem, cloud, socket.query.get("token", ""))
        opening = _open(cloud, target.path)
        reader, writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
    except (NotFound, OSError, TimeoutError):
        return await socket.refuse()
    try:
        await socket.accept()
        await _join(socket, reader, writer)
    finally:
        writer.close()
    return None


async def _open(cloud: Cloud, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a console: a unix socket of this host, or a stream of another one."""
    if path.startswith("https:"):
        from pileus.certificates import Identity  # noqa: PLC0415  (a cloud of one host has no others to ask)
        from pileus.kernel import peers  # noqa: PLC0415

        return await peers.connect(Identity(Path(cloud.settings.state_dir) / "tls"), path)
    return await asyncio.open_unix_connection(path)


async def _join(socket: Socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pump = asyncio.create_task(_pump(socket, reader))
    try:
        while (data := await socket.receive()) is not None:
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the guest's end is gone; the pump says so to the client
    finally:
        pump.cancel()


async def _pump(socket: Socket, reader: asyncio.StreamReader) -> None:
    """Send what the guest's end says; when it goes away, end the WebSocket, which wakes whoever receives of it."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(READ_BYTES):
            await socket.send(data)
    await socket.close()


routes = (
    Route(
        "POST", "/v2.1/servers/{server_id}/remote-consoles", create, body=schemas.RemoteConsole, since="2.6",
        rule=API + "os-remote-consoles", errors=ERRORS,
    ),
    Route("GET", "/v2.1/os-console-auth-tokens/{token}", show_token, since="2.31", rule=API + "os-console-auth-tokens"),
)  # fmt: skip

PAGES = Service(
    "console",
    "Remote consoles",
    (Route("GET", "/{name:rest}", page, public=True),),
    faults.nova,
    classic_ports=(6080,),
    sockets={"/websockify": connect},
)
