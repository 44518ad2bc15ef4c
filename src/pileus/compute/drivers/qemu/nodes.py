"""A disk as block nodes of QEMU.  Pure: nothing is looked up here.

    volume   throttle --> luks, when there is a key --> raw or qcow2 --> nbd (by a relay to other hosts), iscsi, rbd or file
    other    throttle, when there are limits --> qcow2 over its file, and over its base image

The guest's device uses the uppermost.  A whole stack is given in one piece, so that it is there or is not; what is secret in
it is in objects of its own.  Names come from the id of the disk: whoever comes after us finds its nodes again.

Why it is so:
- A volume always has a throttle, so that limits can be set while the guest runs.  Without limits it costs nothing measurable.
- A storage daemon that is restarted is waited for; a guest whose storage stays away longer gets I/O errors.  While it is waited
  for, whoever wants the guest's disks to be quiet (an unplug, a snapshot) waits too, so the time is short.
- No page cache of the host where a local file is opened (`cache.direct`, with native AIO): two caches cost memory and say
  nothing more.  Flushes always reach the back end (`no-flush` is off): what the guest has synced is synced.
- Discards go through, and blocks of zeroes are written as holes: thin volumes stay thin.  Looking for zeroes costs nothing
  measurable, and a guest that writes zeroes is faster by it.
- No I/O threads: guests of one processor got no more and sometimes less with them, on a host of two cores.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any

from pileus.compute.driver import DiskSpec, DriverError
from pileus.compute.drivers.qemu.place import Place, checked_identifier

Options = dict[str, Any]

NAME_CHARACTERS_MAX = 29  # of the 31 of a node's name, two say which layer it is
TOP, WINDOW, CLEAR, FORMAT, PROTOCOLS = "t-", "w-", "c-", "f-", ("p-", "q-")
LIMITS, LUKS_KEY, PASSWORD, TLS = "limits-", "luks-", "password-", "tls-"
OBJECTS = (LIMITS, LUKS_KEY, PASSWORD, TLS)
RECONNECT_SECONDS = 15
RELAYS = "relays"
INITIATOR = "iqn.2026-01.org.pileus:guest"
QUANTITIES = {"bytes": "bps", "iops": "iops"}


@dataclass(frozen=True, slots=True)
class Object:
    """An object that a stack needs.  `secret` is kept apart from its other options, so that it is never on a command line."""

    options: Options
    secret: str = ""

    @property
    def id(self) -> str:
        return str(self.options["id"])


def name(disk_id: str) -> str:
    """The part of a node's name that comes from the disk: its id, shortened when it is long."""
    checked_identifier(disk_id)
    if len(disk_id) <= NAME_CHARACTERS_MAX:
        return disk_id
    return f"{disk_id[:18]}-{blake2s(disk_id.encode(), digest_size=5).hexdigest()}"


def top(disk: DiskSpec) -> str:
    """The node that the guest's device uses."""
    return (TOP if disk.kind == "volume" or disk.limits else FORMAT) + name(disk.id)


def content(disk: DiskSpec) -> str:
    """The node with what the guest sees, without limits: what is copied."""
    return (CLEAR if disk.luks_key else FORMAT) + name(disk.id)


def format_node(disk: DiskSpec) -> str:
    return FORMAT + name(disk.id)


def window(disk: DiskSpec) -> str:
    """The node that shows only the beginning of a volume, as long as it is being filled from a smaller one."""
    return WINDOW + name(disk.id)


def stack(disk: DiskSpec, place: Place, seen_bytes: int | None = None) -> Options:
    """The nodes of a disk; with `seen_bytes`, of only so much of it.

    :raises DriverError: when QEMU has no way to reach a volume.
    """
    node = readable(disk, place)
    if seen_bytes is not None:
        node = {"driver": "raw", "node-name": window(disk), "size": seen_bytes, "file": node, "discard": "unmap"}
    return throttled(disk, node) if top(disk).startswith(TOP) else node


