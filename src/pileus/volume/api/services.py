"""/v3/os-services, os-hosts, scheduler-stats, capabilities, clusters, workers"""

import logging
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.http import Answer, Call, Route
from pileus.kernel.server import explain
from pileus.volume.schemas.fields import LooseName, Text255, read_bool, show_time
from pileus.volume.service import services

Filled = Annotated[str, Meta(min_length=1, max_length=255)]
LEVELS = ("critical", "error", "warning", "info", "debug")


class Switch(Struct):
    """Which part is meant; `service` is the older word for binary."""

    host: Filled | None = None
    binary: Text255 = ""
    service: Text255 = ""
    disabled_reason: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class Host(Struct):
    """Which back end is meant."""

    host: LooseName = None
    cluster: LooseName = None
    backend_id: LooseName = None


class Levels(Struct, forbid_unknown_fields=True):
    """Which loggers are meant (3.32)."""

    binary: Literal["", "*", "cinder-api", "cinder-volume", "cinder-scheduler", "cinder-backup"] | None = None
    server: LooseName = None
    prefix: LooseName = None
    level: str | None = None


def index(call: Call) -> Any:
    host, binary = call.query.get("host"), call.query.get("binary")
    shown = []
    for part in services.list_services(call.ctx):
        row = part.row
        if (binary and row.binary != binary) or (host and host not in (row.host, row.host.partition("@")[0])):
            continue
        found = {
            "binary": row.binary,
            "host": row.host,
            "zone": row.availability_zone,
            "status": "disabled" if row.disabled else "enabled",
            "state": "up" if part.is_up else "down",
            "updated_at": show_time(call.cloud.clock.now() if part.is_up else row.updated_at or row.created_at),
            "disabled_reason": row.disabled_reason,
        }
        if call.since("3.7"):
            found["cluster"] = None
        if row.binary == services.VOLUME:
            found |= {"replication_status": "disabled", "active_backend_id": None, "frozen": bool(row.frozen)}
            if call.since("3.49"):
                found["backend_state"] = found["state"]
        shown.append(found)
    return {"services": shown}


def update(call: Call) -> Any:
    action = call.path["action"]
    if action in ("enable", "disable", "disable-log-reason"):
        return _switch(call, action)
    if action in ("freeze", "thaw", "failover_host", "failover"):
        return _steer(call, action)
    if action in ("get-log", "set-log") and call.since("3.32"):
        return _log(call, set_them=action == "set-log")
    services.require_steering(call.ctx)
    raise NotFound("Unknown action")


