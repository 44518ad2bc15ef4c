"""One of everything in the project of `demo`, and requests to every route that are as good as can be made out of its schema."""

import re
from dataclasses import dataclass, field
from typing import Any

from pileus.kernel import openapi
from pileus.main import services
from tests.conftest import BLUE, PERSONAS, Lab
from tests.generated.examples import BODIES, OF_NETWORK, QUERIES, UNKNOWN, filled, of_network

DOCUMENTS = {service.name: openapi.document(service) for service in services()}
USER = PERSONAS["demo"]["user_id"]
NEWEST = {"OpenStack-API-Version": "compute 2.96"}
PLACEMENT = {"OpenStack-API-Version": "placement 1.39"}
PATCH = "application/openstack-images-v2.1-json-patch"
OCTETS = "application/octet-stream"
DEPTH_MAX = 6


@dataclass
class Scene:
    """What there is, by the word that paths have for it."""

    lab: Lab
    ids: dict[str, str] = field(default_factory=dict)

    def make(self, word: str, url: str, body: dict, persona: str = "demo", at: str = "id", **headers: str) -> str:
        """Make a thing and remember its id."""
        answer = self.lab.client(persona, headers=headers).post(url, json=body)
        assert answer.status_code < 300, (url, answer.status_code, answer.text)
        found = answer.json()
        inner = found if at in found else next(iter(found.values()))
        self.ids[word] = str(inner[at])
        return self.ids[word]


