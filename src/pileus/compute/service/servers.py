"""Servers: find, list, change, delete, and the small things kept with one.  Creating is in `server_create`, the actions in
`server_actions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from pileus.compute import neighbours, states
from pileus.compute.driver import Diagnostics, DriverError
from pileus.compute.neighbours.network import Nic
from pileus.compute.policies.servers import API, SERVERS
from pileus.compute.service import quotas
from pileus.compute.service import server_access as access
from pileus.compute.store import hosts, server_actions, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.server_volumes import Mapped
from pileus.compute.store.servers import Search, Server
from pileus.compute.tasks import guests
from pileus.compute.tasks import servers as work
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound, OverQuota
from pileus.kernel.paging import Page

TAGS_MAX = 50
UPDATABLE = {"name", "description", "hostname", "access_ipv4", "access_ipv6", "disk_config"}


@dataclass(frozen=True)
class Shown:
    """A server with all that an answer about it may hold.  host_status None: not for the caller's eyes."""

    server: Server
    nics: Sequence[Nic] = ()
    tags: Sequence[str] = ()
    host_status: str | None = None
    volumes: Sequence[Mapped] = ()


@dataclass(frozen=True)
class Sight:
    """What the caller may see of servers."""

    extended: bool = False
    specs: bool = False
    host_status: bool = False


def sight(ctx: Context, server: Server | None = None) -> Sight:
    """Return what the caller may see of a server, or of those of a list."""
    target = None if server is None else {"project_id": server.project_id, "user_id": server.user_id}
    return Sight(
        extended=ctx.can(API + "os-extended-server-attributes", target),
        specs=ctx.can(SERVERS + "show:flavor-extra-specs", target),
        host_status=ctx.can(SERVERS + "show:host_status", target),
    )


def show(ctx: Context, id: str, rule: str = SERVERS + "show") -> Shown:
    """Return a server.

    :raises NotFound: when there is none, or the caller may not know of it.
    """
    with ctx.cloud.db.read() as tx:
        server = access.find(ctx, tx, id, rule)
        return gather(ctx, tx, [server], sight(ctx, server).host_status)[0]


def gather(ctx: Context, tx: Connection, servers: Sequence[Server], host_status: bool) -> list[Shown]:
    """Add to servers what is kept elsewhere, with a few questions for all of them."""
    ids = [server.id for server in servers]
    if not ids:
        return []
    nics = neighbours.network.nics_of(tx, ids)
    tags = store.tags_of(tx, ids)
    volumes = server_volumes.many(tx, ids)
    statuses = _host_statuses(ctx, tx) if host_status else {}
    return [
        Shown(
            server,
            nics.get(server.id, ()),
            tags.get(server.id, ()),
            statuses.get(server.host, "UNKNOWN" if server.host else "") if host_status else None,
            volumes.get(server.id, ()),
        )
        for server in servers
    ]


def _host_statuses(ctx: Context, tx: Connection) -> dict[str, str]:
    now = ctx.cloud.clock.now()

    def word(host: hosts.Host) -> str:
        if host.disabled:
            return "MAINTENANCE"
        return "UP" if host.is_up(now) else "DOWN"

    return {host.name: word(host) for host in hosts.list_hosts(tx)}


@dataclass(frozen=True)
class Query:
    """A list of servers asked for.  ip holds regular expressions for addresses of IP versions 4 and 6."""

    search: Search = field(default_factory=Search)
    page: Page = field(default_factory=Page)
    detail: bool = False
    all_projects: bool = False
    project_id: str | None = None
    ip: Mapping[int, Any] = field(default_factory=dict)


def list_servers(ctx: Context, query: Query) -> list[Shown]:
    """Return a page of servers.

    :raises Forbidden: when other projects' are asked for by someone who may not.
    :raises BadRequest: when the marker is no server.
    """
    kind = "detail" if query.detail else "index"
    ctx.require(SERVERS + kind)
    exact: dict[str, Any] = dict(query.search.exact or {})
    if query.all_projects:
        ctx.require(f"{SERVERS}{kind}:get_all_tenants")
        if query.project_id:
            exact["project_id"] = [query.project_id]
    else:
        exact["project_id"] = [ctx.project_id]
    search, page = replace(query.search, exact=exact), query.page
    with ctx.cloud.db.read() as tx:
        sees = sight(ctx)
        found = store.search(tx, search, replace(page, limit=None) if query.ip else page, user_data=sees.extended)
        if found is None:
            raise BadRequest(f"marker [{page.marker}] not found", kind="MarkerNotFound")
        if query.ip:
            found = _with_address(tx, found, query.ip)[: page.limit]
        if not query.detail:
            return [Shown(server) for server in found]
        return gather(ctx, tx, found, sees.host_status)


def _with_address(tx: Connection, found: Sequence[Server], ip: Mapping[int, Any]) -> list[Server]:
    nics = neighbours.network.nics_of(tx, [server.id for server in found])

    def has(server: Server, version: int, pattern: Any) -> bool:
        mine = [address for nic in nics.get(server.id, ()) for address in nic.addresses]
        return any(a.version == version and (pattern.search(a.ip) or (a.floating and pattern.search(a.floating))) for a in mine)

    return [server for server in found if all(has(server, version, pattern) for version, pattern in ip.items())]


