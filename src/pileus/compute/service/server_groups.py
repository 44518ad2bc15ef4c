"""Server groups: servers that are to be on one host, or each on another."""

from collections.abc import Mapping

from pileus.compute.policies.server_groups import ROOT
from pileus.compute.service import quotas
from pileus.compute.store import server_groups as store
from pileus.compute.store.server_groups import ServerGroup
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound, OverQuota


def create(ctx: Context, name: str, policy: str, rules: Mapping[str, int]) -> ServerGroup:
    """Make a group.

    :raises BadRequest: when there are rules for another policy than anti-affinity.
    :raises OverQuota: when the project has as many groups as it may.
    """
    ctx.require(ROOT + "create")
    if rules and policy != "anti-affinity":
        raise BadRequest("Only anti-affinity policy supports rules.")
    values = {"id": ids.uuid(), "project_id": ctx.project_id, "user_id": ctx.user_id, "name": name, "policy": policy}
    with ctx.cloud.db.begin() as tx:
        try:
            quotas.require_room(tx, ctx.cloud, ctx.project_id, ctx.user_id, {"server_groups": 1})
        except OverQuota as fault:
            raise OverQuota("Quota exceeded, too many server groups.", kind="ServerGroupLimitExceeded") from fault
        return store.insert_group(tx, {**values, "rules": dict(rules), "created_at": ctx.cloud.clock.now()})


def get(ctx: Context, group_id: str, rule: str = "show") -> ServerGroup:
    """Return a group.

    :raises NotFound: when there is none of that id, or it is another project's.
    """
    with ctx.cloud.db.read() as tx:
        found = store.find(tx, group_id)
    unknown = NotFound(f"Instance group {group_id} could not be found.", kind="InstanceGroupNotFound")
    if found is None:
        raise unknown
    ctx.require(ROOT + rule, {"project_id": found.project_id}, hidden=unknown)
    return found


def list_all(ctx: Context, all_projects: bool, offset: int, limit: int) -> list[ServerGroup]:
    """Return the groups of the caller's project; admins may ask for all projects', others who do get their own."""
    ctx.require(ROOT + "index")
    everyone = all_projects and ctx.can(ROOT + "index:all_projects")
    with ctx.cloud.db.read() as tx:
        return store.list_groups(tx, None if everyone else ctx.project_id, offset, limit)


def delete(ctx: Context, group_id: str) -> None:
    """Delete a group; its servers stay where they are.

    :raises NotFound: when there is none of that id, or it is another project's.
    """
    get(ctx, group_id, rule="delete")
    with ctx.cloud.db.begin() as tx:
        store.delete_group(tx, group_id)
