"""Whether a thing can be closed to those whom it was open to."""

from collections.abc import Collection

from sqlalchemy import Connection

from pileus.network.errors import conflict
from pileus.network.store import sharing as store
from pileus.network.store import usage
from pileus.network.store.sharing import ALL, RbacPolicy


def check_unused(tx: Connection, policy: RbacPolicy, kept: Collection[str] = ()) -> None:
    """Check that nobody whom only this policy lets in, but those who are kept, uses the thing.

    :raises Conflict: when somebody does.
    """
    owner = store.owner_of(tx, policy.object_type, policy.object_id)
    if owner is None or policy.target_project == owner:
        return
    same = [p for p in store.policies_of(tx, policy.object_id) if p.action == policy.action and p.id != policy.id]
    others = {p.target_project for p in same}
    if ALL in others:
        return
    using = usage.projects_using(tx, policy.object_type, policy.object_id, policy.action) - {owner, ""} - others - set(kept)
    if using if policy.target_project == ALL else policy.target_project in using:
        text = (
            f"RBAC policy on object {policy.object_id} cannot be removed because other objects depend on it. "
            f"Details: Projects {', '.join(sorted(using))} use it."
        )
        raise conflict("RbacPolicyInUse", text)