def throttled(disk: DiskSpec, file: Options | str) -> Options:
    """The uppermost node of a volume."""
    throttle = {"driver": "throttle", "node-name": top(disk), "throttle-group": LIMITS + disk.id}
    return throttle | {"file": file, "discard": "unmap", "read-only": disk.read_only}


def readable(disk: DiskSpec, place: Place) -> Options:
    """The nodes of a disk as far as its content, without limits.

    :raises DriverError: when QEMU has no way to reach a volume.
    """
    node = _local(disk, place) if disk.kind != "volume" else formatted(disk, protocol(disk, PROTOCOLS[0] + name(disk.id)))
    if disk.luks_key:
        luks = {"driver": "luks", "node-name": CLEAR + name(disk.id), "key-secret": LUKS_KEY + disk.id}
        node = luks | {"file": node, "discard": "unmap", "read-only": disk.read_only}
    return node


def formatted(disk: DiskSpec, file: Options | str) -> Options:
    """The node of a volume's format over that which reaches it."""
    kind = "qcow2" if _data(disk).get("format") == "qcow2" and disk.connection["driver_volume_type"] == "file" else "raw"
    node: Options = {"driver": kind, "node-name": format_node(disk), "file": file, "read-only": disk.read_only}
    node |= {"discard": "unmap", "cache": {"direct": _is_file(disk), "no-flush": False}}
    node |= {"backing": None} if kind == "qcow2" else {}
    return node if disk.read_only or disk.luks_key else node | {"detect-zeroes": "unmap"}


def protocol(disk: DiskSpec, node_name: str) -> Options:
    """The node that reaches a volume.

    :raises DriverError: when QEMU has no way to reach it, or something is missing in what we were told of it.
    """
    kind = disk.connection.get("driver_volume_type")
    build = {"nbd": _nbd, "iscsi": _iscsi, "rbd": _rbd, "file": _file}.get(str(kind))
    if build is None:
        raise DriverError(f"QEMU cannot reach volume {disk.id} over {kind!r}")
    try:
        node = build(disk, _data(disk))
    except (KeyError, ValueError) as error:
        raise DriverError(f"volume {disk.id} cannot be reached: its connection lacks {error}") from error
    cache = {"direct": _is_file(disk), "no-flush": False}
    return node | {"node-name": node_name, "read-only": disk.read_only, "discard": "unmap", "cache": cache}


def objects(disk: DiskSpec) -> list[Object]:
    """The objects that the stack of a disk needs."""
    data = _data(disk)
    found = []
    if top(disk).startswith(TOP):
        found.append(Object({"qom-type": "throttle-group", "id": LIMITS + disk.id, "limits": limits(disk)}))
    if disk.luks_key:
        found.append(Object({"qom-type": "secret", "id": LUKS_KEY + disk.id}, disk.luks_key))
    if password := data.get("auth_password"):
        found.append(Object({"qom-type": "secret", "id": PASSWORD + disk.id}, str(password)))
    elif password := data.get("secret"):
        found.append(Object({"qom-type": "secret", "id": PASSWORD + disk.id, "format": "base64"}, str(password)))
    if directory := data.get("tls_dir"):
        options = {"qom-type": "tls-creds-x509", "id": TLS + disk.id, "endpoint": "client", "verify-peer": True}
        found.append(Object(options | {"dir": str(directory)}))
    return found


def limits(disk: DiskSpec) -> dict[str, int]:
    """The limits of a disk in QEMU's words: total_bytes_sec_max is bps-total-max.

    :raises DriverError: when there is no limit of such a name.
    """
    found = {}
    for key, value in disk.limits.items():
        which, _, rest = key.partition("_")
        quantity, _, peak = rest.partition("_sec")
        if key == "size_iops_sec":
            found["iops-size"] = int(value)
        elif which in ("total", "read", "write") and quantity in QUANTITIES and peak in ("", "_max", "_max_length"):
            found[f"{QUANTITIES[quantity]}-{which}{peak.replace('_', '-')}"] = int(value)
        else:
            raise DriverError(f"there is no limit {key}")
    return found


