"""The resources that are alike: a collection of each, with the same five calls."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Answer, Call, Route
from pileus.network.api import listing
from pileus.network.schemas import answers, shown
from pileus.network.schemas import further as f
from pileus.network.schemas import requests as r
from pileus.network.schemas.clean import attributes_of
from pileus.network.service import (
    address_groups,
    address_scopes,
    default_rules,
    flavors,
    floating_ips,
    groups,
    metering,
    networks,
    plain,
    ports,
    qos,
    rbac,
    routers,
    subnet_pools,
    subnets,
    trunks,
)  # fmt: skip


@dataclass(frozen=True)
class Collection:
    """A resource: its nouns, bodies, use cases, and how it is shown.

    :param bulk: many may be made in one call.
    :param path: where it is, if not under its plural.
    """

    noun: str
    plural: str
    create: type[Struct]
    update: type[Struct] | None
    show: Callable[[Context], Callable[[Any], dict[str, Any]]]
    list_all: Callable[..., list[Any]]
    find: Callable[[Context, str], Any]
    make: Callable[..., list[Any]]
    remove: Callable[..., None]
    change: Callable[..., Any] | None = None
    bulk: bool = True
    path: str = ""

    @property
    def key(self) -> str:
        """The plural as bodies have it."""
        return self.plural.replace("-", "_")


COLLECTIONS = (
    Collection("network", "networks", r.NetworkCreate, r.NetworkUpdate, answers.networks, networks.list_networks, networks.show,
               networks.create, networks.remove, networks.change),
    Collection("subnet", "subnets", r.SubnetCreate, r.SubnetUpdate, answers.subnets, subnets.list_subnets, subnets.show,
               subnets.create, subnets.remove, subnets.change),
    Collection("subnetpool", "subnetpools", r.SubnetPoolCreate, r.SubnetPoolUpdate, answers.subnet_pools,
               subnet_pools.list_pools, subnet_pools.show, subnet_pools.create, subnet_pools.remove, subnet_pools.change),
    Collection("address_scope", "address-scopes", r.AddressScopeCreate, r.AddressScopeUpdate, answers.address_scopes,
               address_scopes.list_scopes, address_scopes.show, address_scopes.create, address_scopes.remove,
               address_scopes.change),
    Collection("port", "ports", r.PortCreate, r.PortUpdate, answers.ports, ports.list_ports, ports.show, ports.create,
               ports.remove, ports.change),
    Collection("router", "routers", r.RouterCreate, r.RouterUpdate, answers.routers, routers.list_routers, routers.show,
               routers.create, routers.remove, routers.change, bulk=False),
    Collection("floatingip", "floatingips", r.FloatingIpCreate, r.FloatingIpUpdate, answers.floating_ips,
               floating_ips.list_floating_ips, floating_ips.show, floating_ips.create, floating_ips.remove,
               floating_ips.change, bulk=False),
    Collection("security_group", "security-groups", r.GroupCreate, r.GroupUpdate, answers.groups, groups.list_groups,
               groups.show, groups.create, groups.remove, groups.change),
    Collection("security_group_rule", "security-group-rules", r.RuleCreate, None, answers.rules, groups.list_rules,
               groups.show_rule, groups.create_rules, groups.remove_rule),
    Collection("default_security_group_rule", "default-security-group-rules", f.DefaultRuleCreate, None, shown.default_rules,
               default_rules.list_rules, default_rules.show, default_rules.create, default_rules.remove),
    Collection("address_group", "address-groups", f.AddressGroupCreate, f.AddressGroupUpdate, shown.address_groups,
               address_groups.list_groups, address_groups.show, address_groups.create, address_groups.remove,
               address_groups.change),
    Collection("rbac_policy", "rbac-policies", f.RbacCreate, f.RbacUpdate, shown.rbac, rbac.list_policies, rbac.show,
               rbac.create, rbac.remove, rbac.change),
    Collection("policy", "policies", f.PolicyCreate, f.PolicyUpdate, shown.qos_policies, partial(plain.list_all, qos.POLICY),
               partial(plain.show, qos.POLICY), qos.create, qos.remove, qos.change, path="qos/policies"),
    Collection("metering_label", "metering-labels", f.LabelCreate, None, shown.labels, metering.list_labels,
               metering.show_label, metering.create_labels, metering.remove_label, path="metering/metering-labels"),
    Collection("metering_label_rule", "metering-label-rules", f.LabelRuleCreate, None, shown.label_rules, metering.list_rules,
               metering.show_rule, metering.create_rules, metering.remove_rule, path="metering/metering-label-rules"),
    Collection("flavor", "flavors", f.FlavorCreate, f.FlavorUpdate, shown.flavors, flavors.list_flavors, flavors.show,
               flavors.create, flavors.remove, flavors.change),
    Collection("service_profile", "service_profiles", f.ProfileCreate, f.ProfileUpdate, shown.profiles, flavors.list_profiles,
               flavors.show_profile, flavors.create_profiles, flavors.remove_profile, flavors.change_profile),
    Collection("trunk", "trunks", f.TrunkCreate, f.TrunkUpdate, shown.trunks, trunks.list_trunks, trunks.show, trunks.create,
               trunks.remove, trunks.change),
)  # fmt: skip


def routes_of(c: Collection) -> list[Route]:
    """Return the routes of a collection."""

    def index(call: Call) -> Any:
        wanted = listing.read(call)
        show, pick = c.show(call.ctx), listing.pick(call)
        shown = [show(record) for record in c.list_all(call.ctx, wanted)]
        answer: dict[str, Any] = {c.key: [pick(each) for each in shown]}
        if found := listing.links(call, wanted.page, [each["id"] for each in shown]):
            answer[f"{c.key}_links"] = found
        return answer

    def show(call: Call) -> Any:
        return {c.noun: listing.pick(call)(c.show(call.ctx)(c.find(call.ctx, call.path["id"])))}

    def create(call: Call) -> Any:
        one, many = getattr(call.body, c.noun), getattr(call.body, c.key, UNSET)
        if (one is UNSET) == (many is UNSET):
            raise BadRequest(f"The body needs '{c.noun}'" + (f" or '{c.key}'." if c.bulk else "."), kind="HTTPBadRequest")
        bodies = [one] if many is UNSET else [_unwrapped(c, item) for item in many]
        made = [c.show(call.ctx)(record) for record in c.make(call.ctx, [_complete(attributes_of(body)) for body in bodies])]
        return {c.noun: made[0]} if many is UNSET else {c.key: made}

    def update(call: Call) -> Any:
        body = getattr(call.body, c.noun)
        if body is UNSET or c.change is None:
            raise BadRequest(f"Unable to find '{c.noun}' in request body", kind="HTTPBadRequest")
        attributes, _ = attributes_of(body)
        return {c.noun: c.show(call.ctx)(c.change(call.ctx, call.path["id"], attributes, listing.revision(call)))}

    def remove(call: Call) -> Answer:
        c.remove(call.ctx, call.path["id"], listing.revision(call))
        return Answer()

    base = f"/v2.0/{c.path or c.plural}"
    found = [
        Route("GET", base, index, rule=f"get_{c.noun}", summary=f"List {c.plural}"),
        Route("POST", base, create, body=r.envelope(c.noun, c.create, c.key if c.bulk else ""), status=201,
              rule=f"create_{c.noun}", errors=(400, 401, 403, 404, 409), summary=f"Make a {c.noun}"),
        Route("GET", base + "/{id}", show, rule=f"get_{c.noun}", summary=f"Show a {c.noun}"),
        Route("DELETE", base + "/{id}", remove, status=204, rule=f"delete_{c.noun}", errors=(401, 403, 404, 409, 412),
              summary=f"Remove a {c.noun}"),
    ]  # fmt: skip
    if c.update is not None:
        found.append(
            Route("PUT", base + "/{id}", update, body=r.envelope(c.noun, c.update), rule=f"update_{c.noun}",
                  errors=(400, 401, 403, 404, 409, 412), summary=f"Change a {c.noun}")
        )  # fmt: skip
    return found


def _unwrapped(c: Collection, item: dict[str, Any]) -> Struct:
    """Read one of many, which may stand under its noun.  :raises BadRequest: when it is not well formed."""
    found = item[c.noun] if set(item) == {c.noun} else item
    try:
        return msgspec.convert(found, c.create)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid input for {c.key}. {error}", kind="HTTPBadRequest") from None


def _complete(attributes: tuple[dict[str, Any], frozenset[str]]) -> tuple[dict[str, Any], frozenset[str]]:
    """Give a rule the defaults that no single field has."""
    found, given = attributes
    if "direction" in found and "ethertype" in found:
        found["ethertype"] = found["ethertype"] or "IPv4"
    return found, given


ROUTES = tuple(route for collection in COLLECTIONS for route in routes_of(collection))
