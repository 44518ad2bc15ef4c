"""What a run begins with, and its end: an image, flavors, a network with a way out; and everything gone again."""

from tests.cluster.checker import PATHS
from tests.cluster.known import World
from tests.cluster.many import until

SERVERS, NETWORK, VOLUMES, IMAGES = "/compute/v2.1/servers", "/network/v2.0", "/volume/v3", "/image/v2/images"
FLAVORS = ("probe1", "probe2")


def prepare(world: World, hosts: int, content: bytes, disk_format: str) -> None:
    """Make what servers are made of, once so many hosts are up."""
    api = world.api

    def up() -> bool:
        found = api.every("/compute/v2.1/os-hypervisors/detail", "hypervisors")
        return sum(each["state"] == "up" for each in found) >= hosts

    until(up, "the hosts")
    until(lambda: len(api.every(f"{VOLUMES}/os-services?binary=cinder-volume", "services")) >= hosts, "the hosts' volumes")
    made = api.insist("POST", IMAGES, name="probe", disk_format=disk_format, container_format="bare")
    api.upload(made["id"], content)
    world.image = made["id"]
    for name, vcpus, memory_mib in zip(FLAVORS, world.scale.vcpus, world.scale.memory_mib, strict=True):
        flavor = {"name": name, "vcpus": vcpus, "ram": memory_mib, "disk": 1}
        world.flavors.append(api.insist("POST", "/compute/v2.1/flavors", flavor=flavor)["flavor"]["id"])
    lay_networks(world)


def lay_networks(world: World) -> None:
    """Make a network, and a router that joins it with the outside."""
    api = world.api
    outside = {"name": "outer", "router:external": True}
    world.outer = api.insist("POST", f"{NETWORK}/networks", network=outside)["network"]["id"]
    subnet = {"network_id": world.outer, "cidr": world.scale.outside, "ip_version": 4}
    api.insist("POST", f"{NETWORK}/subnets", subnet=subnet)
    world.network = api.insist("POST", f"{NETWORK}/networks", network={"name": "inner"})["network"]["id"]
    subnet = {"network_id": world.network, "cidr": "10.0.0.0/24", "ip_version": 4}
    world.subnet = api.insist("POST", f"{NETWORK}/subnets", subnet=subnet)["subnet"]["id"]
    router = {"name": "probe", "external_gateway_info": {"network_id": world.outer}}
    world.router = api.insist("POST", f"{NETWORK}/routers", router=router)["router"]["id"]
    api.insist("PUT", f"{NETWORK}/routers/{world.router}/add_router_interface", subnet_id=world.subnet)


def warm_up(world: World) -> None:
    """Have each host make what it makes once and keeps: a server and a volume for each."""
    api = world.api
    for number in range(3):
        body = {"name": f"warm-{number}", "imageRef": world.image, "flavorRef": world.flavors[0]}
        api.insist("POST", SERVERS, server={**body, "networks": [{"uuid": world.network}]})
        api.insist("POST", f"{VOLUMES}/volumes", volume={"size": 1, "name": f"warm-{number}"})

    def ready() -> bool:
        found = [each["status"] for each in api.every(f"{SERVERS}/detail", "servers")]
        assert "ERROR" not in found, "a server could not be made even before anything was broken"
        return set(found) == {"ACTIVE"}

    until(ready, "the first servers", world.scale.rest_seconds)


def clear(world: World) -> None:
    """Delete everything but the image and the flavors.  :raises AssertionError: when something does not go."""
    api, seconds = world.api, world.scale.rest_seconds
    for server in api.every(SERVERS, "servers"):
        api.ask("DELETE", f"{SERVERS}/{server['id']}")
    until(lambda: not api.every(SERVERS, "servers"), "no servers", seconds)
    for noun in ("snapshots", "volumes"):
        for each in api.every(PATHS[noun], noun):
            api.ask("DELETE", f"{PATHS[noun]}/{each['id']}")
        until(lambda noun=noun: not api.every(PATHS[noun], noun), f"no {noun}", seconds)  # type: ignore[misc]
    for floating in api.every(PATHS["floatingips"], "floatingips"):
        api.insist("DELETE", f"{PATHS['floatingips']}/{floating['id']}")
    for port in api.every(f"{PATHS['ports']}?name=probe", "ports"):
        api.insist("DELETE", f"{PATHS['ports']}/{port['id']}")
    for image in api.every(IMAGES, "images"):
        if image["id"] != world.image:
            api.insist("DELETE", f"{IMAGES}/{image['id']}")
    world.servers.clear()
    world.plugged.clear()
    for there in world.there.values():
        there.clear()
    left = [port for port in api.every(PATHS["ports"], "ports") if not port["device_owner"].startswith("network:")]
    assert not left, f"ports are left: {left}"
    take_up_networks(world)


def take_up_networks(world: World) -> None:
    """Delete the routers and the networks."""
    api = world.api
    api.insist("PUT", f"{NETWORK}/routers/{world.router}/remove_router_interface", subnet_id=world.subnet)
    for router in api.every(PATHS["routers"], "routers"):
        api.insist("DELETE", f"{PATHS['routers']}/{router['id']}")
    for network in (world.network, world.outer):
        api.insist("DELETE", f"{NETWORK}/networks/{network}")
