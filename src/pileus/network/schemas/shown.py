"""How the records of what is built upon networks, ports and routers are shown; as in `answers`."""

from collections.abc import Callable
from typing import Any

import msgspec

from pileus.kernel.context import Context
from pileus.network.schemas.answers import Json, end
from pileus.network.service.qos import FIGURES
from pileus.network.store.address_groups import AddressGroup
from pileus.network.store.default_rules import DefaultRule
from pileus.network.store.flavors import Flavor, Profile
from pileus.network.store.metering import MeterLabel, MeterRule
from pileus.network.store.qos import QosPolicy, QosRule
from pileus.network.store.sharing import RbacPolicy
from pileus.network.store.trunks import Subport, Trunk


def _owner(record: Any) -> Json:
    return {"tenant_id": record.project_id, "project_id": record.project_id}


def rbac(ctx: Context) -> Callable[[RbacPolicy], Json]:
    """Show policies of sharing."""

    def show(p: RbacPolicy) -> Json:
        return {
            "id": p.id, **_owner(p), "object_type": p.object_type, "object_id": p.object_id, "action": p.action,
            "target_tenant": p.target_project,
        }  # fmt: skip

    return show


def qos_policies(ctx: Context) -> Callable[[QosPolicy], Json]:
    """Show policies of quality of service with their rules."""

    def show(p: QosPolicy) -> Json:
        return {
            "id": p.id, "name": p.name, "description": p.description, **_owner(p), "shared": p.shared,
            "is_default": p.is_default, "tags": p.tags, **end(p),
            "rules": [qos_rule(r) | {"type": r.kind, "qos_policy_id": r.qos_policy_id} for r in p.rules],
        }  # fmt: skip

    return show


def qos_rule(r: QosRule) -> Json:
    """Show one rule: what is of its kind."""
    return {"id": r.id, **{name: getattr(r, name) for name in FIGURES[r.kind]}}


def address_groups(ctx: Context) -> Callable[[AddressGroup], Json]:
    """Show address groups."""

    def show(g: AddressGroup) -> Json:
        return {
            "id": g.id, "name": g.name, "description": g.description, **_owner(g), "shared": g.shared,
            "addresses": g.addresses, "tags": g.tags, **end(g),
        }  # fmt: skip

    return show


def default_rules(ctx: Context) -> Callable[[DefaultRule], Json]:
    """Show the rules that new groups get."""

    def show(r: DefaultRule) -> Json:
        found: Json = msgspec.to_builtins(r)
        return found | end(r)

    return show


def labels(ctx: Context) -> Callable[[MeterLabel], Json]:
    """Show metering labels."""

    def show(label: MeterLabel) -> Json:
        return {
            "id": label.id, "name": label.name, "description": label.description, **_owner(label), "shared": label.shared,
        }  # fmt: skip

    return show


def label_rules(ctx: Context) -> Callable[[MeterRule], Json]:
    """Show the rules of metering labels."""

    def show(r: MeterRule) -> Json:
        return {
            "id": r.id, **_owner(r), "metering_label_id": r.metering_label_id, "direction": r.direction, "excluded": r.excluded,
            "remote_ip_prefix": r.remote_ip_prefix, "source_ip_prefix": r.source_ip_prefix,
            "destination_ip_prefix": r.destination_ip_prefix,
        }  # fmt: skip

    return show


def flavors(ctx: Context) -> Callable[[Flavor], Json]:
    """Show flavors."""

    def show(f: Flavor) -> Json:
        return {
            "id": f.id, "name": f.name, "description": f.description, "service_type": f.service_type, "enabled": f.enabled,
            "service_profiles": f.service_profiles,
        }  # fmt: skip

    return show


def profiles(ctx: Context) -> Callable[[Profile], Json]:
    """Show service profiles."""

    def show(p: Profile) -> Json:
        return {
            "id": p.id, "description": p.description, "driver": p.driver, "metainfo": p.metainfo, "enabled": p.enabled,
        }  # fmt: skip

    return show


def trunks(ctx: Context) -> Callable[[Trunk], Json]:
    """Show trunks."""

    def show(t: Trunk) -> Json:
        return {
            "id": t.id, "name": t.name, "description": t.description, **_owner(t), "admin_state_up": t.admin_state_up,
            "status": t.status, "port_id": t.port_id, "sub_ports": [subport(each) for each in t.sub_ports], "tags": t.tags,
            **end(t),
        }  # fmt: skip

    return show


def subport(s: Subport) -> Json:
    """Show what a trunk carries."""
    return {"port_id": s.port_id, "segmentation_type": s.segmentation_type, "segmentation_id": s.segmentation_id}
