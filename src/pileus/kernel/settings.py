"""Every setting of the cloud, on one page: its type, default, unit and meaning.

Read once, in main.py, from a TOML file and then from the environment (PILEUS_ and the name in capitals), and passed on as
values.  No setting is required.
"""

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """A setting is unknown, or its value is not of its type."""


MASK = "***"
URL_PASSWORD = re.compile(r"(://[^/@:\s,]*:)[^\s,]*@")
QUERY_SECRET = re.compile(r"([?&][^=&\s,]*(?:password|secret|token|key)[^=&\s,]*=)[^&\s,]*", re.IGNORECASE)


def _setting(default: Any, help: str, unit: str = "", hidden: str = "") -> Any:
    """Describe a setting.

    :param hidden: what nobody is shown of its value: "all" of it, or, of each entry (there are commas between them), the field
        between colons of this number.
    """
    return field(default=default, metadata={"help": help, "unit": unit, "hidden": hidden})


@dataclass(frozen=True)
class Settings:
    """All settings.  `pileus settings` and docs/reference/settings.md list them."""

    # the whole cloud
    name: str = _setting("pileus", "names the namespaces, cgroups and tables on the machine; two clouds need two names")
    state_dir: str = _setting("/var/lib/pileus", "where everything that lasts is kept")
    listen: str = _setting("127.0.0.1:8000", "address and port of all APIs under one base URL")
    classic_ports: bool = _setting(False, "also serve each API at the root of its well-known port, and show those in the catalog")
    public_host: str = _setting("", "host name or address in the catalog's URLs; empty: the address of listen")
    region: str = _setting("RegionOne", "the region of the catalog")
    database_url: str = _setting("", "SQLAlchemy URL; empty: SQLite in state_dir")
    bus_url: str = _setting(
        "", "RabbitMQ of a cloud of many processes, amqp://USER:PASSWORD@HOST//; empty: everything in one process"
    )
    secret: str = _setting(
        "",
        "for a control plane on several machines: 16 characters or more, the same on each; its keys and its certificate "
        "authority then lie in the database, sealed with this; empty: in state_dir",
        hidden="all",
    )
    host_address: str = _setting("127.0.0.1", "address of this host for the other hosts of its cloud")
    join_port: int = _setting(8770, "port of host_address where hosts join a cloud that has a bus_url; 0: none can join")
    policy_file: str = _setting("", "policy.yaml with overrides; empty: state_dir/policy.yaml where there is one")
    log_level: str = _setting("info", "debug, info, warning or error")
    database_connections: int = _setting(40, "connections to a database server that a process has open at most")
    api_threads: int = _setting(16, "requests handled at once")
    worker_threads: int = _setting(12, "steps of long work run at once")
    lease_seconds: int = _setting(
        40, "after a worker died: until others go on with its work; it may stand still for less", "seconds"
    )
    body_bytes_max: int = _setting(2_097_152, "largest JSON body taken", "bytes")
    # identity
    token_seconds: int = _setting(14_400, "how long a token is valid", "seconds")
    key_rotation_seconds: int = _setting(86_400, "how often a new token key is made", "seconds")
    bcrypt_rounds: int = _setting(12, "cost of a password hash, as a power of two")
    lockout_failure_attempts: int = _setting(0, "failed logins in a row that lock a user out; 0: any number")
    lockout_seconds: int = _setting(1800, "how long a user stays locked out", "seconds")
    password_expires_days: int = _setting(0, "how long a password lasts; 0: for ever", "days")
    password_minimum_age_days: int = _setting(0, "how old a password is before its user may change it", "days")
    password_unique_last_count: int = _setting(0, "a user's last passwords of which a new one is none; 0: it may be any")
    password_regex: str = _setting("", "what every new password has to match; empty: nothing")
    password_regex_description: str = _setting("", "password_regex in words, for those whose password does not match")
    unified_limits: str = _setting("", "services (of compute,network,volume) whose quotas are identity's unified limits")
    password_change_on_first_use: bool = _setting(False, "a password set by somebody else is to be changed before its first use")
    # image
    image_bytes_max: int = _setting(1_099_511_627_776, "largest image taken", "bytes")
    image_import_hosts: str = _setting(
        "", "hosts, addresses and networks that images may be imported from although they are not public, with commas"
    )
    image_stores: str = _setting(
        "file",
        "stores for images, with commas, the default first: NAME, NAME=KIND or NAME=KIND:WHERE; kinds: file (WHERE a folder), "
        "swift (this cloud's own objects, or WHERE https://USER:KEY@HOST/auth/v1.0 or "
        "https://USER:PASSWORD@HOST/identity/v3?project=P), s3 (WHERE https://KEY:SECRET@HOST/BUCKET), http (what others serve "
        "on the web, read only)",
    )
    image_show_locations: bool = _setting(False, "show where images' content is, and let owners add places on the web")
    image_cache_bytes_max: int = _setting(
        10_737_418_240, "how large the cache of images whose stores are elsewhere grows", "bytes"
    )
    # object store
    object_bytes_max: int = _setting(5_368_709_122, "largest object taken in one piece", "bytes")
    object_tempauth_users: str = _setting(
        "",
        "users of the object store's own, with commas: account:user:key:group group... (.admin, .reseller_admin); empty: none",
        hidden="2",
    )
    object_identity_url: str = _setting(
        "", "proxy-server: identity elsewhere whose tokens are good, as https://host/identity/v3; empty: that of the database"
    )
    object_identity_user: str = _setting("swift", "user with the role service as whom it is asked about tokens")
    object_identity_password: str = _setting("", "their password", hidden="all")
    object_identity_project: str = _setting("service", "the project that they log in to, of their own domain (default)")
    object_token_cache_seconds: float = _setting(300.0, "how long its answer about a token is remembered", "seconds")
    object_rings_dir: str = _setting("", "where the rings of a storage cluster are; empty: one device in state_dir")
    object_policies: str = _setting("", "further storage policies of the device in state_dir, with commas, always in this order")
    object_shard_threshold: int = _setting(1_000_000, "the device in state_dir: names in a container beyond which it is split")
    object_encryption_secrets: str = _setting(
        "",
        "secrets that objects are encrypted with, ID:BASE64 of 32 bytes or more, with commas; the first for new ones; empty: no",
        hidden="1",
    )
    object_account_rate: float = _setting(0.0, "containers that may be made or deleted in an account a second; 0: any number")
    object_container_rates: str = _setting(
        "", "writes in a container a second by its number of objects, SIZE:RATE with commas (0:100,1000:10); empty: any number"
    )
    object_listing_rates: str = _setting("", "listings of a container a second by its number of objects, likewise")
    object_rate_wait_seconds: float = _setting(60.0, "who would have to wait longer for their turn is refused", "seconds")
    object_storage_domains: str = _setting(
        "", "domains below which CONTAINER.ACCOUNT and ACCOUNT are served (domain remap), with commas; empty: none"
    )
    object_cname_lookup: bool = _setting(
        False, "serve other host names, too, that are CNAMEs of one below object_storage_domains"
    )
    object_cname_resolver: str = _setting("", "ADDRESS or ADDRESS:PORT of the name server asked for them; empty: the machine's")
    object_sync_realms: str = _setting(
        "", "container sync: file of realms, their keys and clusters (container-sync-realms.conf); empty: none"
    )
    object_sync_hosts: str = _setting(
        "", "container sync: hosts that containers may be synced to by URL, with commas; such a host may be on the machine itself"
    )
    object_sync_seconds: float = _setting(300.0, "container sync: how often containers are looked at", "seconds")
    # volume
    volume_backends: str = _setting(
        "file",
        "back ends for volumes, with commas: NAME, NAME=KIND or NAME=KIND:WHERE; kinds: file, iscsi, lvm, nfs, rbd, fake",
    )
    volume_wipe: str = _setting("punch", "what deleting does to a volume's data: none, zero, shred or punch (holes)")
    volume_overcommit_ratio: float = _setting(20.0, "thin volumes may grow to this many times what a back end has")
    volume_backup_dir: str = _setting("", "where backups of volumes are kept; empty: state_dir/backups")
    volume_backup_url: str = _setting(
        "",
        "an object store for backups of volumes instead: swift (this cloud's own), https://USER:KEY@HOST/auth/v1.0 or "
        "https://USER:PASSWORD@HOST/identity/v3?project=NAME; empty: volume_backup_dir",
    )
    volume_attach_timeout_seconds: int = _setting(180, "until an attachment that is not completed is taken back", "seconds")
    s3_port: int = _setting(0, "port at whose root S3 is served, too; 0: none but the classic one")
    s3_domain: str = _setting(
        "", "hosts below which a name is a bucket (bucket.s3.example.org), with commas; empty: public_host, or that of listen"
    )
    s3_day_seconds: int = _setting(86_400, "length of a day of S3's lifecycle rules; shorter ones are for tests", "seconds")
    # network
    network_driver: str = _setting("linux", "linux (bridges), ovs (Open vSwitch) or fake")
    tunnel_type: str = _setting("vxlan", "ovs: how networks span hosts, vxlan or gre; the same on all hosts")
    public_cidr: str = _setting("172.24.4.0/24", "addresses of the first external network, reachable from the machine")
    uplink_namespace: str = _setting("", "namespace that plays the outside world; empty: the machine's own")
    network_mtu: int = _setting(1500, "MTU of the physical network", "bytes")
    dns_domain: str = _setting("novalocal", "domain of the servers' names")
    dns_servers: str = _setting("", "name servers for guests where a subnet names none, with commas; empty: the network's own")
    # compute
    hypervisor: str = _setting("qemu", "qemu or fake")
    virt_type: str = _setting("auto", "kvm, qemu (emulation) or auto: kvm where a probe shows that guests truly run")
    host_name: str = _setting("", "this host's name; empty: the machine's")
    cpu_allocation_ratio: float = _setting(4.0, "virtual CPUs given out for each real one")
    ram_allocation_ratio: float = _setting(1.0, "memory given out for each byte there is")
    disk_allocation_ratio: float = _setting(1.0, "disk given out for each byte there is")
    reserved_host_memory_mib: int = _setting(512, "memory kept for the machine itself", "MiB")
    boot_timeout_seconds: int = _setting(300, "until a server that does not become ACTIVE is given up", "seconds")
    fence_after_seconds: int = _setting(
        0, "how long a host that does not reach the control plane runs its guests before it halts them; 0: for ever", "seconds"
    )
    allow_resize_to_same_host: bool = _setting(True, "a server that is resized stays on its host where that has room for it")
    deleted_servers_days: int = _setting(0, "how long what is known of deleted servers is kept, usage too; 0: for ever", "days")
    console_token_seconds: int = _setting(600, "how long the URL of a console opens it", "seconds")
    fake_hosts: int = _setting(1, "hosts that the fake hypervisor pretends to have")
    roles: str = _setting(
        "compute,network,volume",
        "what this machine does as a host: compute (guests), network (routers), volume (its volume_backends)",
    )
    demo: bool = _setting(True, "make the demo project, its networks and the guest image at the first start")

    @property
    def host(self) -> str:
        """This host's name."""
        return self.host_name or socket.gethostname()

    @property
    def database(self) -> str:
        """The URL of the database."""
        return self.database_url or f"sqlite:///{Path(self.state_dir) / 'pileus.db'}"


