"""How servers are shown, by microversion."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha224
from typing import Any

from pileus.compute import states
from pileus.compute.neighbours.network import Nic
from pileus.compute.service.servers import Shown, Sight
from pileus.kernel.clock import to_iso
from pileus.kernel.microversion import Version

TEXT_MAX = 255
PROGRESS = {"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"}


class View:
    """Shows servers in one microversion to one caller.  What is the same for all of a list is worked out once.

    :param root: the URL under which servers are, without a slash at the end; base the one without the version.
    """

    def __init__(self, version: Version, root: str, base: str, sight: Sight) -> None:
        self._version, self._root, self._base, self._sight = version, root, base, sight

    def links(self, id: str) -> list[dict[str, str]]:
        """Return the links of a server."""
        return [
            {"rel": "self", "href": f"{self._root}/servers/{id}"},
            {"rel": "bookmark", "href": f"{self._base}/servers/{id}"},
        ]

    def brief(self, shown: Shown) -> dict[str, Any]:
        """Return a server as lists without detail have it."""
        return {"id": shown.server.id, "name": shown.server.name, "links": self.links(shown.server.id)}

    def full(self, shown: Shown) -> dict[str, Any]:
        """Return a server with everything, as GET shows it."""
        server = shown.server
        found = self.core(shown, detailed=True)
        found["OS-EXT-AZ:availability_zone"] = server.availability_zone or ""
        found["config_drive"] = "True" if server.config_drive else ""
        found["key_name"] = server.key_name
        found["OS-SRV-USG:launched_at"] = _moment(server.launched_at)
        found["OS-SRV-USG:terminated_at"] = _moment(server.terminated_at)
        found["OS-EXT-STS:task_state"] = server.task_state
        found["OS-EXT-STS:vm_state"] = server.vm_state
        found["OS-EXT-STS:power_state"] = server.power_state
        found["os-extended-volumes:volumes_attached"] = [self._volume(row) for row in shown.volumes]
        if named := groups(shown):
            found["security_groups"] = named
        if self._sight.extended:
            found |= self._extended(shown)
        elif self._version >= (2, 90):
            found["OS-EXT-SRV-ATTR:hostname"] = server.hostname
        if shown.host_status is not None and self._version >= (2, 16):
            found["host_status"] = shown.host_status
        if self._version >= (2, 96):
            found["pinned_availability_zone"] = server.pinned_zone
        return found

    def core(self, shown: Shown, detailed: bool = False) -> dict[str, Any]:
        """Return a server with what every answer about it has, also those to PUT and rebuild before 2.75."""
        server, version = shown.server, self._version
        status = states.status(server.vm_state, server.task_state)
        found: dict[str, Any] = {
            "id": server.id,
            "name": server.name,
            "status": status,
            "tenant_id": server.project_id,
            "user_id": server.user_id,
            "metadata": server.metadata,
            "hostId": host_id(server.host, server.project_id),
            "image": self._image(server),
            "flavor": self._flavor(server),
            "created": _iso(server.created_at),
            "updated": _iso(server.updated_at),
            "addresses": {} if server.vm_state == "building" else addresses(shown.nics, extended=detailed or version >= (2, 75)),
            "accessIPv4": server.access_ipv4,
            "accessIPv6": server.access_ipv6,
            "links": self.links(server.id),
            "OS-DCF:diskConfig": server.disk_config,
        }
        if status in PROGRESS:
            found["progress"] = server.progress
        if status in ("ERROR", "DELETED") and server.fault:
            found["fault"] = self._fault(server.fault)
        if version >= (2, 9):
            found["locked"] = server.locked_by is not None
        if version >= (2, 19):
            found["description"] = server.description
        if version >= (2, 26):
            found["tags"] = list(shown.tags)
        if version >= (2, 63):
            found["trusted_image_certificates"] = server.trusted_certificates
        if version >= (2, 73):
            found["locked_reason"] = server.locked_reason
        if version >= (2, 100):
            found["scheduler_hints"] = server.hints
        return found

    def with_groups(self, shown: Shown, found: dict[str, Any]) -> dict[str, Any]:
        """Add the server groups, which lists do not have."""
        if self._version >= (2, 71):
            found["server_groups"] = [shown.server.server_group_id] if shown.server.server_group_id else []
        return found

    def changed(self, shown: Shown) -> dict[str, Any]:
        """Return a server as PUT and rebuild answer with it."""
        return self.with_groups(shown, self.full(shown) if self._version >= (2, 75) else self.core(shown))

    def _image(self, server: Any) -> Any:
        if not server.image_id:
            return ""
        link = {"rel": "bookmark", "href": f"{self._base}/images/{server.image_id}"}
        more = {"properties": image_properties(server)} if self._version >= (2, 98) else {}
        return {"id": server.image_id, "links": [link], **more}

    def _volume(self, row: Any) -> dict[str, Any]:
        if self._version < (2, 3):
            return {"id": row.volume_id}
        return {"id": row.volume_id, "delete_on_termination": row.delete_on_termination}

    def _flavor(self, server: Any) -> dict[str, Any]:
        if self._version < (2, 47):
            link = {"rel": "bookmark", "href": f"{self._base}/flavors/{server.flavor_id}"}
            return {"id": server.flavor_id, "links": [link]}
        hidden = ("id", "name") if self._sight.specs else ("id", "name", "extra_specs")
        return {key: value for key, value in server.flavor.items() if key not in hidden}

    def _fault(self, fault: Mapping[str, Any]) -> dict[str, Any]:
        found = {"code": fault["code"], "created": to_iso(fault["created_at"]), "message": fault["message"]}
        if fault.get("details") and (self._sight.extended or fault["code"] != 500):
            found["details"] = fault["details"]
        return found

    def _extended(self, shown: Shown) -> dict[str, Any]:
        server = shown.server
        found = {
            "OS-EXT-SRV-ATTR:host": server.host,
            "OS-EXT-SRV-ATTR:hypervisor_hostname": server.host,
            "OS-EXT-SRV-ATTR:instance_name": f"instance-{server.id[:8]}",
        }
        if self._version >= (2, 3):
            found |= {
                "OS-EXT-SRV-ATTR:reservation_id": server.reservation_id,
                "OS-EXT-SRV-ATTR:launch_index": server.launch_index,
                "OS-EXT-SRV-ATTR:hostname": server.hostname,
                "OS-EXT-SRV-ATTR:kernel_id": "",
                "OS-EXT-SRV-ATTR:ramdisk_id": "",
                "OS-EXT-SRV-ATTR:root_device_name": root_device_name(shown),
                "OS-EXT-SRV-ATTR:user_data": server.user_data,
            }
        return found


def image_properties(server: Any) -> dict[str, str | None]:
    """Return what is shown of a server's image, as it was when the server was made of it."""
    image: Mapping[str, Any] = server.image
    found = {key: None if value is None else str(value)[:TEXT_MAX] for key, value in (image.get("properties") or {}).items()}
    found |= {"base_image_ref": server.image_id, "min_disk": str(image["min_disk"]), "min_ram": str(image["min_ram"])}
    return found | {name: image[name] for name in ("disk_format", "container_format") if image.get(name)}


