"""Compares what the APIs say with what was asked and with what there truly is on the hosts, once a cloud is at rest."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.cluster.asking import NEW
from tests.cluster.known import GONE, VOLUMES_AT_REST, World
from tests.cluster.truth import Guest, Truth

MIGRATIONS_AT_REST = {"finished", "completed", "confirmed", "reverted", "error", "failed", "cancelled", "done"}
PATHS = {
    "ports": "/network/v2.0/ports", "floatingips": "/network/v2.0/floatingips", "routers": "/network/v2.0/routers",
    "volumes": "/volume/v3/volumes", "snapshots": "/volume/v3/snapshots",
}  # fmt: skip
RUNNING = ("ACTIVE", "PAUSED")


def differences(world: World, truth: Truth) -> Iterator[str]:
    """Say what is not as it must be."""
    found = world.view()
    guests = truth.guests()
    yield from _unkept_promises(world, found)
    yield from _migrations(world)
    yield from _guests(found, guests)
    yield from _addresses(world)
    yield from (
        f"image {each['name']} is {each['status']}"
        for each in world.api.every("/image/v2/images", "images")
        if each["status"] != "active"
    )
    yield from _books(world, found)
    yield from _quotas(world)
    yield from _ports(world, truth)
    yield from _volumes(world, found, guests, truth)
    for noun, there in world.there.items():
        ids = {each["id"] for each in world.api.every(PATHS[noun], noun)}
        yield from (
            f"{noun}: {id} was {'made' if is_there else 'deleted'}" for id, is_there in there.items() if (id in ids) != is_there
        )


def _unkept_promises(world: World, found: dict[str, Any]) -> Iterator[str]:
    for server in world.servers.values():
        status = found[server.id]["status"] if server.id in found else GONE
        if status == "ERROR":
            if not found[server.id].get("fault", {}).get("message"):
                yield f"server {server.number}, {server.id} is in ERROR and nobody says why"
        elif status not in server.ends and not (status in server.before and _failed(world, server.id, server.request)):
            yield f"server {server.number}, {server.id} is {status} and not {server.ends}"


def _failed(world: World, server_id: str, what: str) -> bool:
    """Tell whether the API says that a request failed, by its id or by what such are called."""
    actions = world.api.every(f"/compute/v2.1/servers/{server_id}/os-instance-actions", "instanceActions")
    return any(each["message"] == "Error" for each in actions if what in (each["action"], each["request_id"]))


def _migrations(world: World) -> Iterator[str]:
    for each in world.api.every("/compute/v2.1/os-migrations", "migrations", NEW):
        if each["status"] not in MIGRATIONS_AT_REST:
            yield f"migration {each['id']} of {each['instance_uuid']} is {each['status']}"


def _guests(found: dict[str, Any], guests: dict[str, dict[str, Guest]]) -> Iterator[str]:
    on_hosts: dict[str, dict[str, str]] = {}
    for host, here in guests.items():
        for id, guest in here.items():
            on_hosts.setdefault(id, {})[host] = guest.power
    for id, places in on_hosts.items():
        if id not in found:
            yield f"guest {id} on {places} is nobody's"
        else:
            yield from _misplaced(found[id], places)
    for id, server in found.items():
        if server["status"] in (*RUNNING, "VERIFY_RESIZE") and id not in on_hosts:
            yield f"server {id} is {server['status']} and has no guest"


def _misplaced(server: dict[str, Any], power: dict[str, str]) -> Iterator[str]:
    """Say what is wrong with where a server's guest is; until a move is confirmed it is, shut off, also where it came from."""
    id, status, at = server["id"], server["status"], server["OS-EXT-SRV-ATTR:host"]
    others = [each for host, each in power.items() if host != at]
    if at not in power or (others and (status != "VERIFY_RESIZE" or others != ["off"])):
        yield f"guest {id} is on {power}, the API says {at} ({status})"
    elif status in (*RUNNING, "SHUTOFF") and (power[at] in ("on", "paused")) != (status in RUNNING):
        yield f"guest {id} is {power[at]}, the API says {status}"


def _addresses(world: World) -> Iterator[str]:
    ports = world.api.every(PATHS["ports"], "ports")
    given = Counter((each["subnet_id"], each["ip_address"]) for port in ports for each in port["fixed_ips"])
    given.update(("outside", each["floating_ip_address"]) for each in world.api.every(PATHS["floatingips"], "floatingips"))
    yield from (f"{address} is given {count} times" for address, count in given.items() if count > 1)


