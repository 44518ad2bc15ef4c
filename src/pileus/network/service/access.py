"""What all use cases share: who may see and touch a thing, revisions, quotas, and transactions that are tried again."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.exc import IntegrityError

from pileus.identity.service import unified
from pileus.kernel import quota
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, OverQuota, PreconditionFailed
from pileus.network import tables
from pileus.network.errors import missing
from pileus.network.store import networks as networks_store
from pileus.network.store import rows, sharing
from pileus.network.store.records import Network
from pileus.network.store.rows import Clause, Wanted
from pileus.network.tables.sharing import rbac_policies
from pileus.network.tables.trunks import trunks

Attributes = dict[str, Any]
Result = TypeVar("Result")

SERVICE = "network"
SOMEONE_ELSE = "-"  # no project has this id
ATTEMPTS = 12

DEFAULTS = {
    "network": 100, "subnet": 100, "subnetpool": -1, "port": 500, "router": 10, "floatingip": 50,
    "security_group": 10, "security_group_rule": 100, "rbac_policy": 10, "trunk": -1,
}  # fmt: skip

COUNTED: Mapping[str, Table] = {
    "network": tables.networks, "subnet": tables.subnets, "subnetpool": tables.subnet_pools,
    "port": tables.ports, "router": tables.routers,
    "floatingip": tables.floating_ips, "security_group": tables.groups, "security_group_rule": tables.rules,
    "rbac_policy": rbac_policies, "trunk": trunks,
}  # fmt: skip


def transact(cloud: Cloud, work: Callable[[Connection], Result]) -> Result:
    """Run a function in a transaction, and again in a new one when another took what it chose (an address, a number)."""
    for attempt in range(ATTEMPTS):
        try:
            return cloud.db.repeat(work)
        except IntegrityError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("not reached")


def project_for(ctx: Context, attributes: Attributes) -> str:
    """Take the owner of a new thing out of its attributes: `project_id`, or `tenant_id` as of old; else the caller's project."""
    project_id, tenant_id = attributes.pop("project_id", None), attributes.pop("tenant_id", None)
    if project_id and tenant_id and project_id != tenant_id:
        raise BadRequest("'project_id' and 'tenant_id' do not match", kind="HTTPBadRequest")
    found = project_id or tenant_id or ctx.project_id
    if not found:
        raise BadRequest("Running without keystone AuthN requires that tenant_id is specified", kind="HTTPBadRequest")
    if found != ctx.project_id and not (ctx.is_admin or "service" in ctx.roles):
        text = "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges"
        raise BadRequest(text, kind="HTTPBadRequest")
    return str(found)


def target_of(project_id: str) -> dict[str, Any]:
    """Return what policy checks look at: whose a thing is."""
    return {"project_id": project_id, "tenant_id": project_id}


def target_in(ctx: Context, project_id: str, network: Network) -> dict[str, Any]:
    """Return the same for a thing in a network: whose that is, and whether it is open to the caller."""
    return target_of(project_id) | {
        "shared": network.is_open_to(ctx.project_id, sharing.SHARED),
        "external": network.is_open_to(ctx.project_id, sharing.EXTERNAL), "network:project_id": network.project_id,
    }  # fmt: skip


def target_shared(ctx: Context, tx: Connection, noun: str, id: str, project_id: str) -> dict[str, Any]:
    """Return the same for a thing that may be open to the caller by a policy of its own."""
    mine = project_id == ctx.project_id
    return target_of(project_id) | {"shared": not mine and sharing.is_open(tx, noun, id, ctx.project_id)}


def guard(ctx: Context, action: str, names: Iterable[str], target: Mapping[str, Any]) -> None:
    """Check the rules of the attributes that were given.  :raises Forbidden: when one does not hold."""
    rules = ctx.cloud.policy.rules
    for name in names:
        if (rule := f"{action}:{name}") in rules:
            ctx.require(rule, target)


def visible(ctx: Context, noun: str, clause: Callable[[str], Clause]) -> Clause | None:
    """Return the condition for what a caller sees in a list; None: all."""
    rule = f"get_{noun}"
    if ctx.can(rule, {"project_id": SOMEONE_ELSE}):
        return None
    return clause(ctx.project_id) if ctx.can(rule) else rows.NONE


def by_sharing(ctx: Context, wanted: Wanted, condition: Clause | None, opened: Clause) -> tuple[Clause | None, Wanted]:
    """Take the filter `shared` out of what is wanted of a list, and add it to the condition: it means open to the caller."""
    values = [value for name, given in wanted.filters if name == "shared" for value in given]
    if not values:
        return condition, wanted
    known = {value.lower() in ("true", "1") for value in values}
    for shared in known if len(known) == 1 else ():
        asked = opened if shared else ~opened
        condition = asked if condition is None else condition & asked
    return condition, Wanted(tuple(each for each in wanted.filters if each[0] != "shared"), wanted.page)


def own(table: Table) -> Callable[[str], Clause]:
    """Return the condition of a table whose rows only their project sees."""
    return lambda project_id: table.c.project_id == project_id


def require(ctx: Context, noun: str, action: str, id: str, target: Mapping[str, Any]) -> None:
    """Check that the caller may do something to a thing; one that they may not even see is not there for them.

    :raises NotFound: when the caller may not see it.
    :raises Forbidden: when they may see it only.
    """
    if ctx.can(f"{action}_{noun}", target):
        return
    if not ctx.can(f"get_{noun}", target):
        if target.get("project_id") == ctx.project_id:
            ctx.require(f"{action}_{noun}", target)
        raise missing(noun, id)
    ctx.require(f"{action}_{noun}", target)


def find_network(ctx: Context, tx: Connection, id: str) -> Network:
    """Return a network that the caller sees.  :raises NotFound: otherwise."""
    network = networks_store.find_network(tx, id)
    if network is None or not ctx.can("get_network", target_in(ctx, network.project_id, network)):
        raise missing("network", id)
    return network


def check_revision(wanted: int | None, current: int) -> None:
    """Check the revision that an update was made for (`If-Match: revision_number=5`)."""
    if wanted is not None and wanted != current:
        text = f"Constrained to {wanted}, but current revision is {current}"
        raise PreconditionFailed(text, kind="RevisionNumberConstraintFailed")


def limits_of(tx: Connection, cloud: Cloud, project_id: str) -> dict[str, int]:
    """Return how much a project may have, by resource; quota.DEFAULT_CLASS: one that has no limits of its own."""
    return unified.limits_of(tx, cloud, SERVICE, project_id, DEFAULTS)


def take(tx: Connection, cloud: Cloud, project_id: str, **wanted: int) -> None:
    """Check that a project's quota has room.  :raises OverQuota: when it has not."""
    quota.lock(tx, SERVICE, project_id)
    limits = limits_of(tx, cloud, project_id)
    used = {name: rows.count_rows(tx, COUNTED[name], project_id) for name in wanted if limits[name] >= 0}
    if over := quota.exceeded(limits, used, wanted):
        raise OverQuota(f"Quota exceeded for resources: {over}.", kind="OverQuota")


def in_use(kind: str, text: str) -> Conflict:
    """Something still needs the thing."""
    return Conflict(text, kind=kind)
