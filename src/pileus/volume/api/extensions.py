"""/v3/extensions and /v3/os-availability-zone"""

from typing import Any

from pileus.kernel.errors import NotFound
from pileus.kernel.http import Call, Route
from pileus.volume.service import zones

EXTENSIONS = (
    ("os-admin-actions", "AdminActions", "2012-08-25", "Admins reset, migrate and force the deletion of things."),
    ("os-availability-zone", "AvailabilityZones", "2013-06-27", "Availability zones."),
    ("backups", "Backups", "2012-12-12", "Backups."),
    ("capabilities", "Capabilities", "2015-08-31", "What back ends can do."),
    ("cgsnapshots", "Cgsnapshots", "2014-08-18", "Snapshots of consistency groups."),
    ("consistencygroups", "Consistencygroups", "2014-08-18", "Consistency groups."),
    ("os-extended-services", "ExtendedServices", "2014-01-10", "More facts on services."),
    ("os-extended-snapshot-attributes", "ExtendedSnapshotAttributes", "2012-06-19", "More facts on snapshots."),
    ("os-hosts", "Hosts", "2011-06-29", "Hosts."),
    ("qos-specs", "Qos_specs_manage", "2013-08-02", "Qualities of service."),
    ("os-quota-class-sets", "QuotaClasses", "2012-03-12", "Classes of quotas."),
    ("os-quota-sets", "Quotas", "2011-08-08", "Quotas."),
    ("OS-SCH-HNT", "SchedulerHints", "2013-04-18", "Hints for the scheduler."),
    ("scheduler-stats", "Scheduler_stats", "2014-09-07", "What the scheduler knows of pools."),
    ("os-services", "Services", "2012-10-28", "Services."),
    ("os-snapshot-actions", "SnapshotActions", "2013-07-16", "Actions of snapshots."),
    ("os-snapshot-manage", "SnapshotManage", "2014-12-31", "Snapshots that are on a back end already."),
    ("os-snapshot-unmanage", "SnapshotUnmanage", "2014-12-31", "Snapshots that stay on a back end."),
    ("os-types-extra-specs", "TypesExtraSpecs", "2011-08-24", "Extra specs of volume types."),
    ("os-types-manage", "TypesManage", "2011-08-24", "Admins make volume types."),
    ("os-used-limits", "UsedLimits", "2013-10-03", "How much of the limits is used."),
    ("os-volume-actions", "VolumeActions", "2012-05-31", "Actions of volumes."),
    ("os-volume-encryption-metadata", "VolumeEncryptionMetadata", "2013-07-10", "How volumes are encrypted."),
    ("os-vol-host-attr", "VolumeHostAttribute", "2011-11-03", "Where volumes lie."),
    ("os-vol-image-meta", "VolumeImageMetadata", "2012-12-07", "What images say of volumes."),
    ("os-volume-manage", "VolumeManage", "2014-02-10", "Volumes that are on a back end already."),
    ("os-vol-mig-status-attr", "VolumeMigStatusAttribute", "2013-08-08", "How migrations of volumes stand."),
    ("os-vol-tenant-attr", "VolumeTenantAttribute", "2011-11-03", "Whose volumes are."),
    ("os-volume-transfer", "VolumeTransfer", "2013-05-29", "Volumes that go to another project."),
    ("os-volume-type-access", "VolumeTypeAccess", "2014-06-26", "Who may use volume types."),
    ("encryption", "VolumeTypeEncryption", "2013-07-01", "How volume types encrypt."),
    ("os-volume-unmanage", "VolumeUnmanage", "2012-05-31", "Volumes that stay on a back end."),
)


def _show(alias: str, name: str, day: str, text: str) -> dict[str, Any]:
    updated = f"{day}T00:00:00+00:00"
    return {"alias": alias, "name": name, "namespace": "", "description": text, "updated": updated, "links": []}


def index(call: Call) -> Any:
    return {"extensions": [_show(*each) for each in EXTENSIONS]}


def show(call: Call) -> Any:
    for each in EXTENSIONS:
        if each[0] == call.path["alias"]:
            return {"extension": _show(*each)}
    raise NotFound("The resource could not be found.")


def list_zones(call: Call) -> Any:
    found = zones.list_all(call.ctx)
    shown = [{"zoneName": name, "zoneState": {"available": available}} for name, available in found.items()]
    return {"availabilityZoneInfo": shown}


routes = (
    Route("GET", "/v3/extensions", index),
    Route("GET", "/v3/extensions/{alias}", show),
    Route("GET", "/v3/os-availability-zone", list_zones),
)