def _books(world: World, found: dict[str, Any]) -> Iterator[str]:
    flavors = world.api.every("/compute/v2.1/flavors/detail?is_public=None", "flavors")
    of_flavor = {each["id"]: each["vcpus"] for each in flavors}
    vcpus = {id: of_flavor[server["flavor"]["id"]] for id, server in found.items()}
    used = world.api.get("/compute/v2.1/limits")["limits"]["absolute"]
    back = [id for id, server in found.items() if server["status"] == "VERIFY_RESIZE"]  # room to go back to is theirs, too
    least = sum(vcpus.values())
    most = least + sum(max(world.scale.vcpus) - vcpus[id] for id in back)
    if used["totalInstancesUsed"] != len(found) or not least <= used["totalCoresUsed"] <= most:
        yield f"the quota counts {used['totalInstancesUsed']} servers, {used['totalCoresUsed']} cores: {vcpus}"
    for provider in world.api.every("/placement/resource_providers", "resource_providers"):
        counted = world.api.get(f"/placement/resource_providers/{provider['uuid']}/usages")["usages"].get("VCPU", 0)
        here = [id for id, server in found.items() if server["OS-EXT-SRV-ATTR:host"] == provider["name"]]
        true = sum(vcpus[id] for id in here)
        if counted < true or (counted > true and not back):
            yield f"placement counts {counted} VCPU on {provider['name']}, there are {true}"


def _quotas(world: World) -> Iterator[str]:
    """What networks and volumes count of the one project of a run."""
    project = world.project()
    details = world.api.get(f"/network/v2.0/quotas/{project}/details.json")["quota"]
    for noun, name in (("ports", "port"), ("floatingips", "floatingip"), ("routers", "router")):
        true = sum(each["project_id"] == project for each in world.api.every(PATHS[noun], noun))
        if details[name]["used"] != true:
            yield f"the quota counts {details[name]['used']} {noun}, there are {true}"
    used = world.api.get("/volume/v3/limits")["limits"]["absolute"]
    volumes = world.api.every(f"{PATHS['volumes']}/detail", "volumes")
    snapshots = world.api.every(f"{PATHS['snapshots']}/detail", "snapshots")
    true = (len(volumes), len(snapshots), sum(each["size"] for each in volumes + snapshots))
    counted = (used["totalVolumesUsed"], used["totalSnapshotsUsed"], used["totalGigabytesUsed"])
    if counted != true:
        yield f"the quota counts (volumes, snapshots, GiB) {counted}, there are {true}"


def _ports(world: World, truth: Truth) -> Iterator[str]:
    bound: dict[str, dict[str, str]] = {host: {} for host in truth.guests()}
    for port in world.api.every(PATHS["ports"], "ports"):
        if port["binding:host_id"] in bound and port["device_owner"].startswith("compute:"):
            bound[port["binding:host_id"]][port["id"]] = port["device_id"]
    yield from truth.odd_ports(bound)
    yield from (f"{place} is at {count} places" for place, count in Counter(truth.places()).items() if count > 1)


def _volumes(world: World, found: dict[str, Any], guests: dict[str, dict[str, Guest]], truth: Truth) -> Iterator[str]:
    volumes = {each["id"]: each for each in world.api.every(f"{PATHS['volumes']}/detail", "volumes")}
    moving = [f"volume {id} is {each['status']}" for id, each in volumes.items() if each["status"] not in VOLUMES_AT_REST]
    moving += [
        f"snapshot {each['id']} is {each['status']}"
        for each in world.api.every(f"{PATHS['snapshots']}/detail", "snapshots")
        if each["status"] not in ("available", "error")
    ]
    yield from moving
    for id, volume in volumes.items():
        if volume["status"].startswith("error") and not world.api.every(f"/volume/v3/messages?resource_uuid={id}", "messages",
                                                                        "volume 3.70"):  # fmt: skip
            yield f"volume {id} is in error and nobody says why"
    there = truth.volumes()
    yield from (f"volume {id} on {host} is nobody's" for id, host in there.items() if id not in volumes)
    yield from (f"volume {id} is not there" for id, each in volumes.items() if each["status"] != "error" and id not in there)
    yield from _plugged(world, found, guests, volumes)


def _plugged(world: World, found: dict[str, Any], guests: dict[str, dict[str, Guest]], volumes: dict[str, Any]) -> Iterator[str]:
    of_volumes = {(each["server_id"], id) for id, volume in volumes.items() for each in volume["attachments"]}
    of_servers = {(id, each["id"]) for id, server in found.items() for each in server["os-extended-volumes:volumes_attached"]}
    if of_volumes != of_servers:
        yield f"volumes say they are attached {sorted(of_volumes)}, servers {sorted(of_servers)}"
    for id, (server_id, wanted) in world.plugged.items():
        if id not in volumes or server_id not in found or ((server_id, id) in of_servers) == wanted:
            continue
        if not _failed(world, server_id, "attach_volume" if wanted else "detach_volume"):
            yield f"volume {id} was {'attached to' if wanted else 'detached from'} {server_id}, and no failure is told"
    for server_id, server in found.items():
        guest = guests.get(server["OS-EXT-SRV-ATTR:host"] or "", {}).get(server_id)
        known = {volume_id for each_id, volume_id in of_servers if each_id == server_id}
        if guest and guest.volumes is not None and server["status"] in RUNNING and guest.volumes != known:
            yield f"guest {server_id} has volumes {sorted(guest.volumes)}, the API says {sorted(known)}"