def update(ctx: Context, id: str, values: Mapping[str, Any]) -> Shown:
    """Change what a server is called or known by.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, SERVERS + "update")
        if not set(values) <= UPDATABLE:
            raise BadRequest(f"{', '.join(sorted(set(values) - UPDATABLE))} cannot be changed.")
        store.change(tx, id, **values, updated_at=ctx.cloud.clock.now())
        found = store.get(tx, id)
        return gather(ctx, tx, [found if found is not None else server], sight(ctx, server).host_status)[0]


def delete(ctx: Context, id: str, rule: str = SERVERS + "delete") -> None:
    """Delete a server, whatever is being done to it.

    :raises NotFound: when there is none.
    :raises Conflict: when it is locked.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, rule)
        access.require_unlocked(ctx, server)
        if server.task_state == "deleting":
            work.go(tx, ctx.cloud, id)
            return
        store.change(tx, id, task_state="deleting", updated_at=ctx.cloud.clock.now())
        server_actions.add(tx, [id], access.asked(ctx, "delete"))
        work.go(tx, ctx.cloud, id, step="destroy")


def get_metadata(ctx: Context, id: str, rule: str = "index") -> Mapping[str, str]:
    """Return a server's metadata."""
    with ctx.cloud.db.read() as tx:
        found: Mapping[str, str] = access.find(ctx, tx, id, f"{API}server-metadata:{rule}").metadata
    return found


def get_metadata_item(ctx: Context, id: str, key: str) -> str:
    """Return one item.  :raises NotFound: when it is not there."""
    found = get_metadata(ctx, id, "show")
    if key not in found:
        raise NotFound("Metadata item was not found")
    return found[key]


def set_metadata(ctx: Context, id: str, items: Mapping[str, str], *, rule: str, keep: bool) -> Mapping[str, str]:
    """Add items to a server's metadata, or (keep False) replace all.

    :raises OverQuota: when there would be too many.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, f"{API}server-metadata:{rule}")
        access.require_unlocked(ctx, server)
        access.require_state(server, "update_metadata")
        new: dict[str, str] = {**server.metadata, **items} if keep else dict(items)
        most = quotas.limits_of(tx, ctx.cloud, server.project_id)["metadata_items"]
        if 0 <= most < len(new):
            raise OverQuota("Maximum number of metadata items exceeds quota", kind="MetadataLimitExceeded")
        store.change(tx, id, metadata=new, updated_at=ctx.cloud.clock.now())
    return new


def delete_metadata_item(ctx: Context, id: str, key: str) -> None:
    """Remove one item.  :raises NotFound: when it is not there."""
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, API + "server-metadata:delete")
        if key not in server.metadata:
            raise NotFound("Metadata item was not found")
        access.require_unlocked(ctx, server)
        access.require_state(server, "update_metadata")
        left = {name: value for name, value in server.metadata.items() if name != key}
        store.change(tx, id, metadata=left, updated_at=ctx.cloud.clock.now())


def get_tags(ctx: Context, id: str, rule: str = "index") -> list[str]:
    """Return a server's tags, sorted."""
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, id, f"{API}os-server-tags:{rule}")
        return store.tags_of(tx, [id]).get(id, [])


def change_tags(ctx: Context, id: str, rule: str, change: Any) -> tuple[list[str], list[str]]:
    """Apply a function to a server's tags; returns those before and those after.

    :raises Conflict: when the server's state or lock is against it.
    :raises BadRequest: when there would be too many.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, f"{API}os-server-tags:{rule}")
        access.require_unlocked(ctx, server)
        access.require_state(server, "update_tags")
        before = store.tags_of(tx, [id]).get(id, [])
        after = sorted(set(change(before)))
        if len(after) > TAGS_MAX:
            raise BadRequest(f"The number of tags exceeded the per-server limit {TAGS_MAX}")
        if after != before:
            store.set_tags(tx, id, after)
            store.change(tx, id, updated_at=ctx.cloud.clock.now())
    return before, after


def get_password(ctx: Context, id: str) -> str:
    """Return the password that the guest posted, encrypted with the user's key; empty: none."""
    with ctx.cloud.db.read() as tx:
        return str(access.find(ctx, tx, id, API + "os-server-password:show").password)


def clear_password(ctx: Context, id: str) -> None:
    """Forget the password that the guest posted."""
    with ctx.cloud.db.begin() as tx:
        access.find(ctx, tx, id, API + "os-server-password:clear")
        store.change(tx, id, password="")


def diagnose(ctx: Context, id: str) -> tuple[Shown, Diagnostics | None]:
    """Return a server that has a guest to be looked at, and what that has used if it runs.

    :raises Conflict: when it has none, or its host does not answer.
    """
    shown = show(ctx, id, API + "os-server-diagnostics")
    server = shown.server
    access.require_state(server, "diagnostics")
    if server.host is None or server.power_state not in (states.RUNNING, states.PAUSED):
        return shown, None
    try:
        return shown, guests.hypervisor(ctx.cloud, server.host).diagnose(id)
    except (DriverError, HostUnknown) as error:
        raise Conflict(f"Instance {id} cannot be looked at: {error}", kind="InstanceNotReady") from error
