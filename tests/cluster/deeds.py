"""What a probe asks of the cloud: all that is random in it is drawn from the world's generator."""

from collections.abc import Callable
from typing import Any

from tests.cluster.asking import NEW
from tests.cluster.known import GONE, Known, World

BLIND = 0.15  # of the deeds: whatever becomes of them, at whatever server; the others fit
GENERAL = 0.3  # of the others: of no server
SERVERS, NETWORK, VOLUMES = "/compute/v2.1/servers", "/network/v2.0", "/volume/v3"


def create(world: World) -> None:
    """A server; one less where there are many."""
    left = [server for server in world.servers.values() if server.ends != {GONE}]
    if len(left) >= world.scale.servers_max:
        delete(world, world.random.choice(left))
        return
    number = world.number()
    name = f"server-{number}"
    body = {"name": name, "imageRef": world.image, "flavorRef": world.random.choice(world.flavors)}
    answer = world.ask("POST", SERVERS, server={**body, "networks": [{"uuid": world.network}]})
    if answer is None:
        world.unsure.add(name)
    elif answer.status_code == 202:
        id = answer.json()["server"]["id"]
        world.servers[id] = Known(id, number, {"ACTIVE"})


def delete(world: World, server: Known) -> None:
    """It takes its ports along."""
    ports = world.ports(server.id)
    answer = world.ask("DELETE", f"{SERVERS}/{server.id}")
    for port in ports:
        world.there["ports"].pop(port, None)
    world.note(server, answer, GONE)


def _act(world: World, server: Known, action: str, facts: Any, *ends: str, version: str = "") -> None:
    world.note(server, world.ask("POST", f"{SERVERS}/{server.id}/action", version, **{action: facts}), *ends)


def stop(world: World, server: Known) -> None:
    """Shut it down."""
    _act(world, server, "os-stop", None, "SHUTOFF")


def start(world: World, server: Known) -> None:
    """Have it run."""
    _act(world, server, "os-start", None, "ACTIVE")


def pause(world: World, server: Known) -> None:
    """Have it stand still."""
    _act(world, server, "pause", None, "PAUSED")


def unpause(world: World, server: Known) -> None:
    """Have it go on."""
    _act(world, server, "unpause", None, "ACTIVE")


def reboot(world: World, server: Known) -> None:
    """Either way."""
    _act(world, server, "reboot", {"type": world.random.choice(("SOFT", "HARD"))}, "ACTIVE")


def resize(world: World, server: Known) -> None:
    """To another flavor."""
    flavor = world.random.choice(world.flavors)
    found = world.view().get(server.id)
    if found is not None and found["flavor"]["id"] == flavor:
        flavor = next(id for id in world.flavors if id != flavor)
    _act(world, server, "resize", {"flavorRef": flavor}, "VERIFY_RESIZE")


def migrate(world: World, server: Known) -> None:
    """To another host, off."""
    _act(world, server, "migrate", None, "VERIFY_RESIZE")


def confirm(world: World, server: Known) -> None:
    """It stays as it became."""
    _act(world, server, "confirmResize", None, "ACTIVE", "SHUTOFF")


def revert(world: World, server: Known) -> None:
    """It becomes again as it was."""
    _act(world, server, "revertResize", None, "ACTIVE", "SHUTOFF")


def shelve(world: World, server: Known) -> None:
    """Off every host."""
    _act(world, server, "shelve", None, "SHELVED_OFFLOADED")


def unshelve(world: World, server: Known) -> None:
    """Back on one."""
    _act(world, server, "unshelve", None, "ACTIVE")


