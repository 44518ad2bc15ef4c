"""/v2.1/os-aggregates and /v2.1/os-availability-zone"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.compute.schemas.fields import MAX_INT, HostName, LooseName, MetaKey, MetaValue, Name, ZoneName, show_time
from pileus.compute.service import aggregates
from pileus.compute.service.old_hosts import CONTROL, INTERNAL_ZONE
from pileus.compute.store.aggregates import Aggregate
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route

ERRORS = (400, 401, 403, 404, 409)


class _New(Struct, forbid_unknown_fields=True):
    name: Name
    availability_zone: ZoneName | None = None


class Create(Struct, forbid_unknown_fields=True):
    aggregate: _New


class _Change(Struct, forbid_unknown_fields=True):
    name: LooseName | UnsetType = UNSET
    availability_zone: ZoneName | UnsetType | None = UNSET


class Update(Struct, forbid_unknown_fields=True):
    aggregate: _Change


class _Host(Struct, forbid_unknown_fields=True):
    host: HostName


class _Metadata(Struct, forbid_unknown_fields=True):
    metadata: dict[MetaKey, MetaValue | None]


class Action(Struct, forbid_unknown_fields=True):
    """Exactly one of them."""

    add_host: _Host | UnsetType = UNSET
    remove_host: _Host | UnsetType = UNSET
    set_metadata: _Metadata | UnsetType = UNSET


class _Image(Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(min_length=36, max_length=36)]


class CacheImages(Struct, forbid_unknown_fields=True):
    cache: Annotated[list[_Image], Meta(min_length=1)]


def index(call: Call) -> Any:
    return {"aggregates": [_show(call, each) for each in aggregates.list_all(call.ctx)]}


def show(call: Call) -> Any:
    return {"aggregate": _show(call, aggregates.get(call.ctx, _id(call)))}


def create(call: Call) -> Any:
    asked = call.body.aggregate
    made = _show(call, aggregates.create(call.ctx, asked.name, asked.availability_zone))
    return {"aggregate": {k: v for k, v in made.items() if k not in ("hosts", "metadata")}}


def update(call: Call) -> Any:
    asked = call.body.aggregate
    set_zone = asked.availability_zone is not UNSET
    if asked.name is UNSET and not set_zone:
        raise BadRequest("Invalid input for field/attribute aggregate. name or availability_zone is required.")
    name, zone = asked.name or None, asked.availability_zone or None
    return {"aggregate": _show(call, aggregates.update(call.ctx, _id(call), name, zone, set_zone))}


def delete(call: Call) -> None:
    aggregates.delete(call.ctx, _id(call))


def act(call: Call) -> Any:
    id, body = _id(call), call.body
    given = [each for each in (body.add_host, body.remove_host, body.set_metadata) if each is not UNSET]
    if len(given) != 1:
        raise BadRequest("There is no such action.")
    if body.add_host:
        changed = aggregates.add_host(call.ctx, id, body.add_host.host)
    elif body.remove_host:
        changed = aggregates.remove_host(call.ctx, id, body.remove_host.host)
    else:
        changed = aggregates.set_metadata(call.ctx, id, body.set_metadata.metadata)
    return {"aggregate": _show(call, changed)}


def cache_images(call: Call) -> None:
    aggregates.cache_images(call.ctx, _id(call))


def list_zones(call: Call) -> Any:
    zones = aggregates.list_zones(call.ctx)
    states = {name: any(not host.disabled for host in hosts) for name, hosts in zones.items()}
    ordered = sorted(states, key=lambda name: (not states[name], name))
    return _zones([(name, states[name], None) for name in ordered])


def detail_zones(call: Call) -> Any:
    now = call.cloud.clock.now()
    zones = aggregates.list_zones(call.ctx, "detail")
    first = next((host for hosts in zones.values() for host in hosts if not host.disabled), None)
    steered = {f"nova-{name}": {"available": True, "active": True, "updated_at": show_time(now)} for name in CONTROL}
    shown: list[tuple[str, bool, Any]] = [(INTERNAL_ZONE, True, {first.name: steered})] if first else []
    for name, hosts in zones.items():
        active = {
            host.name: {"nova-compute": {"available": host.is_up(now), "active": True, "updated_at": show_time(host.seen_at)}}
            for host in hosts
            if not host.disabled
        }
        shown.append((name, bool(active), active or None))
    return _zones(shown)


def _zones(found: list[tuple[str, bool, Any]]) -> dict[str, Any]:
    shown = [{"zoneName": name, "zoneState": {"available": available}, "hosts": hosts} for name, available, hosts in found]
    return {"availabilityZoneInfo": shown}


def _show(call: Call, found: Aggregate) -> dict[str, Any]:
    shown = {
        "id": found.id,
        "name": found.name,
        "hosts": found.hosts,
        "metadata": found.metadata,
        "availability_zone": found.zone,
        "created_at": show_time(found.created_at),
        "updated_at": show_time(found.updated_at),
        "deleted": False,
        "deleted_at": None,
    }
    return {**shown, "uuid": found.uuid} if call.since("2.41") else shown


def _id(call: Call) -> int:
    text = call.path["aggregate_id"]
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise BadRequest("Invalid input received: id must be an integer")
    return max(-1, min(int(text), MAX_INT))


ONE = "/v2.1/os-aggregates/{aggregate_id}"

routes = (
    Route("GET", "/v2.1/os-aggregates", index),
    Route("POST", "/v2.1/os-aggregates", create, Create, errors=ERRORS),
    Route("GET", ONE, show),
    Route("PUT", ONE, update, Update, errors=ERRORS),
    Route("DELETE", ONE, delete),
    Route("POST", ONE + "/action", act, Action, errors=ERRORS),
    Route("POST", ONE + "/images", cache_images, CacheImages, since="2.81", status=202, errors=(400, 401, 403, 404, 501)),
    Route("GET", "/v2.1/os-availability-zone", list_zones),
    Route("GET", "/v2.1/os-availability-zone/detail", detail_zones),
)
