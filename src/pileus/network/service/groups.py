"""Use cases of security groups and their rules."""

from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.network import tables
from pileus.network.errors import conflict, missing
from pileus.network.service import access, address_groups, plain, rules
from pileus.network.service.access import Attributes, target_of
from pileus.network.service.default_rules import PARENT
from pileus.network.store import default_rules as default_store
from pileus.network.store import groups as store
from pileus.network.store import rows, sharing
from pileus.network.store.records import Group, Rule
from pileus.network.store.rows import Wanted
from pileus.network.tasks import sync

DEFAULT_NAME, DEFAULT_TEXT = "default", "Default security group"


def ensure_default(tx: Connection, cloud: Cloud, project_id: str) -> str:
    """Return the id of a project's default group, which is made at the first need."""
    found = store.default_of(tx, project_id)
    return found or _write_group(tx, cloud, project_id, DEFAULT_NAME, DEFAULT_TEXT, True, default=True).id


def _write_group(
    tx: Connection, cloud: Cloud, project_id: str, name: str, text: str, stateful: bool, *, default: bool = False
) -> Group:
    """Write a group with the rules that new ones get."""
    now = cloud.clock.now()
    row: dict[str, Any] = {"id": ids.uuid(), "project_id": project_id, "name": name, "description": text, "stateful": stateful}
    group = Group(**rows.insert_row(tx, tables.groups, now, row))
    if default:
        store.set_default(tx, project_id, group.id)
    made = []
    for given in default_store.rules_for(tx, default=default):
        names = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix")
        rule = {name: getattr(given, name) for name in (*names, "remote_address_group_id")}
        rule |= {"id": ids.uuid(), "project_id": project_id, "security_group_id": group.id, "description": ""}
        rule |= {"remote_group_id": group.id if given.remote_group_id == PARENT else given.remote_group_id}
        made.append(Rule(**rows.insert_row(tx, tables.rules, now, rule), in_default=default))
    made.sort(key=lambda rule: rule.id)  # as they are shown, made at one time
    return Group(**row, revision_number=0, created_at=now, updated_at=now, rules=tuple(made))


def _with_default(ctx: Context, project_id: str) -> None:
    """Make the caller's default group before groups are looked at, as the first look at them does."""
    if not project_id:
        return
    with ctx.cloud.db.read() as tx:
        if store.default_of(tx, project_id):
            return
    access.transact(ctx.cloud, lambda tx: ensure_default(tx, ctx.cloud, project_id))


def list_groups(ctx: Context, wanted: Wanted) -> list[Group]:
    """Return the groups that the caller sees; the default group of their project is made at the first look."""
    condition = access.visible(ctx, "security_group", store.visible)
    if ctx.can("get_security_group"):
        asked = next((values for name, values in wanted.filters if name in ("project_id", "tenant_id")), None)
        _with_default(ctx, asked[0] if asked and condition is None else ctx.project_id)
    with ctx.cloud.db.read() as tx:
        part = access.by_sharing(ctx, wanted, condition, sharing.opened("security_group", ctx.project_id))
        return _as_seen(ctx, tx, store.list_groups(tx, *part))


def _as_seen(ctx: Context, tx: Connection, found: list[Group]) -> list[Group]:
    """Return groups with `shared` as it is for the caller."""
    opened = sharing.opened_ids(tx, "security_group", ctx.project_id, [group.id for group in found])
    return [msgspec.structs.replace(group, shared=True) if group.id in opened else group for group in found]


