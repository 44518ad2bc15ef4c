"""Security groups in nova's old form, which newer clients ask the network for.  Rules are those for what comes in."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pileus.compute import neighbours
from pileus.compute.policies.proxies import GROUPS
from pileus.compute.service import server_access as access
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, NotFound
from pileus.network.service import groups, proxied

EVERYWHERE = "0.0.0.0/0"
WITH_PORTS = ("tcp", "udp")
PROTOCOLS = (*WITH_PORTS, "icmp")


@dataclass(frozen=True)
class WantedRule:
    """A rule as it is asked for: everything but the group may be of any kind."""

    parent_group_id: str
    group_id: str | None = None
    protocol: Any = None
    from_port: Any = None
    to_port: Any = None
    cidr: Any = None


@contextmanager
def _worded(in_use: type[BadRequest] | type[Forbidden]) -> Iterator[None]:
    """Turn the network's refusals into nova's."""
    try:
        yield
    except Conflict as error:
        raise in_use(error.message, kind=error.kind) from None


def _id(id: str) -> str:
    if not ids.is_uuid(id):
        raise BadRequest("Security group id should be uuid")
    return id


def _shown(ctx: Context, group: Any, sources: dict[str, Any]) -> dict[str, Any]:
    sources.setdefault(group.id, {"name": group.name, "tenant_id": group.project_id})
    rules = (show_rule(ctx, rule, sources) for rule in group.rules if rule.direction == "ingress")
    return {
        "id": group.id, "name": group.name, "description": group.description, "tenant_id": group.project_id,
        "rules": [rule for rule in rules if rule is not None],
    }  # fmt: skip


def show_rule(ctx: Context, rule: Any, sources: dict[str, Any]) -> dict[str, Any] | None:
    """Return a rule as nova shows it; None: the group that it lets in is not there.

    :param sources: what is known of groups already, by id.
    """
    low, high = rule.port_range_min, rule.port_range_max
    if rule.protocol and low is None and high is None:
        low, high = (1, 65535) if rule.protocol in WITH_PORTS else (-1, -1)
    source: Any = {}
    if rule.remote_group_id:
        source = _source(ctx, rule.remote_group_id, sources)
        if source is None:
            return None
    return {
        "id": rule.id, "parent_group_id": rule.security_group_id, "ip_protocol": rule.protocol, "from_port": low,
        "to_port": high, "group": source, "ip_range": {} if source else {"cidr": rule.remote_ip_prefix or EVERYWHERE},
    }  # fmt: skip


def _source(ctx: Context, id: str, sources: dict[str, Any]) -> Any:
    if id not in sources:
        try:
            found = groups.show(ctx, id)
            sources[id] = {"name": found.name, "tenant_id": found.project_id}
        except NotFound:
            sources[id] = None
    return sources[id]


def list_groups(ctx: Context, everyone: bool) -> list[dict[str, Any]]:
    """Return the security groups of the project; everyone: those of all, for an admin."""
    ctx.require(GROUPS + "get")
    sources: dict[str, Any] = {}
    return [_shown(ctx, group, sources) for group in proxied.list_groups(ctx, None if everyone else ctx.project_id)]


def list_of_server(ctx: Context, server_id: str) -> list[dict[str, Any]]:
    """Return the security groups of a server's ports."""
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, GROUPS + "list")
        found = neighbours.network.groups_of(tx, server_id)
    sources: dict[str, Any] = {}
    return in_order([_shown(ctx, group, sources) for group in found])