def shown(settings: Settings, name: str) -> Any:
    """Return a setting's value as people may see it: without passwords (those in URLs too), keys and other secrets."""
    value = getattr(settings, name)
    if not isinstance(value, str) or not value:
        return value
    hidden = {field.name: field.metadata["hidden"] for field in fields(Settings)}[name]
    if hidden == "all":
        return MASK
    if hidden:
        return ",".join(_without(entry.split(":"), int(hidden)) for entry in value.split(","))
    return QUERY_SECRET.sub(rf"\g<1>{MASK}", URL_PASSWORD.sub(rf"\g<1>{MASK}@", value))


def _without(parts: list[str], number: int) -> str:
    """Mask a part; what has too few parts is none of that form, and is masked as a whole."""
    return ":".join((*parts[:number], MASK, *parts[number + 1 :])) if len(parts) > number else MASK


def load(file: Path | None, environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Read the settings: the file, then the environment, then what was given on the command line (None: not given).

    :raises SettingsError: when a name is unknown or a value cannot be read.
    """
    kinds: dict[str, Any] = {f.name: f.type for f in fields(Settings)}
    values: dict[str, Any] = {}
    if file is not None and file.exists():
        values |= tomllib.loads(file.read_text())
    for name, text in environment.items():
        key = name.removeprefix("PILEUS_").lower()
        if name.startswith("PILEUS_") and key in kinds:
            values[key] = text
    values |= {name: value for name, value in given.items() if value is not None}
    if unknown := sorted(set(values) - set(kinds)):
        raise SettingsError(f"There is no setting {', '.join(unknown)}. `pileus settings` lists all.")
    return Settings(**{name: _convert(name, value, kinds[name]) for name, value in values.items()})


def _convert(name: str, value: Any, kind: Any) -> Any:
    try:
        if kind in (bool, "bool"):
            return value if isinstance(value, bool) else {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        return {"int": int, "float": float}.get(getattr(kind, "__name__", kind), str)(value)
    except (ValueError, KeyError) as error:
        raise SettingsError(f"Setting {name}: {value!r} is not of type {getattr(kind, '__name__', kind)}.") from error
