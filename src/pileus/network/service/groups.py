"""Use cases of security groups and their rules."""

import ipaddress
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest
from pileus.network import addressing, tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access
from pileus.network.service.access import Attributes, target_of
from pileus.network.store import groups as store
from pileus.network.store import rows
from pileus.network.store.records import Group, Rule
from pileus.network.store.rows import Wanted
from pileus.network.tasks import sync

DEFAULT_NAME, DEFAULT_TEXT = "default", "Default security group"

PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
WITH_PORTS = {6, 17, 33, 132, 136}
ICMP = {1, 58}
PORT_MAX = 65535
ONLY_IPV6 = {"ipv6-encap", "ipv6-frag", "ipv6-icmp", "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route"}


def ensure_default(tx: Connection, cloud: Cloud, project_id: str) -> str:
    """Return the id of a project's default group, which is made at the first need."""
    found = store.default_of(tx, project_id)
    return found or _write_group(tx, cloud, project_id, DEFAULT_NAME, DEFAULT_TEXT, True, default=True).id


def _write_group(
    tx: Connection, cloud: Cloud, project_id: str, name: str, text: str, stateful: bool, *, default: bool = False
) -> Group:
    """Write a group with the rules that every new one has: all may go out; into a default group come its members."""
    now = cloud.clock.now()
    row: dict[str, Any] = {"id": ids.uuid(), "project_id": project_id, "name": name, "description": text, "stateful": stateful}
    group = Group(**rows.insert_row(tx, tables.groups, now, row))
    if default:
        store.set_default(tx, project_id, group.id)
    made = []
    for direction in ("ingress", "egress") if default else ("egress",):
        for ethertype in ("IPv4", "IPv6"):
            rule = {
                "id": ids.uuid(), "project_id": project_id, "description": "", "security_group_id": group.id,
                "direction": direction, "ethertype": ethertype, "protocol": None, "port_range_min": None,
                "port_range_max": None, "remote_ip_prefix": None,
                "remote_group_id": group.id if direction == "ingress" else None,
            }  # fmt: skip
            made.append(Rule(**rows.insert_row(tx, tables.rules, now, rule)))
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
    condition = access.visible(ctx, "security_group", access.own(tables.groups))
    if ctx.can("get_security_group"):
        asked = next((values for name, values in wanted.filters if name in ("project_id", "tenant_id")), None)
        _with_default(ctx, asked[0] if asked and condition is None else ctx.project_id)
    with ctx.cloud.db.read() as tx:
        return store.list_groups(tx, condition, wanted)


