"""Use cases of flavors and service profiles: what routers a user may choose from.

There is one provider of routers here, so that every profile that is enabled comes to the same; a router of a flavor without an
enabled profile is refused.
"""

from functools import partial
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, plain
from pileus.network.service.access import Attributes
from pileus.network.service.plain import Plain
from pileus.network.store import flavors as store
from pileus.network.store.flavors import Flavor, Profile

FLAVOR = Plain(store.FLAVOR, store.assemble, owned=False)
PROFILE = Plain(store.PROFILE, store.assemble_profiles, owned=False)
ROUTERS, PROVIDER, DRIVER = "L3_ROUTER_NAT", "single_node", "pileus.network.drivers.linux"

list_flavors, show = partial(plain.list_all, FLAVOR), partial(plain.show, FLAVOR)
list_profiles, show_profile = partial(plain.list_all, PROFILE), partial(plain.show, PROFILE)


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Flavor]:
    """Make flavors."""

    def prepare(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> dict[str, Any]:
        return {name: attributes[name] for name in ("name", "description", "service_type", "enabled")}

    return plain.create(FLAVOR, prepare, ctx, many)


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Flavor:
    """Change a flavor.  :raises Conflict: when routers are of it."""

    def check(tx: Connection, ctx: Context, flavor: Flavor, values: Attributes) -> None:
        if store.is_used(tx, id):
            raise conflict("FlavorInUse", f"Flavor {id} is used by some service instance.")

    found: Flavor = plain.change(FLAVOR, check, ctx, id, attributes, revision)
    return found


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a flavor.  :raises Conflict: when routers are of it."""

    def release(tx: Connection, ctx: Context, flavor: Flavor) -> None:
        if store.is_used(tx, id):
            raise conflict("FlavorInUse", f"Flavor {id} is used by some service instance.")
        store.forget(tx, id)

    plain.remove(FLAVOR, release, ctx, id, revision)


def create_profiles(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Profile]:
    """Make service profiles.  :raises NotFound: when there is no such driver."""

    def prepare(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> dict[str, Any]:
        _check_profile(attributes)
        return {name: attributes[name] for name in ("description", "driver", "metainfo", "enabled")}

    return plain.create(PROFILE, prepare, ctx, many)


def _check_profile(attributes: Attributes) -> None:
    if not attributes.get("driver") and not attributes.get("metainfo"):
        raise invalid("Service Profile needs either metainfo or driver.", "ServiceProfileEmpty")
    if attributes.get("driver") and attributes["driver"] != DRIVER:
        fault = missing("service_profile", "")
        fault.kind = "ServiceProfileDriverNotFound"
        fault.message = f"Service Profile driver {attributes['driver']} could not be found."
        raise fault


def change_profile(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Profile:
    """Change a service profile.  :raises Conflict: when a flavor is of it."""

    def check(tx: Connection, ctx: Context, profile: Profile, values: Attributes) -> None:
        if store.is_bound(tx, id):
            raise conflict("ServiceProfileInUse", f"Service Profile {id} is used by some service flavor.")
        _check_profile({"driver": profile.driver, "metainfo": profile.metainfo, **values})

    found: Profile = plain.change(PROFILE, check, ctx, id, attributes, revision)
    return found


def remove_profile(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a service profile.  :raises Conflict: when a flavor is of it."""

    def release(tx: Connection, ctx: Context, profile: Profile) -> None:
        if store.is_bound(tx, id):
            raise conflict("ServiceProfileInUse", f"Service Profile {id} is used by some service flavor.")

    plain.remove(PROFILE, release, ctx, id, revision)


def bind(ctx: Context, flavor_id: str, profile_id: str) -> None:
    """Let a flavor be of a profile, too.  :raises Conflict: when it is."""
    ctx.require("create_flavor_service_profile")

    def work(tx: Connection) -> None:
        flavor = plain.find(FLAVOR, ctx, tx, flavor_id, "get")
        plain.find(PROFILE, ctx, tx, profile_id, "get")
        if profile_id in flavor.service_profiles:
            text = f"Service Profile {profile_id} is already associated with flavor {flavor_id}."
            raise conflict("FlavorServiceProfileBindingExists", text)
        store.bind(tx, flavor_id, profile_id)

    access.transact(ctx.cloud, work)


def unbind(ctx: Context, flavor_id: str, profile_id: str) -> None:
    """Let a flavor be of a profile no more.  :raises NotFound: when it is not."""
    ctx.require("delete_flavor_service_profile")

    def work(tx: Connection) -> None:
        flavor = plain.find(FLAVOR, ctx, tx, flavor_id, "get")
        if profile_id not in flavor.service_profiles:
            fault = missing("service_profile", profile_id)
            fault.kind = "FlavorServiceProfileBindingNotFound"
            fault.message = f"Service Profile {profile_id} is not associated with flavor {flavor_id}."
            raise fault
        store.unbind(tx, flavor_id, profile_id)

    access.transact(ctx.cloud, work)


def next_provider(ctx: Context, flavor_id: str) -> list[dict[str, str]]:
    """Return who provides what is of a flavor.

    :raises Conflict: when it is switched off.
    :raises NotFound: when nobody does.
    """
    with ctx.cloud.db.read() as tx:
        flavor: Flavor = plain.find(FLAVOR, ctx, tx, flavor_id, "get")
        return [{"provider": PROVIDER, "driver": _driver(tx, flavor)}]


def _driver(tx: Connection, flavor: Flavor) -> str:
    if not flavor.enabled:
        raise conflict("FlavorDisabled", "Flavor is not enabled.")
    for id in flavor.service_profiles:
        profile = plain.read(PROFILE, tx, id)
        if profile is not None and profile.enabled and profile.driver:
            return str(profile.driver)
    fault = missing("service_profile", flavor.id)
    fault.kind, fault.message = "ServiceProfileDisabled", "Service Profile is not enabled."
    raise fault


def check_flavor(tx: Connection, ctx: Context, flavor_id: str | None) -> None:
    """Check that a router can be of a flavor.  :raises NotFound: when there is none.  :raises Conflict: when it is off."""
    if flavor_id:
        _driver(tx, plain.find(FLAVOR, ctx, tx, flavor_id, "get"))
