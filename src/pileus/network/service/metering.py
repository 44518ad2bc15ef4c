"""Use cases of meters: labels and the rules of what they count, which is the traffic through routers' gateways."""

from functools import partial
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Cloud, Context
from pileus.network import addressing
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import plain
from pileus.network.service.access import Attributes
from pileus.network.service.plain import Plain
from pileus.network.store import metering as store
from pileus.network.store import rows
from pileus.network.store.metering import MeterLabel, MeterRule
from pileus.network.tables.routing import metering_rules
from pileus.network.tasks import sync

LABEL = Plain(store.LABEL, store.assemble, store.visible)
RULE = Plain(store.RULE, store.assemble_rules, store.visible_rules)

list_labels, show_label = partial(plain.list_all, LABEL), partial(plain.show, LABEL)
list_rules, show_rule = partial(plain.list_all, RULE), partial(plain.show, RULE)


def create_labels(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[MeterLabel]:
    """Make labels; they count nothing before they have rules."""

    def prepare(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> dict[str, Any]:
        return {name: attributes[name] for name in ("name", "description", "shared")}

    return plain.create(LABEL, prepare, ctx, many)


def remove_label(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a label with its rules."""

    def release(tx: Connection, ctx: Context, label: MeterLabel) -> None:
        for rule in store.rules_of(tx, [id]):
            rows.delete_row(tx, metering_rules, rule.id)
        _follow(tx, ctx.cloud, label)

    plain.remove(LABEL, release, ctx, id, revision)


def create_rules(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[MeterRule]:
    """Let labels count, or leave out, more.  :raises Conflict: when a label has an overlapping rule of that direction."""

    def work(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> dict[str, Any]:
        label = plain.find(LABEL, ctx, tx, attributes["metering_label_id"], "get")
        _check(tx, attributes)
        _follow(tx, ctx.cloud, label)
        names = ("metering_label_id", "direction", "remote_ip_prefix", "source_ip_prefix", "destination_ip_prefix", "excluded")
        return {name: attributes[name] for name in names}

    unowned = Plain(store.RULE, store.assemble_rules, store.visible_rules, owned=False)
    return plain.create(unowned, work, ctx, [({**a, "project_id": None}, given) for a, given in many])


def _check(tx: Connection, attributes: Attributes) -> None:
    remote, source, destination = (attributes[f"{name}_ip_prefix"] for name in ("remote", "source", "destination"))
    if not (remote or source or destination):
        raise invalid("You must define at least one of the IP prefixes: remote, source or destination")
    if remote and (source or destination):
        raise invalid("Cannot use 'remote-ip-prefix' together with 'source-ip-prefix' or 'destination-ip-prefix'")
    if not remote:
        return
    mine = addressing.network(remote)
    for other in store.rules_of(tx, [attributes["metering_label_id"]]):
        if other.direction != attributes["direction"] or not other.remote_ip_prefix or other.excluded != attributes["excluded"]:
            continue
        net = addressing.network(other.remote_ip_prefix)
        if net.version == mine.version and net.overlaps(mine):
            text = f"Metering label rule with remote_ip_prefix '{remote}' overlaps another."
            raise conflict("MeteringLabelRuleOverlaps", text)


def remove_rule(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a rule."""

    def release(tx: Connection, ctx: Context, rule: MeterRule) -> None:
        label = plain.read(LABEL, tx, rule.metering_label_id)
        if label is None:
            raise missing("metering_label", rule.metering_label_id)
        _follow(tx, ctx.cloud, label)

    plain.remove(RULE, release, ctx, id, revision)


def _follow(tx: Connection, cloud: Cloud, label: MeterLabel) -> None:
    for router_id in store.routers_counted(tx, label):
        sync.touch(tx, cloud, "router", router_id)
