"""The cloud's records: migrations, and those that are empty or fixed here: usage audits, extensions."""

from pileus.compute.policies.records import AUDIT, EXTENSIONS, MIGRATIONS
from pileus.compute.store import hosts as store
from pileus.compute.store import migrations
from pileus.compute.store.migrations import Migration, Search
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest

ALIASES = {
    "os-aggregates": "Aggregates", "os-availability-zone": "AvailabilityZone", "os-config-drive": "ConfigDrive",
    "os-console-output": "ConsoleOutput", "os-create-server-ext": "Createserverext", "os-extended-volumes": "ExtendedVolumes",
    "os-flavor-access": "FlavorAccess", "os-flavor-extra-specs": "FlavorExtraSpecs", "os-flavor-manage": "FlavorManage",
    "os-flavor-rxtx": "FlavorRxtx", "os-flavor-swap": "FlavorSwap", "os-consoles": "Consoles", "os-hosts": "Hosts",
    "os-hypervisors": "Hypervisors",
    "os-floating-ip-pools": "FloatingIpPools", "os-floating-ips": "FloatingIps", "os-networks": "Networks",
    "os-rescue": "Rescue", "os-security-groups": "SecurityGroups", "os-server-external-events": "ServerExternalEvents",
    "os-shelve": "Shelve", "os-tenant-networks": "TenantNetworks", "image-metadata": "ImageMetadata", "images": "Images",
    "os-instance-actions": "InstanceActions", "os-keypairs": "Keypairs", "os-migrations": "Migrations",
    "os-multiple-create": "MultipleCreate", "os-pause-server": "PauseServer", "os-quota-class-sets": "QuotaClasses",
    "os-quota-sets": "Quotas", "os-server-groups": "ServerGroups", "os-services": "Services",
    "os-simple-tenant-usage": "SimpleTenantUsage", "os-suspend-server": "SuspendServer", "os-used-limits": "UsedLimits",
    "OS-DCF": "DiskConfig", "OS-EXT-AZ": "ExtendedAvailabilityZone", "OS-EXT-IMG-SIZE": "ImageSize",
    "OS-EXT-IPS": "ExtendedIps", "OS-EXT-SRV-ATTR": "ExtendedServerAttributes", "OS-EXT-STS": "ExtendedStatus",
    "OS-FLV-DISABLED": "FlavorDisabled", "OS-FLV-EXT-DATA": "FlavorExtraData", "OS-SCH-HNT": "SchedulerHints",
    "OS-SRV-USG": "ServerUsage", "flavors": "Flavors", "limits": "Limits", "os-attach-interfaces": "AttachInterfaces",
    "server-metadata": "ServerMetadata", "servers": "Servers", "versions": "Versions",
}  # fmt: skip


def list_migrations(ctx: Context, what: Search, all_projects: bool, by_host: bool) -> list[Migration]:
    """Return the migrations: servers' changes of flavor or host.

    :raises BadRequest: when the marker is none of them.
    """
    ctx.require(MIGRATIONS + "index")
    if all_projects:
        ctx.require(MIGRATIONS + "index:all_projects")
    if by_host:
        ctx.require(MIGRATIONS + "index:host")
    with ctx.cloud.db.read() as tx:
        found = migrations.search(tx, what)
    if found is None:
        raise BadRequest(f"Marker {what.marker} could not be found.", kind="MarkerNotFound")
    return found


def list_extensions(ctx: Context) -> dict[str, str]:
    """Return alias and name of what nova once called extensions."""
    ctx.require(EXTENSIONS)
    return ALIASES


def audited_hosts(ctx: Context, rule: str) -> list[str]:
    """Return the hosts of which usage could be audited; nobody does, as usage is counted out of the servers.

    :param rule: "list" or "show".
    """
    ctx.require(AUDIT + rule)
    with ctx.cloud.db.read() as tx:
        return [host.name for host in store.list_hosts(tx)]
