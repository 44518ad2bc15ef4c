"""Flavors: what sizes of server there are, and who may use them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pileus.compute.policies.flavors import ACCESS, MANAGE, SPECS
from pileus.compute.service.projects import require_project
from pileus.compute.store import flavors as store
from pileus.compute.store.flavors import Filters, Flavor
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound
from pileus.kernel.paging import Page

CLASSIC = (
    ("1", "m1.tiny", 1, 512, 1), ("2", "m1.small", 1, 2048, 20), ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80), ("5", "m1.xlarge", 8, 16384, 160),
    ("42", "m1.nano", 1, 128, 1), ("84", "m1.micro", 1, 192, 1),
)  # fmt: skip


def bootstrap(cloud: Cloud) -> None:
    """Write the classic flavors down in a cloud that has none."""
    with cloud.db.begin() as tx:
        if store.list_flavors(tx, Filters(is_public=None)):
            return
        for flavor_id, name, vcpus, memory_mib, disk_gib in CLASSIC:
            values = {"flavor_id": flavor_id, "name": name, "vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib}
            store.insert_flavor(tx, {**values, "extra_specs": {}, "created_at": cloud.clock.now()})


def get(ctx: Context, flavor_id: str) -> Flavor:
    """Return a flavor that the caller may use.

    :raises NotFound: when there is none of that id, or it is another project's.
    """
    with ctx.cloud.db.read() as tx:
        found = store.find(tx, flavor_id, None if ctx.is_admin else ctx.project_id)
    if found is None:
        raise _unknown(flavor_id)
    return found


def shows_specs(ctx: Context) -> bool:
    """Tell whether the caller sees the extra specs in a flavor."""
    return ctx.can(SPECS + ":index")


def list_all(ctx: Context, wanted: Filters, sort: tuple[str, bool], page: Page) -> tuple[list[Flavor], bool]:
    """Return a page of the flavors that the caller may use, and whether there are more.

    Only admins may ask for others than the public ones.

    :raises BadRequest: when the marker is unknown.
    """
    if not ctx.is_admin:
        wanted = replace(wanted, is_public=True, disabled=False)
    with ctx.cloud.db.read() as tx:
        found = store.list_flavors(tx, replace(wanted, project_id=ctx.project_id), sort)
    start = 0
    if page.marker is not None:
        start = next((index + 1 for index, flavor in enumerate(found) if flavor.flavor_id == page.marker), 0)
        if not start:
            raise BadRequest(f"marker [{page.marker}] not found", kind="MarkerNotFound")
    stop = len(found) if page.limit is None else start + page.limit
    return found[start:stop], stop < len(found)


def create(ctx: Context, values: Mapping[str, Any]) -> Flavor:
    """Make a flavor; without an id it gets a UUID.

    :raises Conflict: when its name or id is taken.
    """
    ctx.require(MANAGE + ":create")
    given = {**values, "flavor_id": values["flavor_id"] or ids.uuid()}
    with ctx.cloud.db.begin() as tx:
        return store.insert_flavor(tx, {**given, "disabled": False, "extra_specs": {}, "created_at": ctx.cloud.clock.now()})


def describe(ctx: Context, flavor_id: str, description: str | None) -> Flavor:
    """Change the description, which is all that may be changed.

    :raises NotFound: when there is no such flavor.
    """
    ctx.require(MANAGE + ":update")
    with ctx.cloud.db.begin() as tx:
        store.update_flavor(tx, flavor_id, description=description, updated_at=ctx.cloud.clock.now())
    return get(ctx, flavor_id)


def delete(ctx: Context, flavor_id: str) -> None:
    """Delete a flavor.  Servers made from it keep what they have.

    :raises NotFound: when there is no such flavor.
    """
    ctx.require(MANAGE + ":delete")
    with ctx.cloud.db.begin() as tx:
        if not store.delete_flavor(tx, flavor_id):
            raise _unknown(flavor_id)


def list_access(ctx: Context, flavor_id: str) -> list[str]:
    """Return the projects that may use a flavor that is not public.

    :raises NotFound: when there is no such flavor, or it is public.
    """
    ctx.require(ACCESS)
    flavor = get(ctx, flavor_id)
    if flavor.is_public:
        raise NotFound("Access list not available for public flavors.")
    with ctx.cloud.db.read() as tx:
        return store.list_projects(tx, flavor)


def add_access(ctx: Context, flavor_id: str, project_id: str, refuse_public: bool) -> list[str]:
    """Let a project use a flavor; return all that may.

    :raises BadRequest: when there is no such project.
    :raises Conflict: when it may already, or the flavor is public and that is refused (2.7).
    """
    ctx.require(ACCESS + ":add_tenant_access")
    require_project(ctx, project_id)
    flavor = get(ctx, flavor_id)
    if flavor.is_public and refuse_public:
        raise Conflict("Can not add access to a public flavor.")
    with ctx.cloud.db.begin() as tx:
        store.add_project(tx, flavor, project_id)
        return store.list_projects(tx, flavor)


def remove_access(ctx: Context, flavor_id: str, project_id: str) -> list[str]:
    """Let a project no longer use a flavor; return all that still may.

    :raises NotFound: when it may not.
    """
    ctx.require(ACCESS + ":remove_tenant_access")
    flavor = get(ctx, flavor_id)
    with ctx.cloud.db.begin() as tx:
        if not store.remove_project(tx, flavor, project_id):
            raise NotFound(f"Flavor access not found for {flavor_id} / {project_id} combination.", kind="FlavorAccessNotFound")
        return store.list_projects(tx, flavor)


def get_specs(ctx: Context, flavor_id: str) -> Mapping[str, str]:
    """Return a flavor's extra specs."""
    ctx.require(SPECS + ":index")
    return get(ctx, flavor_id).extra_specs


def get_spec(ctx: Context, flavor_id: str, key: str) -> str:
    """Return one extra spec.

    :raises NotFound: when the flavor has none of that key.
    """
    ctx.require(SPECS + ":show")
    specs = get(ctx, flavor_id).extra_specs
    if key not in specs:
        raise NotFound(f"Flavor {flavor_id} has no extra specs with key {key}.")
    return specs[key]


def set_specs(ctx: Context, flavor_id: str, specs: Mapping[str, str], rule: str = "create") -> None:
    """Add extra specs to a flavor, or change them.

    :raises NotFound: when there is no such flavor.
    """
    ctx.require(f"{SPECS}:{rule}")
    _change_specs(ctx, flavor_id, lambda now: {**now, **specs})


def delete_spec(ctx: Context, flavor_id: str, key: str) -> None:
    """Take an extra spec from a flavor.

    :raises NotFound: when the flavor has none of that key.
    """
    ctx.require(SPECS + ":delete")

    def without(now: Mapping[str, str]) -> dict[str, str]:
        if key not in now:
            raise NotFound(f"Flavor {flavor_id} has no extra specs with key {key}.")
        return {k: v for k, v in now.items() if k != key}

    _change_specs(ctx, flavor_id, without)


def _change_specs(ctx: Context, flavor_id: str, change: Any) -> None:
    with ctx.cloud.db.begin() as tx:
        flavor = store.find(tx, flavor_id, None)
        if flavor is None:
            raise _unknown(flavor_id)
        store.update_flavor(tx, flavor_id, extra_specs=change(flavor.extra_specs), updated_at=ctx.cloud.clock.now())


def _unknown(flavor_id: str) -> NotFound:
    return NotFound(f"Flavor {flavor_id} could not be found.", kind="FlavorNotFound")