def live_migrate(world: World, server: Known) -> None:
    """To another host while it runs; which is thought better of now and then."""
    second_thoughts = world.random.choice(("", "", "abort", "force"))
    ends = {"ACTIVE", "PAUSED", *({"SHUTOFF"} & server.ends)}  # as it was: else that is refused
    _act(world, server, "os-migrateLive", {"host": None, "block_migration": "auto"}, *ends, version=NEW)
    if second_thoughts:
        path = f"{SERVERS}/{server.id}/migrations"
        answer = world.api.ask("GET", path, NEW)
        found = answer.json()["migrations"] if answer is not None and answer.status_code == 200 else []
        for each in found[:1]:
            if second_thoughts == "abort":
                world.ask("DELETE", f"{path}/{each['id']}", NEW)
            else:
                world.ask("POST", f"{path}/{each['id']}/action", NEW, force_complete=None)


def attach(world: World, server: Known) -> None:
    """A port of its own making."""
    world.ask("POST", f"{SERVERS}/{server.id}/os-interface", interfaceAttachment={"net_id": world.network})


def detach(world: World, server: Known) -> None:
    """One of its ports, which ends with it where compute had made it."""
    if ports := world.ports(server.id):
        world.ask("DELETE", f"{SERVERS}/{server.id}/os-interface/{world.random.choice(ports)}")


def image(world: World, server: Known) -> None:
    """An image of it."""
    name = f"image-{world.number()}"
    found = [each for each in world.api.every("/image/v2/images", "images") if each["name"].startswith("image-")]
    if len(found) < 2:
        world.ask("POST", f"{SERVERS}/{server.id}/action", createImage={"name": name})
    for each in found[1:]:
        world.ask("DELETE", f"/image/v2/images/{each['id']}")


def add_port(world: World) -> None:
    """A port that nothing has."""
    world.make("ports", f"{NETWORK}/ports", "port", network_id=world.network, name="probe")


def remove_port(world: World) -> None:
    """One of those."""
    if ports := sorted(port["id"] for port in world.api.every(f"{NETWORK}/ports?name=probe", "ports")):
        world.remove("ports", f"{NETWORK}/ports", world.random.choice(ports))
    else:
        add_port(world)


def float_(world: World, server: Known) -> None:
    """An address outside."""
    if ports := world.ports(server.id):
        facts = {"floating_network_id": world.outer, "port_id": world.random.choice(ports)}
        world.make("floatingips", f"{NETWORK}/floatingips", "floatingip", **facts)


def unfloat(world: World) -> None:
    """One of those less."""
    if found := world.api.every(f"{NETWORK}/floatingips", "floatingips"):
        world.remove("floatingips", f"{NETWORK}/floatingips", world.random.choice(found)["id"])
    else:
        add_port(world)


def route(world: World) -> None:
    """A router more, with a way out; or one less."""
    mine = [id for id, is_there in world.there["routers"].items() if is_there]
    if mine:
        world.remove("routers", f"{NETWORK}/routers", world.random.choice(mine))
    else:
        way_out = {"network_id": world.outer}
        world.make("routers", f"{NETWORK}/routers", "router", name="another", external_gateway_info=way_out)


def make_volume(world: World) -> None:
    """A volume, as long as there are not too many."""
    if len(world.api.every(f"{VOLUMES}/volumes", "volumes")) >= world.scale.volumes_max:
        remove_volume(world)
    else:
        world.make("volumes", f"{VOLUMES}/volumes", "volume", size=1, name=f"volume-{world.number()}")


def _volumes(world: World, status: str, server_id: str = "") -> list[str]:
    found = world.api.every(f"{VOLUMES}/volumes/detail?status={status}", "volumes")
    found.sort(key=lambda each: int(each["name"].rpartition("-")[2]))
    there = [each["id"] for each in found if not server_id or server_id in [it["server_id"] for it in each["attachments"]]]
    return [id for id in there if world.there["volumes"].get(id, True)]


def remove_volume(world: World) -> None:
    """A volume less, with its snapshots where it has any left."""
    if volumes := _volumes(world, "available"):
        world.remove("volumes", f"{VOLUMES}/volumes", world.random.choice(volumes))