def root_device_name(shown: Shown) -> str:
    """Return what the disk is called that a server boots from."""
    return next((str(row.device_name) for row in shown.volumes if row.boot_index == 0), "/dev/vda")


def addresses(nics: Sequence[Nic], extended: bool = True) -> dict[str, list[dict[str, Any]]]:
    """Return addresses by the names of their networks; floating ones stand with the fixed one they lead to."""
    found: dict[str, list[dict[str, Any]]] = {}
    for nic in nics:
        entries = found.setdefault(nic.network_name, [])
        for address in nic.addresses:
            for ip, kind in ((address.ip, "fixed"), (address.floating, "floating")):
                if ip:
                    more = {"OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": nic.mac} if extended else {}
                    entries.append({"version": 6 if ":" in ip else 4, "addr": ip, **more})
    return found


def groups(shown: Shown) -> list[dict[str, str]]:
    """Return the security groups of a server's ports, one entry a port and group."""
    return [{"name": name} for nic in shown.nics for name in nic.groups]


@lru_cache(maxsize=4096)
def host_id(host: str | None, project_id: str) -> str:
    """Return what tells a project whether two of its servers share a host, and nothing more."""
    return sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


@lru_cache(maxsize=4096)
def _iso(seconds: float) -> str:
    return to_iso(seconds)


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else _iso(seconds)[:-1] + ".000000"
