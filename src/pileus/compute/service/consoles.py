"""Remote consoles: the right to open one, given out as a token for a while, and what a token opens.

    POST remote-consoles --> token, URL --> browser --> page (noVNC) --> WebSocket with the token --> the guest's socket

The token is all that the page and the WebSocket need: a browser has no other way to show who it is.
"""

import hashlib
from dataclasses import dataclass

from pileus.compute.driver import DriverError
from pileus.compute.policies.servers import API
from pileus.compute.service import server_access as access
from pileus.compute.store import consoles as store
from pileus.compute.tasks import guests
from pileus.identity.service import catalog
from pileus.kernel import ids
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound

PLACE = catalog.OWN_URL + "/console|6080"
SERVED = {("vnc", "novnc"), ("serial", "serial")}


@dataclass(frozen=True)
class Console:
    """A console that may be opened: what it is, and where."""

    protocol: str
    kind: str
    url: str


@dataclass(frozen=True)
class Target:
    """What a token opens: a unix socket on a host."""

    server_id: str
    host: str
    kind: str
    path: str


def open_console(ctx: Context, server_id: str, protocol: str, kind: str) -> Console:
    """Give the caller the right to open a console of a server for a while.

    :raises BadRequest: when no such console is served.
    :raises Conflict: when the server is not on a host.
    """
    with ctx.cloud.db.read() as tx:
        server = access.find(ctx, tx, server_id, API + "os-remote-consoles")
    if (protocol, kind) not in SERVED:
        raise BadRequest(f"Unavailable console type {kind}.", kind="ConsoleTypeUnavailable")
    access.require_state(server, "get_vnc_console")
    if server.host is None:
        raise Conflict(f"Instance {server_id} is not ready", kind="InstanceNotReady")
    token, now = ids.secret(32), ctx.cloud.clock.now()
    with ctx.cloud.db.begin() as tx:
        store.forget_expired(tx, now)
        store.add(tx, _hash(token), server_id, kind, now + ctx.cloud.settings.console_token_seconds)
    return Console(protocol, kind, _url(ctx.cloud, kind, token))


def _url(cloud: Cloud, kind: str, token: str) -> str:
    """Return where a console is opened: a page for people, a WebSocket for programs."""
    base = catalog.base_url(cloud.settings, PLACE)
    prefix = "" if cloud.settings.classic_ports else "console/"
    if kind == "novnc":
        return f"{base}/vnc_lite.html?path={prefix}websockify%3Ftoken%3D{token}"
    return f"{base.replace('http', 'ws', 1)}/websockify?token={token}"


def show_token(ctx: Context, token: str) -> Target:
    """Return what a token opens, for services.  :raises NotFound: when it is not valid."""
    ctx.require(API + "os-console-auth-tokens")
    return redeem(ctx.cloud, token)


def redeem(cloud: Cloud, token: str) -> Target:
    """Return what a token opens; whoever holds it may.

    :raises NotFound: when it is not valid, or there is no such socket now.
    """
    with cloud.db.read() as tx:
        found = store.find(tx, _hash(token), cloud.clock.now())
    if found is None:
        raise NotFound("Token not found")
    try:
        seen = guests.hypervisor(cloud, found.host).observe(found.server_id)
    except (DriverError, HostUnknown) as error:
        raise NotFound(f"The host of the server cannot be asked: {error}") from error
    path = (seen.vnc if found.kind == "novnc" else seen.serial) if seen else ""
    if not path or seen is None or seen.power not in ("on", "paused"):
        raise NotFound("The server is not running.")
    return Target(found.server_id, found.host, found.kind, path)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