def show(ctx: Context, id: str) -> Group:
    """Return one group.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return _find(ctx, tx, id, "get")


def _find(ctx: Context, tx: Connection, id: str, action: str) -> Group:
    group = store.find_group(tx, id)
    if group is None:
        raise missing("security_group", id)
    access.require(ctx, "security_group", action, id, target_of(group.project_id))
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
            access.take(tx, project_id, security_group=1, security_group_rule=2)
            stateful = attributes["stateful"]
            group = _write_group(tx, ctx.cloud, project_id, attributes["name"], attributes["description"], stateful)
            if named := attributes.get("tags"):
                rows.set_tags(tx, group.id, named)
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
        for other in others:
            rows.update_row(tx, tables.groups, ctx.cloud.clock.now(), other, {})
            sync.touch_group(tx, ctx.cloud, other)

    access.transact(ctx.cloud, work)


def list_rules(ctx: Context, wanted: Wanted) -> list[Rule]:
    """Return the rules that the caller sees."""
    if ctx.can("get_security_group"):
        _with_default(ctx, ctx.project_id)
    condition = access.visible(ctx, "security_group_rule", access.own(tables.rules))
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
        check_rule(attributes)

    def work(tx: Connection) -> list[Rule]:
        made: list[Rule] = []
        seen: dict[str, Group] = {}
        for attributes, _ in many:
            given = dict(attributes)
            group_id = given["security_group_id"]
            group = seen.get(group_id) or store.find_bare(tx, group_id)
            project_id = access.project_for(ctx, given)
            if group is None or not ctx.can("get_security_group", target_of(group.project_id)):
                raise missing("security_group", group_id)
            target = {**target_of(project_id), "security_group:project_id": group.project_id}
            ctx.require("create_security_group_rule", target)
            seen[group_id] = group
            made.append(_write_rule(tx, ctx, project_id, given))
        now = ctx.cloud.clock.now()
        for group_id in seen:
            rows.update_row(tx, tables.groups, now, group_id, {})
            sync.touch_group(tx, ctx.cloud, group_id)
        return made

    return access.transact(ctx.cloud, work)


def _write_rule(tx: Connection, ctx: Context, project_id: str, given: Attributes) -> Rule:
    if remote := given["remote_group_id"]:
        other = store.find_bare(tx, remote)
        if other is None or not ctx.can("get_security_group", target_of(other.project_id)):
            raise missing("security_group", remote)
    access.take(tx, project_id, security_group_rule=1)
    facts = {name: value for name, value in given.items() if name not in ("description", "security_group_id")}
    if same := store.same_rules(tx, given["security_group_id"], facts):
        raise conflict("SecurityGroupRuleExists", f"Security group rule already exists. Rule id is {same}.")
    row = {"id": ids.uuid(), "project_id": project_id, **given}
    return Rule(**rows.insert_row(tx, tables.rules, ctx.cloud.clock.now(), row))


def check_rule(rule: Attributes) -> None:
    """Check that the parts of a rule fit one another, and put its prefix and protocol into their canonical form.

    :raises BadRequest: when they do not.
    """
    number = _protocol(rule)
    low, high = rule["port_range_min"], rule["port_range_max"]
    for port in (low, high):
        if port is not None and not 0 <= port <= PORT_MAX:
            raise _bad_port(port)
    if rule["remote_ip_prefix"] and rule["remote_group_id"]:
        text = "Only remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
        raise invalid(text, "SecurityGroupMultipleRemoteEntites")
    if rule["remote_ip_prefix"]:
        net = addressing.network(rule["remote_ip_prefix"])
        if net.version != (4 if rule["ethertype"] == "IPv4" else 6):
            text = f"Conflicting value ethertype {rule['ethertype']} for CIDR {rule['remote_ip_prefix']}"
            raise invalid(text, "SecurityGroupRuleParameterConflict")
        rule["remote_ip_prefix"] = str(ipaddress.ip_interface(rule["remote_ip_prefix"]))  # host bits stay, as in neutron
    if low is None and high is None:
        return
    if number is None or rule["protocol"] == "ip":
        raise invalid("Must also specify protocol if port range is given.", "SecurityGroupProtocolRequiredWithPorts")
    if number in ICMP:
        _check_icmp(low, high)
    elif number not in WITH_PORTS:
        text = f"Invalid protocol {rule['protocol']} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP."
        raise invalid(text, "SecurityGroupInvalidProtocolForPort")
    elif 0 in (low, high):
        raise _bad_port(0)
    elif low is None or high is None or low > high:
        raise invalid("For TCP/UDP protocols, port_range_min must be <= port_range_max", "SecurityGroupInvalidPortRange")


def _bad_port(port: int) -> BadRequest:
    return invalid(f"Invalid value for port {port}", "SecurityGroupInvalidPortValue")


def _check_icmp(kind: int | None, code: int | None) -> None:
    for field, name, value in (("port_range_min", "type", kind), ("port_range_max", "code", code)):
        if value is not None and not 0 <= value <= 255:
            text = f"Invalid value for ICMP {name} ({field}) {value}. It must be 0 to 255."
            raise invalid(text, "SecurityGroupInvalidIcmpValue")
    if kind is None and code is not None:
        text = f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing."
        raise invalid(text, "SecurityGroupMissingIcmpType")


def _protocol(rule: dict[str, Any]) -> int | None:
    """Read a rule's protocol, put it into its canonical form, and return its number; None: any."""
    text = rule["protocol"]
    if text is None or str(text).lower() == "any":
        rule["protocol"] = None
        return None
    text = str(text).lower()
    if text.isascii() and text.isdecimal() and int(text) <= 255:
        number = int(text)
    elif text in PROTOCOLS:
        number = PROTOCOLS[text]
    else:
        known = ", ".join(sorted(PROTOCOLS))
        raise invalid(
            f"Security group rule protocol {text} not supported. "
            f"Only protocol values [{known}] and integer representations [0 to 255] are supported.",
            "SecurityGroupRuleInvalidProtocol",
        )
    if rule["ethertype"] == "IPv6" and text == "icmp":
        text, number = "ipv6-icmp", 58
    if rule["ethertype"] == "IPv4" and text in ONLY_IPV6:
        raise invalid(f"Invalid ethertype {rule['ethertype']} for protocol {text}.", "SecurityGroupEthertypeConflictWithProtocol")
    rule["protocol"] = "ipv6-icmp" if text == "icmpv6" else text
    return number


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
