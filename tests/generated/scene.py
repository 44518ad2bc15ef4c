"""One of everything in the project of `demo`, and requests to every route that are as good as can be made out of its schema."""

import re
from dataclasses import dataclass, field
from typing import Any

from pileus.kernel import openapi
from pileus.main import services
from tests.conftest import BLUE, PERSONAS, Lab

DOCUMENTS = {service.name: openapi.document(service) for service in services()}
USER = PERSONAS["demo"]["user_id"]
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
    server = {"name": "s", "flavorRef": scene.ids["flavor_id"], "imageRef": image, "networks": [{"uuid": scene.ids["network"]}]}
    scene.make("server_id", "/compute/v2.1/servers", {"server": server})
    lab.settle(1)
    aggregate = {"aggregate": {"name": "a", "availability_zone": "z"}}
    scene.make("aggregate_id", "/compute/v2.1/os-aggregates", aggregate, "admin")
    scene.make("server_group", "/compute/v2.1/os-server-groups", {"server_group": {"name": "g", "policies": ["affinity"]}})
    return scene


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


WORDS = {"id": "", "uuid": "", "group": "group_id", "prior_role_id": "role_id", "implied_role_id": "role_id", "port_id": "port"}


def path_of(scene: Scene, service: Any, route: Any) -> str:
    """Return a route's path with ids of what there is."""
    nouns = route.path.strip("/").split("/")

    def value(found: re.Match) -> str:
        word = found[1]
        noun = next((part for part in reversed(nouns[: nouns.index(found[0])]) if not part.startswith("{")), "")
        if word in ("id", "uuid"):
            known = {**scene.ids, "images": scene.ids["image_id"], "os-volumes": scene.ids["volume_id"]}
            return known.get(noun.rstrip("s")) or known.get(noun) or "00000000-0000-4000-8000-000000000000"
        if service.name == "compute" and word == "group_id":
            return scene.ids["server_group"]
        return scene.ids.get(WORDS.get(word, word)) or {"plural": "networks", "tag": "blue", "key": "k"}.get(word, "x")

    return re.sub(r"\{(\w+)(?::rest)?\}", value, route.path)


def body_of(scene: Scene, service: Any, route: Any) -> Any:
    """Return the smallest body of a route's schema; None: it has none."""
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