def build(lab: Lab) -> Scene:
    """Fill a cloud."""
    scene = Scene(lab)
    _people(scene)
    _networks(scene)
    image = scene.make("image_id", "/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"})
    upload = lab.client("demo").put(f"/image/v2/images/{image}/file", content=b"x" * 512, headers={"Content-Type": OCTETS})
    assert upload.status_code == 204
    flavor = {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}
    scene.make("flavor_id", "/compute/v2.1/flavors", {"flavor": flavor}, "admin")
    scene.make("volume_id", "/volume/v3/volumes", {"volume": {"size": 1}})
    lab.settle(1)
    scene.make("snapshot_id", "/volume/v3/snapshots", {"snapshot": {"volume_id": scene.ids["volume_id"], "force": True}})
    scene.make("type_id", "/volume/v3/types", {"volume_type": {"name": "t"}}, "admin")
    scene.make("qos_id", "/volume/v3/qos-specs", {"qos_specs": {"name": "q"}}, "admin")
    _volumes(scene)
    server = {"name": "s", "flavorRef": scene.ids["flavor_id"], "imageRef": image, "networks": [{"uuid": scene.ids["network"]}]}
    scene.make("server_id", "/compute/v2.1/servers", {"server": server})
    lab.settle(1)
    aggregate = {"aggregate": {"name": "a", "availability_zone": "z"}}
    scene.make("aggregate_id", "/compute/v2.1/os-aggregates", aggregate, "admin")
    scene.make("server_group", "/compute/v2.1/os-server-groups", {"server_group": {"name": "g", "policies": ["affinity"]}})
    keypair = {"keypair": {"name": "k", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== x"}}
    assert lab.client("demo").post("/compute/v2.1/os-keypairs", json=keypair).status_code == 200
    hypervisors = lab.client("admin", headers=NEWEST).get("/compute/v2.1/os-hypervisors").json()["hypervisors"]
    scene.ids["hypervisor_id"] = str(hypervisors[0]["id"])
    services = lab.client("admin", headers=NEWEST).get("/compute/v2.1/os-services").json()["services"]
    scene.ids["compute_service"] = str(next(one["id"] for one in services if one["binary"] == "nova-compute"))
    at = "/image/v2/metadefs/namespaces"
    assert lab.client("demo").post(at, json={"namespace": "n"}).status_code in (201, 403)
    if lab.client("demo").get(f"{at}/n").status_code == 404:
        assert lab.client("admin", project_id=BLUE).post(at, json={"namespace": "n"}).status_code == 201
    provider = {"name": "p"}
    scene.make("resource_provider", "/placement/resource_providers", provider, "admin", "uuid", **PLACEMENT)
    for url in ("/placement/resource_classes/CUSTOM_X", "/placement/traits/CUSTOM_X"):
        assert lab.client("admin", headers=PLACEMENT).put(url).status_code in (201, 204)
    return scene


def _volumes(scene: Scene) -> None:
    at, newest = "/volume/v3", {"OpenStack-API-Version": "volume 3.71"}
    scene.make("backup_id", f"{at}/backups", {"backup": {"volume_id": scene.ids["volume_id"], "force": True}})
    scene.make("group_type_id", f"{at}/group_types", {"group_type": {"name": "g"}}, "admin", **newest)
    group = {"group": {"group_type": scene.ids["group_type_id"], "volume_types": [scene.ids["type_id"]]}}
    scene.make("volume_group", f"{at}/groups", group, **newest)
    scene.lab.settle(1)
    member = {"volume": {"size": 1, "volume_type": scene.ids["type_id"], "group_id": scene.ids["volume_group"]}}
    scene.make("volume_of_group", f"{at}/volumes", member, **newest)
    scene.lab.settle(1)
    snapshot = {"group_snapshot": {"group_id": scene.ids["volume_group"]}}
    scene.make("group_snapshot_id", f"{at}/group_snapshots", snapshot, **newest)
    scene.lab.settle(1)


def _people(scene: Scene) -> None:
    from pileus.identity.service import bootstrap
    from pileus.identity.store import rows
    from pileus.identity.store.records import Project, User

    assert bootstrap.DOMAIN_ID == "default"
    with scene.lab.cloud.db.begin() as tx:
        rows.add(tx, Project(BLUE, "blue", "default", "default"), "project", BLUE)
        rows.add(tx, User(USER, "ann", "default"), "user", USER)
    at, admin = "/identity/v3", "system"
    scene.ids |= {"project_id": BLUE, "user_id": USER, "domain_id": "default", "region_id": "RegionOne"}
    scene.make("group_id", f"{at}/groups", {"group": {"name": "g"}}, admin)
    scene.make("role_id", f"{at}/roles", {"role": {"name": "r"}}, admin)
    scene.make("service_id", f"{at}/services", {"service": {"type": "x", "name": "x"}}, admin)
    endpoint = {"service_id": scene.ids["service_id"], "interface": "public", "url": "http://example.org"}
    scene.make("endpoint_id", f"{at}/endpoints", {"endpoint": endpoint}, admin)
    credential = {"user_id": USER, "blob": "{}", "type": "cert", "project_id": BLUE}
    scene.make("credential_id", f"{at}/credentials", {"credential": credential}, admin)
    scene.make("policy_id", f"{at}/policies", {"policy": {"blob": "{}", "type": "application/json"}}, admin)
    limit = {"service_id": scene.ids["service_id"], "resource_name": "n", "default_limit": 1}
    assert scene.lab.client(admin).post(f"{at}/registered_limits", json={"registered_limits": [limit]}).status_code == 201
    own = {"service_id": scene.ids["service_id"], "resource_name": "n", "resource_limit": 2, "project_id": BLUE}
    made = scene.lab.client(admin).post(f"{at}/limits", json={"limits": [own]})
    scene.ids["limit_id"] = made.json()["limits"][0]["id"]
    scene.make("consumer_id", f"{at}/OS-OAUTH1/consumers", {"consumer": {}}, admin)


def _networks(scene: Scene) -> None:
    at = "/network/v2.0"
    network = scene.make("network", f"{at}/networks", {"network": {"name": "n"}})
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"}
    scene.make("subnet", f"{at}/subnets", {"subnet": subnet})
    scene.make("port", f"{at}/ports", {"port": {"network_id": network}})
    scene.make("router", f"{at}/routers", {"router": {"name": "r"}})
    group = scene.make("security-group", f"{at}/security-groups", {"security_group": {"name": "g"}})
    rule = {"security_group_id": group, "direction": "ingress"}
    scene.make("security-group-rule", f"{at}/security-group-rules", {"security_group_rule": rule})
    parent = scene.lab.client("demo").post(f"{at}/ports", json={"port": {"network_id": network}}).json()["port"]["id"]
    scene.make("trunk", f"{at}/trunks", {"trunk": {"port_id": parent}})
    for word, plural, key in (
        ("address-group", "address-groups", "address_group"), ("address-scope", "address-scopes", "address_scope"),
        ("subnetpool", "subnetpools", "subnetpool"),
    ):  # fmt: skip
        scene.make(word, f"{at}/{plural}", {key: OF_NETWORK[plural][1]})
    for word, plural, key in (
        ("policy", "qos/policies", "policy"), ("metering-label", "metering/metering-labels", "metering_label"),
        ("network-flavor", "flavors", "flavor"), ("service_profile", "service_profiles", "service_profile"),
    ):  # fmt: skip
        owner = {"project_id": BLUE} if key in ("policy", "metering_label") else {}
        scene.make(word, f"{at}/{plural}", {key: OF_NETWORK[plural][1] | owner}, "admin")
    outside = {"network": {"name": "outside", "router:external": True}}
    outside_id = scene.lab.client("admin").post(f"{at}/networks", json=outside).json()["network"]["id"]
    wanted = {"network_id": outside_id, "ip_version": 4, "cidr": "198.51.100.0/24", "enable_dhcp": False}
    assert scene.lab.client("admin").post(f"{at}/subnets", json={"subnet": wanted}).status_code == 201
    scene.make("floatingip", f"{at}/floatingips", {"floatingip": {"floating_network_id": outside_id}})
    shared = {"object_type": "network", "object_id": network, "action": "access_as_shared", "target_tenant": "e" * 32}
    scene.make("rbac-policy", f"{at}/rbac-policies", {"rbac_policy": shared})


WORDS = {
    "id": "", "uuid": "", "group": "group_id", "prior_role_id": "role_id", "implied_role_id": "role_id", "port_id": "port",
    "tenant_id": "project_id", "plural": "",
}  # fmt: skip
PLAIN = {
    "tag": "blue", "key": "k", "host": "host1", "action": "enable", "consumer": UNKNOWN, "namespace": "n",
    "before_timestamp": "2020-01-01 00:00:00",
}  # fmt: skip
NOUNS = {
    "images": "image_id", "os-volumes": "volume_id", "resource_providers": "resource_provider",
    "consistencygroups": "volume_group", "cgsnapshots": "group_snapshot_id", "os-server-groups": "server_group", "groups": "",
    "os-keypairs": "", "os-services": "compute_service", "policies": "policy",
    "rbac-policies": "rbac-policy", "flavors": "network-flavor",
    "network-ip-availabilities": "network", "os-networks": "network", "os-tenant-networks": "network",
    "os-security-groups": "security-group", "os-security-group-rules": "security-group-rule", "os-floating-ips": "floatingip",
    "os-snapshots": "snapshot_id",
}  # fmt: skip
NAMES = {
    "os-keypairs": "k", "objects": "n", "properties": "n", "tags": "n", "rule-types": "bandwidth_limit",
    "traits": "CUSTOM_X", "resource_classes": "CUSTOM_X", "inventories": "VCPU",
}  # fmt: skip


def path_of(scene: Scene, service: Any, route: Any) -> str:
    """Return a route's path with ids of what there is."""
    nouns = route.path.strip("/").split("/")

    def value(found: re.Match) -> str:
        word = found[1]
        noun = next((part for part in reversed(nouns[: nouns.index(found[0])]) if not part.startswith("{")), "")
        if word == "plural":
            return "policies" if noun == "qos" else "networks"
        if word in ("id", "uuid"):
            if "{plural}" in nouns:
                return scene.ids["policy" if "qos" in nouns else "network"]
            ids = scene.ids
            return ids.get(NOUNS.get(noun, "")) or ids.get(noun.rstrip("s")) or ids.get(noun) or UNKNOWN
        if word == "name":
            return NAMES.get(noun, "x")
        if word == "group_id" and service.name in ("compute", "volume"):
            return scene.ids["server_group" if service.name == "compute" else "volume_group"]
        if service.name == "network" and word in ("policy_id", "floatingip_id"):
            return scene.ids[word.removesuffix("_id")]
        if word == "service_id" and service.name == "compute":
            return scene.ids["compute_service"]
        return scene.ids.get(WORDS.get(word, word)) or PLAIN.get(word, "x")

    return re.sub(r"\{(\w+)(?::rest)?\}", value, route.path)


def call_of(route: Any) -> str:
    """Return a route's call without the version of the API."""
    return f"{route.method} {re.sub(r'^/v[0-9.]+(?=/)', '', route.path)}"


def query_of(scene: Scene, route: Any) -> dict[str, str]:
    """Return the query that a route cannot do without."""
    return filled(QUERIES.get(call_of(route), {}), scene.ids)


def body_of(scene: Scene, service: Any, route: Any) -> Any:
    """Return a body with something in it, else the smallest of a route's schema; None: it has none."""
    call = call_of(route)
    for wanted in (f"{service.name} {call} {route.until}", f"{call} {route.until}", f"{service.name} {call}", call):
        if wanted in BODIES:
            return filled(BODIES[wanted], scene.ids)
    if service.name == "network" and (made := of_network(route.method, route.path)) is not None:
        return filled(made, scene.ids)
    if route.body is None:
        return None
    operation = DOCUMENTS[service.name]["paths"][re.sub(":rest", "", route.path)][route.method.lower()]
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    return _smallest(scene, schema, DOCUMENTS[service.name]["components"]["schemas"], "", 0)


def _smallest(scene: Scene, schema: dict, components: dict, name: str, depth: int) -> Any:
    if "$ref" in schema:
        return _smallest(scene, components[schema["$ref"].rpartition("/")[2]], components, name, depth)
    if "enum" in schema or "const" in schema:
        return schema.get("enum", [schema.get("const")])[0]
    if "anyOf" in schema and depth < DEPTH_MAX:
        return _smallest(scene, schema["anyOf"][0], components, name, depth + 1)
    kind = schema.get("type")
    if kind == "object":
        named = schema.get("properties", {})
        return {
            key: _smallest(scene, named[key], components, key, depth + 1) for key in schema.get("required", ()) if key in named
        }
    if kind == "array":
        least = schema.get("minItems", 0)
        return [_smallest(scene, schema.get("items", {}), components, name, depth + 1) for _ in range(least)]
    return {"string": _text(scene, schema, name), "integer": max(1, schema.get("minimum", 1)), "number": 1, "null": None}.get(
        kind, True
    )


def _text(scene: Scene, schema: dict, name: str) -> str:
    known = {"flavorRef": scene.ids.get("flavor_id"), "imageRef": scene.ids.get("image_id"), "cidr": "10.1.0.0/24"}
    if name.endswith("user_id"):
        return scene.ids["user_id"]
    found = known.get(name) or scene.ids.get(name) or scene.ids.get(name.removesuffix("_id")) or "x"
    return found.ljust(schema.get("minLength", 0), "x")
