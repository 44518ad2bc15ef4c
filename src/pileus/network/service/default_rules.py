"""Use cases of the rules that new security groups get; at first the classic ones."""

from functools import partial
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.network.errors import conflict
from pileus.network.service import plain, rules
from pileus.network.service.access import Attributes
from pileus.network.service.plain import Plain
from pileus.network.store import default_rules as store
from pileus.network.store import rows
from pileus.network.store.default_rules import DefaultRule
from pileus.network.tables.grouping import default_rules

PARENT = "PARENT"
"""As a remote group: the one that the rule is made in."""

DEFAULT_RULE = Plain(store.DEFAULT_RULE, store.assemble, owned=False)

list_rules = partial(plain.list_all, DEFAULT_RULE)
show = partial(plain.show, DEFAULT_RULE)
remove = partial(plain.remove, DEFAULT_RULE, plain.let_go)


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[DefaultRule]:
    """Let new groups get further rules.  :raises Conflict: when they get such a rule already."""

    def prepare(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> dict[str, Any]:
        columns = {name: value for name, value in attributes.items() if name not in ("id", "project_id", "tenant_id")}
        rules.check_rule(columns)
        facts = {name: value for name, value in columns.items() if name != "description" and not name.startswith("used_in")}
        used = [name for name in ("used_in_default_sg", "used_in_non_default_sg") if columns[name]]
        if same := store.same(tx, facts, used):
            text = f"Default security group rule already exists. Rule id is {same}."
            raise conflict("DefaultSecurityGroupRuleExists", text)
        return columns

    return plain.create(DEFAULT_RULE, prepare, ctx, many)


def bootstrap(tx: Connection, cloud: Cloud) -> None:
    """Write the classic rules at the first start: all may go out; into a default group come its members."""
    if not store.is_empty(tx):
        return
    for ethertype in ("IPv4", "IPv6"):
        for direction in ("egress", "ingress"):
            inward = direction == "ingress"
            row = {
                "id": ids.uuid(), "description": f"Legacy default SG rule for {direction} traffic",
                "direction": direction, "ethertype": ethertype, "protocol": None,
                "port_range_min": None, "port_range_max": None, "remote_ip_prefix": None,
                "remote_group_id": PARENT if inward else None, "remote_address_group_id": None,
                "used_in_default_sg": True, "used_in_non_default_sg": not inward,
            }  # fmt: skip
            rows.insert_row(tx, default_rules, cloud.clock.now(), row)