def in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return groups in the order in which nova lists them."""
    return sorted(found, key=lambda group: (group["tenant_id"], group["name"]))


def show(ctx: Context, id: str) -> dict[str, Any]:
    """Return one security group.  :raises NotFound: when the caller sees none."""
    ctx.require(GROUPS + "show")
    return _shown(ctx, groups.show(ctx, _id(id)), {})


def create(ctx: Context, name: str, description: str) -> dict[str, Any]:
    """Make a security group.  :raises Forbidden: when there is no room for it."""
    ctx.require(GROUPS + "create")
    with _worded(Forbidden):
        return _shown(ctx, proxied.create_group(ctx, name, description), {})


def update(ctx: Context, id: str, name: str, description: str) -> dict[str, Any]:
    """Change a security group."""
    ctx.require(GROUPS + "update")
    with _worded(BadRequest):
        return _shown(ctx, groups.change(ctx, _id(id), {"name": name, "description": description}), {})


def delete(ctx: Context, id: str) -> None:
    """Delete a security group.  :raises BadRequest: when it is in use."""
    ctx.require(GROUPS + "delete")
    with _worded(BadRequest):
        groups.remove(ctx, _id(id))


def create_rule(ctx: Context, wanted: WantedRule) -> dict[str, Any]:
    """Let something in.

    :raises BadRequest: when the rule makes no sense, or is there.
    :raises NotFound: when a group is not there.
    :raises Forbidden: when there is no room for it.
    """
    ctx.require(GROUPS + "rule:create")
    groups.show(ctx, wanted.parent_group_id)
    sources: dict[str, Any] = {}
    if wanted.group_id and _source(ctx, wanted.group_id, sources) is None:
        raise NotFound(f"Security group {wanted.group_id} does not exist", kind="SecurityGroupNotFound")
    facts = _facts(wanted)
    try:
        rule = proxied.create_rule(ctx, wanted.parent_group_id, facts)
    except Conflict as error:
        if error.kind == "SecurityGroupRuleExists":
            text = f"This rule already exists in group {wanted.parent_group_id}"
            raise BadRequest(text, kind=error.kind) from None
        raise Forbidden(error.message, kind=error.kind) from None
    return show_rule(ctx, rule, sources) or {}


def _facts(wanted: WantedRule) -> dict[str, Any]:
    """Return a rule as the network has it.  :raises BadRequest: when it makes no sense."""
    protocol = str(wanted.protocol).lower() if wanted.protocol else ""
    low, high = wanted.from_port, wanted.to_port
    if wanted.group_id and low is None and high is None:
        low, high = {"icmp": (-1, -1), "tcp": (1, 65535), "udp": (1, 65535)}.get(protocol, (None, None))
    facts: dict[str, Any] = {"ethertype": "IPv4", "remote_group_id": wanted.group_id}
    if wanted.group_id is None:
        net = _net(wanted.cidr)
        facts = {"ethertype": f"IPv{net.version}", "remote_ip_prefix": str(net)}  # host bits stay
    if not (protocol and low is not None and high is not None):
        if wanted.group_id is None:
            raise BadRequest("Not enough parameters to build a valid rule.")
        return facts
    return facts | _ports(protocol, low, high)


def _net(cidr: Any) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    text = unquote(str(cidr)) if cidr else EVERYWHERE
    try:
        if "/" not in text:
            raise ValueError
        net = ipaddress.ip_interface(text)
    except ValueError:
        raise BadRequest(f"Invalid cidr {text}.", kind="InvalidCidr") from None
    if net.network.prefixlen == 0 and not text.startswith(("0.0.0.0/", "::/")):
        raise BadRequest(f"Bad prefix for network in cidr {text}")
    return net


def _ports(protocol: str, low: Any, high: Any) -> dict[str, Any]:
    try:
        low, high = int(low), int(high)
    except (TypeError, ValueError):
        text = "Type and Code must be integers for ICMP protocol type" if protocol == "icmp" else ""
        raise BadRequest(f"Invalid input received: {text or 'To and From ports must be integers'}") from None
    if protocol not in PROTOCOLS:
        raise BadRequest(f"Invalid IP protocol {protocol}.", kind="InvalidIpProtocol")
    least, most = (-1, 255) if protocol == "icmp" else (1, 65535)
    if low < least or high > most or high < least or low > most or (protocol != "icmp" and low > high):
        raise BadRequest(f"Invalid port range {low}:{high}.", kind="InvalidPortRange")
    ends = {name: value for name, value in (("port_range_min", low), ("port_range_max", high)) if value != -1}
    return {"protocol": protocol, **ends}


def delete_rule(ctx: Context, id: str) -> None:
    """Delete a rule.  :raises NotFound: when the caller sees none."""
    ctx.require(GROUPS + "rule:delete")
    groups.remove_rule(ctx, _id(id))
