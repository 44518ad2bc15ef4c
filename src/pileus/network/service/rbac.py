"""Use cases of the policies that open a thing to other projects."""

from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, closing
from pileus.network.service.access import Attributes, target_of
from pileus.network.store import rows, usage
from pileus.network.store import sharing as store
from pileus.network.store.rows import Wanted
from pileus.network.store.sharing import ALL, EXTERNAL, SHARED, RbacPolicy
from pileus.network.tables.sharing import rbac_policies

ACTIONS = {kind: (SHARED, EXTERNAL) if kind == "network" else (SHARED,) for kind in store.OBJECTS}


def list_policies(ctx: Context, wanted: Wanted) -> list[RbacPolicy]:
    """Return the policies of the caller's project."""
    with ctx.cloud.db.read() as tx:
        return store.list_policies(tx, access.visible(ctx, "rbac_policy", access.own(rbac_policies)), wanted)


def show(ctx: Context, id: str) -> RbacPolicy:
    """Return one policy.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return _find(ctx, tx, id, "get")


def _target(project_id: str, target: str) -> dict[str, Any]:
    return target_of(project_id) | {"wildcard": target == ALL, "target_project": target}


def _find(ctx: Context, tx: Connection, id: str, action: str) -> RbacPolicy:
    policy = store.find_policy(tx, id)
    if policy is None:
        raise missing("rbac_policy", id)
    access.require(ctx, "rbac_policy", action, id, _target(policy.project_id, policy.target_project))
    return policy


def _named(attributes: Attributes) -> str | None:
    """Take the project that a policy is for out of its attributes, where it may stand under two names."""
    one, other = attributes.pop("target_project", None), attributes.pop("target_tenant", None)
    found = one or other
    return str(found) if found else None


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[RbacPolicy]:
    """Open things to other projects."""
    wished = [(access.project_for(ctx, attributes), _named(attributes), attributes) for attributes, _ in many]

    def work(tx: Connection) -> list[RbacPolicy]:
        return [_make(tx, ctx, project_id, target, attributes) for project_id, target, attributes in wished]

    return access.transact(ctx.cloud, work)


def _make(tx: Connection, ctx: Context, project_id: str, target: str | None, attributes: Attributes) -> RbacPolicy:
    if not target:
        raise invalid("Failed to parse request. Required attribute 'target_tenant' not specified", "HTTPBadRequest")
    kind, object_id, action = (attributes[name] for name in ("object_type", "object_id", "action"))
    if kind not in ACTIONS:
        text = f"Invalid RBAC object type '{kind}'. Supported types: {', '.join(sorted(ACTIONS))}"
        raise invalid(text, "InvalidInput")
    if action not in ACTIONS[kind]:
        raise invalid(f"Invalid action '{action}' for object type '{kind}'. Valid actions: {', '.join(ACTIONS[kind])}")
    owner = store.owner_of(tx, kind, object_id)
    if owner is not None and owner != ctx.project_id and not ctx.is_admin and store.is_open(tx, kind, object_id, ctx.project_id):
        raise invalid(f"Only admins can manipulate policies on {kind} objects which they do not own")
    if owner is None or (owner != ctx.project_id and not ctx.is_admin):
        raise missing("rbac_object", object_id)
    if kind == "subnetpool" and not usage.reaches_scope(tx, object_id, target):
        raise invalid(f"Project {target} has no access to the address scope of subnetpool {object_id}")
    ctx.require("create_rbac_policy", _target(project_id, target))
    access.guard(ctx, "create_rbac_policy", ["target_project"], _target(project_id, target))
    access.take(tx, ctx.cloud, project_id, rbac_policy=1)
    if store.exists_same(tx, object_id, target, action):
        raise conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
    row = {
        "id": ids.uuid(), "project_id": project_id, "object_type": kind, "object_id": object_id, "target_project": target,
        "action": action,
    }  # fmt: skip
    made = RbacPolicy(**rows.insert_row(tx, rbac_policies, ctx.cloud.clock.now(), row))
    _note(tx, ctx, made)
    return made


def _note(tx: Connection, ctx: Context, policy: RbacPolicy) -> None:
    """Keep the flags of a thing equal to its policies, and count its revision up."""
    rows.update_row(tx, store.OBJECTS[policy.object_type], ctx.cloud.clock.now(), policy.object_id, {})
    if policy.action == EXTERNAL:
        external = any(other.action == EXTERNAL for other in store.policies_of(tx, policy.object_id))
        store.set_flag(tx, "network", policy.object_id, "external", external)
    elif policy.object_type in store.WITH_FLAG:
        shared = store.exists_same(tx, policy.object_id, ALL, SHARED)
        store.set_flag(tx, policy.object_type, policy.object_id, "shared", shared)


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> RbacPolicy:
    """Open the thing to another project instead.  :raises Conflict: when the one that it was open to uses it."""

    def work(tx: Connection) -> RbacPolicy:
        policy = _find(ctx, tx, id, "update")
        access.check_revision(revision, policy.revision_number)
        target = _named(dict(attributes))
        if target and target != policy.target_project:
            access.guard(ctx, "update_rbac_policy", ["target_project"], _target(policy.project_id, target))
            closing.check_unused(tx, policy, {target})
            if store.exists_same(tx, policy.object_id, target, policy.action):
                raise conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
            rows.update_row(tx, rbac_policies, ctx.cloud.clock.now(), id, {"target_project": target})
            _note(tx, ctx, policy)
        return _find(ctx, tx, id, "get")

    return access.transact(ctx.cloud, work)


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Open the thing no more.  :raises Conflict: when the project that it was open to uses it."""

    def work(tx: Connection) -> None:
        policy = _find(ctx, tx, id, "delete")
        access.check_revision(revision, policy.revision_number)
        closing.check_unused(tx, policy)
        rows.delete_row(tx, rbac_policies, id)
        _note(tx, ctx, policy)

    access.transact(ctx.cloud, work)