def portal(disk: DiskSpec) -> tuple[str, int] | None:
    """The host and TCP port where a volume is served; None when it is not served so."""
    data = _data(disk)
    if target := data.get("target_portal"):
        host, _, port = str(target).rpartition(":")
        return host.strip("[]"), int(port)
    if disk.connection.get("driver_volume_type") == "nbd" and not data.get("socket"):
        return str(data.get("host", "")), int(data.get("port", 10809))
    return None


def socket_path(disk: DiskSpec) -> str:
    """The path of the unix socket where a volume is served, or nothing."""
    return str(_data(disk).get("socket") or "") if disk.connection.get("driver_volume_type") == "nbd" else ""


def relay(disk: DiskSpec) -> str:
    """The socket of the relay to a volume that another host serves, seen from the guest's directory; nothing: none is needed."""
    data = _data(disk)
    needed = disk.connection.get("driver_volume_type") == "nbd" and data.get("tls_hostname") and not data.get("tls_dir")
    return f"{RELAYS}/{checked_identifier(disk.id)}/nbd" if needed and not data.get("socket") else ""


def _data(disk: DiskSpec) -> Mapping[str, Any]:
    found: Mapping[str, Any] = disk.connection.get("data") or {}
    return found


def _is_file(disk: DiskSpec) -> bool:
    return disk.connection.get("driver_volume_type") == "file"


def _nbd(disk: DiskSpec, data: Mapping[str, Any]) -> Options:
    if path := str(data.get("socket") or "") or relay(disk):
        server = {"type": "unix", "path": path}
    else:
        server = {"type": "inet", "host": str(data["host"]), "port": str(data["port"])}
    node = {"driver": "nbd", "server": server, "export": str(data.get("export", "")), "reconnect-delay": RECONNECT_SECONDS}
    node |= {"tls-creds": TLS + disk.id} if data.get("tls_dir") else {}
    return node | ({"tls-hostname": str(data["tls_hostname"])} if data.get("tls_dir") and data.get("tls_hostname") else {})


def _iscsi(disk: DiskSpec, data: Mapping[str, Any]) -> Options:
    node: Options = {
        "driver": "iscsi",
        "transport": "tcp",
        "portal": str(data["target_portal"]),
        "target": str(data["target_iqn"]),
    }
    node |= {"lun": int(data.get("target_lun", 0)), "initiator-name": str(data.get("initiator_name") or INITIATOR)}
    if data.get("auth_username"):
        node |= {"user": str(data["auth_username"]), "password-secret": PASSWORD + disk.id}
    return node


def _rbd(disk: DiskSpec, data: Mapping[str, Any]) -> Options:
    pool, _, image = str(data["name"]).partition("/")
    node: Options = {"driver": "rbd", "pool": pool, "image": image}
    if data.get("hosts"):
        ports = data.get("ports") or ["6789"] * len(data["hosts"])
        node["server"] = [{"host": str(host), "port": str(port)} for host, port in zip(data["hosts"], ports, strict=True)]
    node |= {"user": str(data["auth_username"])} if data.get("auth_username") else {}
    node |= {"key-secret": PASSWORD + disk.id} if data.get("secret") else {}
    return node | ({"conf": str(data["conf"])} if data.get("conf") else {})


def _file(disk: DiskSpec, data: Mapping[str, Any]) -> Options:
    return {"driver": "file", "filename": str(data["path"]), "aio": "native" if _is_file(disk) else "threads"}


def _local(disk: DiskSpec, place: Place) -> Options:
    """The whole chain is spelt out, so that QEMU opens no file that an image names."""
    base: Options | None = None
    if disk.kind == "image":
        file: Options = {"driver": "file", "filename": disk.source, "read-only": True}
        base = {"driver": disk.source_format, "read-only": True, "file": file}
        base |= {"backing": None} if disk.source_format == "qcow2" else {}
    if disk.held:
        file = {"driver": "file", "filename": str(place.disk(disk.id)), "read-only": True}
        base = {"driver": "qcow2", "read-only": True, "file": file, "backing": base}
    file = {"driver": "file", "filename": str(place.top(disk)), "discard": "unmap"}
    return {"driver": "qcow2", "node-name": format_node(disk), "discard": "unmap", "file": file, "backing": base}