def _read(call: Call, kind: Any) -> Any:
    try:
        return msgspec.convert(call.body, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(explain(error)) from error


def _switch(call: Call, action: str) -> Any:
    services.require_steering(call.ctx)
    given = _read(call, Switch)
    if not given.host:
        raise BadRequest("Invalid input received: Host field is missing.", kind="InvalidInput")
    if action == "disable-log-reason" and not given.disabled_reason:
        raise BadRequest(
            "Invalid input received: Disabled reason contains invalid characters or is too long", kind="InvalidInput"
        )
    enabled = action == "enable"
    reason = given.disabled_reason if action == "disable-log-reason" else None
    services.enable(call.ctx, given.host, given.binary or given.service, enabled=enabled, reason=reason)
    found = {
        "host": given.host,
        "service": given.service,
        "binary": given.binary,
        "status": "enabled" if enabled else "disabled",
        "disabled": not enabled,
    }
    return found if action == "disable" else found | {"disabled_reason": reason}


def _steer(call: Call, action: str) -> Any:
    given = _read(call, Host)
    host = given.host or given.cluster or ""
    if action in ("freeze", "thaw"):
        services.freeze(call.ctx, host, frozen=action == "freeze")
        return None
    services.fail_over(call.ctx, host)
    return Answer(status=202)


def _log(call: Call, *, set_them: bool) -> Any:
    services.require_steering(call.ctx)
    given = _read(call, Levels)
    prefix = given.prefix or "pileus.volume"
    names = [name for name in sorted(logging.root.manager.loggerDict) if name.startswith(prefix)]
    if not set_them:
        levels = {name: logging.getLevelName(logging.getLogger(name).getEffectiveLevel()) for name in names}
        return {"log_levels": [{"host": call.cloud.settings.host, "binary": "cinder-api", "levels": levels}]}
    if (given.level or "").lower() not in LEVELS:
        raise BadRequest("Invalid parameter: level must be one of " + ", ".join(LEVELS))
    for name in names:
        logging.getLogger(name).setLevel(str(given.level).upper())
    return Answer(status=202)


# ---- hosts


def list_hosts(call: Call) -> Any:
    zone = call.query.get("zone")
    parts = services.list_services(call.ctx, "volume_extension:hosts")
    return {
        "hosts": [
            {
                "host_name": part.row.host,
                "service": part.row.binary,
                "zone": part.row.availability_zone,
                "service-status": "available" if part.is_up else "unavailable",
                "service-state": "enabled",
                "last-update": show_time(call.cloud.clock.now() if part.is_up else part.row.updated_at),
            }
            for part in parts
            if not part.row.disabled and (not zone or part.row.availability_zone == zone)
        ]
    }


def show_host(call: Call) -> Any:
    host = call.path["host"]
    by_project = services.host_usage(call.ctx, host)
    total = tuple(sum(numbers[i] for numbers in by_project.values()) for i in range(4))
    return {
        "host": [
            {
                "resource": {
                    "host": host,
                    "project": project,
                    "volume_count": str(numbers[0]),
                    "total_volume_gb": str(numbers[1]),
                    "snapshot_count": str(numbers[2]),
                    "total_snapshot_gb": str(numbers[3]),
                }
            }
            for project, numbers in [("(total)", total), *sorted(by_project.items())]
        ]
    }


def update_host(call: Call) -> Any:
    host, body = call.path["host"], call.body
    if not isinstance(body, dict) or set(body) != {"status"}:
        raise BadRequest("Invalid update setting: 'status' is all that may be changed.")
    word = str(body["status"]).strip().lower()
    if word not in ("enable", "disable"):
        raise BadRequest(f"Invalid status: '{body['status']}'")
    services.enable_host(call.ctx, host, enabled=word == "enable")
    return {"host": host, "status": f"{word}d"}


# ---- pools


def get_pools(call: Call) -> Any:
    detail = read_bool(call.query.get("detail") or "0")
    given = {name: value for name, value in call.query.pairs if name != "detail"} if call.since("3.28") else {}
    if not call.since("3.35"):
        given.pop("volume_type", None)
    unknown = sorted(set(given) - {"name", "volume_type"})
    if unknown and call.since("3.31"):
        raise BadRequest(f"Invalid filters {','.join(unknown)} are found in query options.")
    found = services.list_pools(call.ctx, name=given.get("name"), volume_type=given.get("volume_type"))
    now = show_time(call.cloud.clock.now())
    if not detail:
        return {"pools": [{"name": pool.host} for pool, _ in found]}
    return {"pools": [{"name": pool.host, "capabilities": {**has, "timestamp": now}} for pool, has in found]}


def show_capabilities(call: Call) -> Any:
    host = call.path["host"]
    has = services.capabilities(call.ctx, host)
    return {
        "namespace": f"OS::Storage::Capabilities::{host}",
        "vendor_name": has["vendor_name"],
        "volume_backend_name": has["volume_backend_name"],
        "pool_name": has["pool_name"],
        "driver_version": has["driver_version"],
        "storage_protocol": has["storage_protocol"],
        "display_name": has["volume_backend_name"],
        "description": None,
        "visibility": None,
        "replication_targets": [],
        "properties": {
            "thin_provisioning": _property("Thin Provisioning", "Whether volumes take room as they are written."),
            "multiattach": _property("Multiattach", "Whether several servers may have a volume at once."),
        },
    }


def _property(title: str, description: str) -> dict[str, str]:
    return {"title": title, "description": description, "type": "boolean"}


# ---- clusters


def list_clusters(call: Call) -> Any:
    return {"clusters": services.list_clusters(call.ctx)}


def show_cluster(call: Call) -> None:
    services.get_cluster(call.ctx, call.path["name"])


def update_cluster(call: Call) -> None:
    services.get_cluster(call.ctx, str((call.body or {}).get("name") if isinstance(call.body, dict) else ""), "clusters:update")


def clean_up(call: Call) -> Any:
    cleaning, unavailable = services.clean_up(call.ctx)
    return {"cleaning": cleaning, "unavailable": unavailable}


routes = (
    Route("GET", "/v3/os-services", index),
    Route("PUT", "/v3/os-services/{action}", update),
    Route("GET", "/v3/os-hosts", list_hosts),
    Route("GET", "/v3/os-hosts/{host}", show_host),
    Route("PUT", "/v3/os-hosts/{host}", update_host),
    Route("GET", "/v3/scheduler-stats/get_pools", get_pools),
    Route("GET", "/v3/capabilities/{host}", show_capabilities),
    Route("GET", "/v3/clusters", list_clusters, since="3.7"),
    Route("GET", "/v3/clusters/detail", list_clusters, since="3.7"),
    Route("GET", "/v3/clusters/{name}", show_cluster, since="3.7"),
    Route("PUT", "/v3/clusters/{action}", update_cluster, since="3.7"),
    Route("POST", "/v3/workers/cleanup", clean_up, since="3.24", status=202),
)
