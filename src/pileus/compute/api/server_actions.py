"""POST /servers/{server_id}/action: one key in the body says what is to be done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from pileus.compute.api import consoles, live_migrations
from pileus.compute.api import server_bodies as bodies
from pileus.compute.api.given import given, id_of
from pileus.compute.api.servers import view
from pileus.compute.policies.servers import API
from pileus.compute.schemas import servers as schemas
from pileus.compute.schemas.fields import Bool, HostName, Name, NotNegative, read_bool, read_int
from pileus.compute.service import evacuation, moves, old_networks, servers
from pileus.compute.service import server_actions as service
from pileus.compute.service import server_shapes as shapes
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Answer, Call, Route
from pileus.kernel.microversion import parse
from pileus.kernel.server import explain


class Reboot(Struct, forbid_unknown_fields=True):
    """How to reboot."""

    type: Literal["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]


class CreateImage(Struct, forbid_unknown_fields=True):
    """The image to be made."""

    name: Name
    metadata: schemas.Metadata | UnsetType = UNSET


class Lock(Struct, forbid_unknown_fields=True):
    """Why a server is locked (2.73)."""

    locked_reason: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET


class ResetState(Struct, forbid_unknown_fields=True):
    """What a server is."""

    state: Literal["active", "error"]


Lines = Annotated[int, Meta(ge=-1)] | Annotated[str, Meta(pattern=r"^-?[0-9]+$(?!\n)", max_length=10)]


class ConsoleOutput(Struct, forbid_unknown_fields=True):
    """How many lines."""

    length: Lines | UnsetType | None = UNSET


class Password(Struct, forbid_unknown_fields=True):
    """A new password."""

    admin_password: str = field(name="adminPass")


class OldConsole(Struct, forbid_unknown_fields=True):
    """A remote console in the old way (until 2.5)."""

    type: str


class AddFixedIp(Struct, forbid_unknown_fields=True):
    """Another address in a network (until 2.43)."""

    network_id: Annotated[str, Meta(min_length=1)] | int = field(name="networkId")


class RemoveIp(Struct, forbid_unknown_fields=True):
    """The address to be taken away (until 2.43)."""

    address: str


class AddFloatingIp(Struct, forbid_unknown_fields=True):
    """A floating IP, and the fixed address it shall lead to (until 2.43)."""

    address: str
    fixed_address: str | UnsetType = UNSET


class Resize(Struct, forbid_unknown_fields=True):
    """Another flavor."""

    flavor: Annotated[str, Meta(min_length=1)] | int = field(name="flavorRef")
    disk_config: schemas.DiskConfig | UnsetType = field(default=UNSET, name="OS-DCF:diskConfig")


class Rescue(Struct, forbid_unknown_fields=True):
    """How to rescue."""

    admin_password: str | UnsetType = field(default=UNSET, name="adminPass")
    image: str | UnsetType = field(default=UNSET, name="rescue_image_ref")


class Unshelve(Struct, forbid_unknown_fields=True):
    """Where to: a zone (2.77), a host (2.91)."""

    zone: str | UnsetType | None = field(default=UNSET, name="availability_zone")
    host: HostName | UnsetType = UNSET


class Migrate(Struct, forbid_unknown_fields=True):
    """Where to (2.56)."""

    host: HostName | UnsetType | None = UNSET


class Evacuate(Struct, forbid_unknown_fields=True):
    """Where to, and how; until 2.13 somebody says where the disks are, from 2.29 to 2.67 it may be forced."""

    host: HostName | UnsetType = UNSET
    admin_password: str | UnsetType = field(default=UNSET, name="adminPass")
    shared: Bool | UnsetType = field(default=UNSET, name="onSharedStorage")
    force: Bool | UnsetType = UNSET


class Backup(Struct, forbid_unknown_fields=True):
    """An image of a kind, of which so many are kept."""

    name: Name
    backup_type: str
    rotation: NotNegative
    metadata: schemas.Metadata | UnsetType = UNSET


Handler = Callable[[Call, str, Any], Any]
Body = TypeVar("Body")


@dataclass(frozen=True)
class Action:
    """One action: what it does, the type of its argument (None: anything), and the microversions that have it."""

    handler: Handler
    body: Any = None
    since: str = ""
    until: str = ""


def act(call: Call) -> Any:
    """Do something to a server."""
    if not isinstance(call.body, dict) or len(call.body) != 1:
        raise BadRequest("Malformed request body: there must be exactly one action." if call.body else "Malformed request body")
    (name, argument), *_ = call.body.items()
    action = ACTIONS.get(name)
    if action is None or (action.until and call.version > parse(action.until)) or (action.since and not call.since(action.since)):
        raise BadRequest(f"There is no such action: {name}.")
    if action.body is not None:
        try:
            argument = msgspec.convert(argument, action.body)
        except msgspec.ValidationError as error:
            raise BadRequest(explain(error)) from error
    return action.handler(call, call.path["server_id"], argument)


def _power(action: str) -> Action:
    return Action(lambda call, id, _: service.change_power(call.ctx, id, action))


def _refused(action: str, body: Any = None, until: str = "", since: str = "") -> Action:
    return Action(lambda call, id, _: service.refuse(call.ctx, id, action), body, since, until)


def _reboot(call: Call, id: str, body: Reboot) -> None:
    service.reboot(call.ctx, id, body.type.upper() == "HARD")


def _read(argument: Any, kind: type[Body]) -> Body:
    """Return the argument of an action that takes it of some microversion on only.  :raises BadRequest: when it is none."""
    try:
        return msgspec.convert(argument, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(explain(error)) from error


def _lock(call: Call, id: str, argument: Any) -> None:
    reason = None
    if call.since("2.73") and argument is not None:
        reason = given(_read(argument, Lock).locked_reason)
    service.lock(call.ctx, id, reason)


def _create_image(call: Call, id: str, body: CreateImage) -> Any:
    most = None if call.since("2.39") else 0
    image_id = service.create_image(call.ctx, id, body.name, given(body.metadata, {}), most)
    if call.since("2.45"):
        return {"image_id": image_id}
    return Answer(None, headers={"Location": f"{call.root_url}/image/v2/images/{image_id}"})


def _rebuild(call: Call, id: str, body: schemas.Rebuild) -> Any:
    schemas.check(call.version, body, schemas.REBUILD_SINCE)
    schemas.check_uuid("imageRef", body.image)
    schemas.check_base64("user_data", body.user_data)
    named = ("name", "description", "hostname", "access_ipv4", "access_ipv6", "disk_config", "metadata", "user_data")
    values = bodies.read_values(body, *named)
    if body.personality is not UNSET:
        values["personality"] = [list(pair) for pair in bodies.read_personality(body.personality)]
    if body.trusted_image_certificates is not UNSET:
        values["trusted_certificates"] = body.trusted_image_certificates
    key_name = None if body.key_name is UNSET else body.key_name or ""
    certified = body.trusted_image_certificates is not UNSET
    wanted = service.Rebuild(body.image, values, key_name, given(body.admin_password, ""), certified, call.since("2.93"))
    shown, password = service.rebuild(call.ctx, id, wanted)
    shows = view(call, shown)
    found = shows.changed(shown) | {"adminPass": password}
    if call.since("2.54"):
        found["key_name"] = shown.server.key_name
    if call.since("2.57"):
        found["user_data"] = shown.server.user_data
    found.pop("OS-EXT-SRV-ATTR:user_data", None)
    return Answer({"server": found}, headers={"Location": found["links"][0]["href"]})


def _console_output(call: Call, id: str, body: ConsoleOutput) -> Any:
    length = given(body.length)
    lines = None if length is None or int(length) < 0 else int(length)
    return Answer({"output": service.console_output(call.ctx, id, lines)}, status=200)


def _resize(call: Call, id: str, body: Resize) -> None:
    shapes.resize(call.ctx, id, id_of(str(body.flavor)), given(body.disk_config))


def _confirm(call: Call, id: str, _: Any) -> Answer:
    shapes.confirm_resize(call.ctx, id)
    return Answer(None, status=204)


def _rescue(call: Call, id: str, body: Rescue | None) -> Answer:
    wanted = body or Rescue()
    schemas.check_uuid("rescue_image_ref", wanted.image)
    password = shapes.rescue(call.ctx, id, given(wanted.image), given(wanted.admin_password, ""), call.since("2.87"))
    return Answer({"adminPass": password}, status=200)


def _unshelve(call: Call, id: str, body: Unshelve | None) -> None:
    wanted = body or Unshelve()
    if wanted.zone is not UNSET and not call.since("2.77"):
        wanted = Unshelve()  # as nova, which took anything then
    if wanted.host is not UNSET and not call.since("2.91"):
        raise schemas.unexpected("host")
    if wanted.zone == "" or (wanted.zone is None and not call.since("2.91")):
        raise BadRequest(f"Invalid input for field/attribute availability_zone. Value: {wanted.zone}. It is no zone.")
    shapes.unshelve(call.ctx, id, given(wanted.zone), given(wanted.host), unpin=wanted.zone is None)


def _migrate(call: Call, id: str, argument: Any) -> None:
    host = None
    if call.since("2.56") and argument is not None:
        host = given(_read(argument, Migrate).host)
    moves.migrate(call.ctx, id, host)


def _evacuate(call: Call, id: str, body: Evacuate) -> Answer:
    older = not call.since("2.14")
    if body.shared is not UNSET and not older:
        raise schemas.unexpected("onSharedStorage")
    if body.force is not UNSET and (not call.since("2.29") or call.since("2.68")):
        raise schemas.unexpected("force")
    if older and body.shared is UNSET:
        raise BadRequest("Invalid input for field/attribute evacuate. 'onSharedStorage' is a required property")
    wanted = evacuation.Wanted(
        host=given(body.host) or "", forced=read_bool(given(body.force, False)), admin_password=given(body.admin_password) or "",
        shared=read_bool(given(body.shared, False)), stays_off=call.since("2.95"),
    )  # fmt: skip
    password = evacuation.evacuate(call.ctx, id, wanted)
    return Answer({"adminPass": password} if older else None, status=200)


def _backup(call: Call, id: str, body: Backup) -> Any:
    rotation = read_int(body.rotation)
    facts = given(body.metadata, {})
    image_id = shapes.create_backup(call.ctx, id, body.name, body.backup_type, rotation, facts)
    if call.since("2.45"):
        return {"image_id": image_id}
    headers = {"Location": f"{call.root_url}/image/v2/images/{image_id}"} if rotation else {}
    return Answer(None, headers=headers)


def _group(add: bool) -> Handler:
    return lambda call, id, body: service.change_group(call.ctx, id, str(given(body.name, "")), add)


def _old_console(protocol: str) -> Handler:
    return lambda call, id, body: consoles.create_older(call, id, protocol, body.type)


def _add_fixed_ip(call: Call, id: str, body: AddFixedIp) -> None:
    old_networks.add_fixed_ip(call.ctx, id, str(body.network_id))


def _remove_fixed_ip(call: Call, id: str, body: RemoveIp) -> None:
    schemas.check_address("address", body.address)
    old_networks.remove_fixed_ip(call.ctx, id, body.address)


def _add_floating_ip(call: Call, id: str, body: AddFloatingIp) -> None:
    schemas.check_address("address", body.address)
    schemas.check_address("fixed_address", body.fixed_address)
    old_networks.add_floating_ip(call.ctx, id, body.address, given(body.fixed_address))


def _remove_floating_ip(call: Call, id: str, body: RemoveIp) -> None:
    schemas.check_address("address", body.address)
    old_networks.remove_floating_ip(call.ctx, id, body.address)


ACTIONS: dict[str, Action] = {
    "os-start": _power("start"),
    "os-stop": _power("stop"),
    "pause": _power("pause"),
    "unpause": _power("unpause"),
    "suspend": _power("suspend"),
    "resume": _power("resume"),
    "reboot": Action(_reboot, Reboot),
    "rebuild": Action(_rebuild, schemas.Rebuild),
    "createImage": Action(_create_image, CreateImage),
    "lock": Action(_lock),
    "unlock": Action(lambda call, id, _: service.unlock(call.ctx, id)),
    "forceDelete": Action(lambda call, id, _: servers.delete(call.ctx, id, API + "os-deferred-delete:force")),
    "os-resetState": Action(lambda call, id, body: service.reset_state(call.ctx, id, body.state), ResetState),
    "os-getConsoleOutput": Action(_console_output, ConsoleOutput),
    "addSecurityGroup": Action(_group(True), schemas.GroupName),
    "removeSecurityGroup": Action(_group(False), schemas.GroupName),
    "changePassword": Action(lambda call, id, _: service.refuse_password(call.ctx, id), Password),
    "os-getVNCConsole": Action(_old_console("vnc"), OldConsole, until="2.5"),
    "os-getSPICEConsole": Action(_old_console("spice"), OldConsole, until="2.5"),
    "os-getRDPConsole": Action(_old_console("rdp"), OldConsole, until="2.5"),
    "os-getSerialConsole": Action(_old_console("serial"), OldConsole, until="2.5"),
    "resize": Action(_resize, Resize),
    "confirmResize": Action(_confirm),
    "revertResize": Action(lambda call, id, _: shapes.revert_resize(call.ctx, id)),
    "migrate": Action(_migrate),
    "os-migrateLive": Action(live_migrations.migrate, live_migrations.MigrateLive),
    "evacuate": Action(_evacuate, Evacuate),
    "shelve": Action(lambda call, id, _: shapes.shelve(call.ctx, id)),
    "shelveOffload": _refused("shelveOffload"),
    "unshelve": Action(_unshelve, Unshelve | None),
    "rescue": Action(_rescue, Rescue | None),
    "unrescue": Action(lambda call, id, _: shapes.unrescue(call.ctx, id)),
    "restore": _refused("restore"),
    "createBackup": Action(_backup, Backup),
    "trigger_crash_dump": _refused("trigger_crash_dump", None, since="2.17"),
    "injectNetworkInfo": Action(lambda call, id, _: service.inject_network_info(call.ctx, id)),
    "addFixedIp": Action(_add_fixed_ip, AddFixedIp, until="2.43"),
    "removeFixedIp": Action(_remove_fixed_ip, RemoveIp, until="2.43"),
    "addFloatingIp": Action(_add_floating_ip, AddFloatingIp, until="2.43"),
    "removeFloatingIp": Action(_remove_floating_ip, RemoveIp, until="2.43"),
}

routes = (
    Route(
        "POST", "/v2.1/servers/{server_id}/action", act, status=202, errors=(400, 401, 403, 404, 409, 501),
    ),
)  # fmt: skip
