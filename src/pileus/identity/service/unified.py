"""Quotas of other services that are identity's unified limits: those of the services named by the setting `unified_limits`.

As by a limit of identity's flat model: a project's own limit, else the registered one; what is not registered is not limited.
Use is counted by the services themselves, in the transaction that adds to it.
"""

from collections.abc import Mapping

from sqlalchemy import Connection

from pileus.identity.service import limits
from pileus.kernel import quota
from pileus.kernel.context import Cloud
from pileus.kernel.errors import NotImplementedHere

TYPES: Mapping[str, tuple[str, ...]] = {"volume": ("volume", "volumev2", "volumev3", "block-storage")}
"""The types of the catalog that limits of a service may be registered under, where they are not its name; later ones first."""


def holds(cloud: Cloud, service: str) -> bool:
    """Tell whether a service's quotas are unified limits."""
    return service in {name.strip() for name in cloud.settings.unified_limits.split(",")}


def require_kept_here(cloud: Cloud, service: str) -> None:
    """Check that a service keeps its quotas itself, so that they can be changed there.

    :raises NotImplementedHere: when identity has them.
    """
    if holds(cloud, service):
        raise NotImplementedHere("Quotas are unified limits here: they are changed in the identity service.")


def limits_of(
    tx: Connection, cloud: Cloud, service: str, owner: str, defaults: Mapping[str, int], names: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Return the limits that hold for a project in a service, by resource: its own quotas, or unified limits.  -1: none.

    :param owner: a project's id, or quota.DEFAULT_CLASS for one that has no limits of its own.
    :param names: what unified limits call a resource, where that is not its name in the service.
    """
    if not holds(cloud, service):
        return quota.get_limits(tx, service, owner, defaults)
    found: dict[str, int] = {}
    for kind in TYPES.get(service, (service,)):
        found |= limits.effective(tx, kind, cloud.settings.region, owner)
    return {name: found.get((names or {}).get(name, name), -1) for name in defaults}