def snapshot(world: World) -> None:
    """Of a volume, attached or not; one less where there are some."""
    found = world.api.every(f"{VOLUMES}/snapshots", "snapshots")
    if len(found) >= 3:
        for each in found:
            world.remove("snapshots", f"{VOLUMES}/snapshots", each["id"])
    elif volumes := _volumes(world, "available") + _volumes(world, "in-use"):
        world.make("snapshots", f"{VOLUMES}/snapshots", "snapshot", volume_id=world.random.choice(volumes), force=True)
    else:
        make_volume(world)


def plug(world: World, server: Known) -> None:
    """A volume into a server."""
    if not (volumes := _volumes(world, "available")):
        make_volume(world)
        return
    id = world.random.choice(volumes)
    answer = world.ask("POST", f"{SERVERS}/{server.id}/os-volume_attachments", volumeAttachment={"volumeId": id})
    _note_plug(world, id, server, answer, True)


def unplug(world: World, server: Known) -> None:
    """A volume out of a server."""
    if volumes := _volumes(world, "in-use", server.id):
        id = world.random.choice(volumes)
        answer = world.ask("DELETE", f"{SERVERS}/{server.id}/os-volume_attachments/{id}")
        _note_plug(world, id, server, answer, False)
    else:
        plug(world, server)


def _note_plug(world: World, volume_id: str, server: Known, answer: Any, is_there: bool) -> None:
    if answer is None:
        world.plugged.pop(volume_id, None)
    elif answer.status_code < 300:
        world.plugged[volume_id] = (server.id, is_there)


OF_NONE: dict[str, Callable[[World], None]] = {
    "create": create, "add_port": add_port, "remove_port": remove_port, "unfloat": unfloat, "route": route,
    "make_volume": make_volume, "remove_volume": remove_volume, "snapshot": snapshot,
}  # fmt: skip
OF_A_SERVER: dict[str, Callable[[World, Known], None]] = {
    "delete": delete, "stop": stop, "start": start, "pause": pause, "unpause": unpause, "reboot": reboot, "resize": resize,
    "migrate": migrate, "confirm": confirm, "revert": revert, "shelve": shelve, "unshelve": unshelve, "image": image,
    "live_migrate": live_migrate, "attach": attach, "detach": detach, "float": float_, "plug": plug, "unplug": unplug,
}  # fmt: skip
EVERYWHERE = ("create", "create", "create", "create", *OF_NONE)
ALWAYS = ("attach", "detach", "plug", "unplug")
FITTING = {
    "ACTIVE": ("stop", "reboot", "resize", "migrate", "live_migrate", "live_migrate", "pause", "shelve", "image", "float",
               "delete", *ALWAYS),
    "SHUTOFF": ("start", "start", "start", "resize", "migrate", "delete", *ALWAYS),
    "PAUSED": ("unpause", "unpause", "live_migrate", "delete"),
    "VERIFY_RESIZE": ("confirm", "revert"),
    "SHELVED_OFFLOADED": ("unshelve", "unshelve", "unshelve", "delete"),
    "ERROR": ("delete",),
}  # fmt: skip


def choose(world: World, idle: dict[str, str]) -> tuple[str, Known | None]:
    """Return something to do, and at which server: most of the time something that makes sense.

    :param idle: the servers at which nothing is under way, and their statuses.
    """
    draw, kind, general, which = (world.random.random() for _ in range(4))
    left = sorted((known for known in world.servers.values() if known.ends != {GONE}), key=lambda known: known.number)
    if left and kind < BLIND:
        name = _pick((*OF_NONE, *OF_A_SERVER), draw)
        return name, None if name in OF_NONE else _pick(left, which)
    ready = [known for known in left if known.id in idle]
    if not ready or general < GENERAL:
        return _pick(EVERYWHERE, draw), None
    server = _pick(ready, which)
    return _pick(FITTING[idle[server.id]], draw), server


def _pick(things: Any, draw: float) -> Any:
    return things[int(draw * len(things))]