def show(ctx: Context, id: str) -> Group:
    """Return one group.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return _as_seen(ctx, tx, [_find(ctx, tx, id, "get")])[0]


def find_seen(ctx: Context, tx: Connection, id: str) -> Group:
    """Return a group, bare of rules, that the caller sees: theirs, or one that is open to them."""
    group = store.find_bare(tx, id)
    if group is None or not ctx.can("get_security_group", _target(ctx, tx, group)):
        raise missing("security_group", id)
    return group


def _target(ctx: Context, tx: Connection, group: Group) -> dict[str, Any]:
    return access.target_shared(ctx, tx, "security_group", group.id, group.project_id)


def _find(ctx: Context, tx: Connection, id: str, action: str) -> Group:
    group = store.find_group(tx, id)
    if group is None:
        raise missing("security_group", id)
    access.require(ctx, "security_group", action, id, _target(ctx, tx, group))
    return group


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Group]:
    """Make security groups, all or none."""
    owned = [(access.project_for(ctx, attributes), attributes) for attributes, _ in many]
    for project_id, attributes in owned:
        ctx.require("create_security_group", target_of(project_id))
        _check_name(attributes)

    def work(tx: Connection) -> list[Group]:
        made = []
        for project_id, attributes in owned:
            ensure_default(tx, ctx.cloud, project_id)
            rules = len(default_store.rules_for(tx, default=False))
            access.take(tx, ctx.cloud, project_id, security_group=1, security_group_rule=rules)
            stateful = attributes["stateful"]
            group = _write_group(tx, ctx.cloud, project_id, attributes["name"], attributes["description"], stateful)
            if named := attributes.get("tags"):
                rows.set_tags(tx, group.id, named)
                group = msgspec.structs.replace(group, tags=tuple(sorted(set(named))))
            made.append(group)
        return made

    return access.transact(ctx.cloud, work)


def _check_name(attributes: Attributes) -> None:
    if str(attributes.get("name", "")).lower() == DEFAULT_NAME:
        raise conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Group:
    """Change a group's name, description or statefulness."""
    _check_name(attributes)

    def work(tx: Connection) -> Group:
        group = _find(ctx, tx, id, "update")
        access.check_revision(revision, group.revision_number)
        if "name" in attributes and attributes["name"] != group.name and store.is_default(tx, id):
            raise conflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
        if "stateful" in attributes and attributes["stateful"] != group.stateful and store.in_use(tx, id):
            raise conflict("SecurityGroupInUse", f"Security Group {id} in use.")
        if attributes:
            rows.update_row(tx, tables.groups, ctx.cloud.clock.now(), id, attributes)
        return _find(ctx, tx, id, "get")

    return access.transact(ctx.cloud, work)


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a group, and the rules of others that name it.  :raises Conflict: when a port is in it, or it is the default one."""

    def work(tx: Connection) -> None:
        group = _find(ctx, tx, id, "delete")
        access.check_revision(revision, group.revision_number)
        if store.in_use(tx, id):
            raise conflict("SecurityGroupInUse", f"Security Group {id} in use.")
        if store.is_default(tx, id) and not ctx.is_admin:
            raise conflict("SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
        others = store.naming(tx, id)
        store.delete_group(tx, id)
        sharing.forget(tx, id)
        for other in others:
            rows.update_row(tx, tables.groups, ctx.cloud.clock.now(), other, {})
            sync.touch_group(tx, ctx.cloud, other)

    access.transact(ctx.cloud, work)


def list_rules(ctx: Context, wanted: Wanted) -> list[Rule]:
    """Return the rules that the caller sees."""
    if ctx.can("get_security_group"):
        _with_default(ctx, ctx.project_id)
    condition = access.visible(ctx, "security_group_rule", store.visible_rules)
    with ctx.cloud.db.read() as tx:
        return store.list_rules(tx, condition, wanted)


def show_rule(ctx: Context, id: str) -> Rule:
    """Return one rule.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return _find_rule(ctx, tx, id, "get")


def _find_rule(ctx: Context, tx: Connection, id: str, action: str) -> Rule:
    rule = store.find_rule(tx, id)
    group = store.find_bare(tx, rule.security_group_id) if rule else None
    if rule is None or group is None:
        raise missing("security_group_rule", id)
    target = {**target_of(rule.project_id), "security_group:project_id": group.project_id}
    access.require(ctx, "security_group_rule", action, id, target)
    return rule


def create_rules(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Rule]:
    """Make rules, all or none.  :raises Conflict: when the group has such a rule."""
    for attributes, _ in many:
        rules.check_rule(attributes)

    def work(tx: Connection) -> list[Rule]:
        made: list[Rule] = []
        seen: dict[str, Group] = {}
        for attributes, _ in many:
            given = dict(attributes)
            group_id = given["security_group_id"]
            group = seen.get(group_id) or find_seen(ctx, tx, group_id)
            project_id = access.project_for(ctx, given)
            target = {**target_of(project_id), "security_group:project_id": group.project_id}
            ctx.require("create_security_group_rule", target)
            seen[group_id] = group
            made.append(_write_rule(tx, ctx, project_id, given))
        now = ctx.cloud.clock.now()
        for group_id in seen:
            rows.update_row(tx, tables.groups, now, group_id, {})
        for group_id in {*seen, *(rule.remote_group_id for rule in made if rule.remote_group_id)}:
            sync.touch_group(tx, ctx.cloud, group_id)
        return made

    return access.transact(ctx.cloud, work)


def _write_rule(tx: Connection, ctx: Context, project_id: str, given: Attributes) -> Rule:
    if remote := given["remote_group_id"]:
        find_seen(ctx, tx, remote)
    if remote := given.get("remote_address_group_id"):
        plain.find(address_groups.ADDRESS_GROUP, ctx, tx, remote, "get")
    access.take(tx, ctx.cloud, project_id, security_group_rule=1)
    facts = {name: value for name, value in given.items() if name not in ("description", "security_group_id")}
    if same := store.same_rules(tx, given["security_group_id"], facts):
        raise conflict("SecurityGroupRuleExists", f"Security group rule already exists. Rule id is {same}.")
    row = {"id": ids.uuid(), "project_id": project_id, "remote_address_group_id": None, **given}
    return Rule(**rows.insert_row(tx, tables.rules, ctx.cloud.clock.now(), row))


def remove_rule(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a rule."""

    def work(tx: Connection) -> None:
        rule = _find_rule(ctx, tx, id, "delete")
        access.check_revision(revision, rule.revision_number)
        rows.delete_row(tx, tables.rules, id)
        rows.update_row(tx, tables.groups, ctx.cloud.clock.now(), rule.security_group_id, {})
        sync.touch_group(tx, ctx.cloud, rule.security_group_id)

    access.transact(ctx.cloud, work)


def forget_project(tx: Connection, cloud: Cloud, project_id: str) -> None:
    """Remove the default group of a project that is gone, unless ports are still in it."""
    group_id = store.default_of(tx, project_id)
    if group_id and not store.in_use(tx, group_id):
        store.delete_group(tx, group_id)
