"""The commands of `pileus ring` that change devices."""

from collections.abc import Callable, Iterator
from typing import Any

import click
import msgspec

from pileus.object_store.places import Node
from pileus.object_store.storage.ring.builder import Builder
from pileus.object_store.storage.ring.mover import RingError
from pileus.object_store.storage.ring.place import (
    CHANGE_OPTIONS,
    SEARCH_OPTIONS,
    Place,
    confirm,
    device_options,
    fail,
    find_devices,
    given_fields,
    yes_option,
)
from pileus.object_store.storage.ring.search import check_device_name, parse_change, parse_device, show

ABORTED = "Aborting device modifications"
REQUIRED = {"region": "-r", "zone": "-z", "ip": "-i", "port": "-p", "device": "-d", "weight": "-w"}


@click.command()
@click.argument("devices", nargs=-1)
@device_options(*SEARCH_OPTIONS[1:])
@click.pass_obj
def add(place: Place, /, devices: tuple[str, ...], **fields: Any) -> None:
    """Add devices: pairs of r1z1-IP:PORT[RIP:PORT]/NAME_META and WEIGHT, or one device by options."""
    builder = place.load()
    try:
        for node in _to_add(devices, fields):
            _check_free(builder, node)
            added = builder.add(node)
            click.echo(f"Device {show(added)} with {added.weight} weight got id {added.id}")
    except (RingError, ValueError, msgspec.ValidationError) as error:
        fail(f"{error}\nThe on-disk ring builder is unchanged.")
    place.save(builder)


def _check_free(builder: Builder, node: Node) -> None:
    """:raises ValueError: when another device has that place."""
    for other in builder.known():
        if other.id != node.id and (other.ip, other.port, other.device) == (node.ip, node.port, node.device):
            raise ValueError(f"Device {other.id} already uses {other.ip}:{other.port}/{other.device}.")


def _to_add(devices: tuple[str, ...], fields: dict[str, Any]) -> Iterator[Node]:
    given = given_fields(fields)
    if devices:
        if given or len(devices) % 2:
            raise ValueError("Devices and weights must be given in pairs, or one device by options.")
        for text, heavy in zip(devices[::2], devices[1::2], strict=True):
            if not text.startswith("r"):
                click.echo(f"WARNING: No region specified for {text}. Defaulting to region 1.\n", err=True)
            yield parse_device(text, float(heavy))
        return
    for name, letter in REQUIRED.items():
        if name not in given:
            raise ValueError(f"Required argument {letter}/--{name} not specified.")
    check_device_name(given["device"])
    if given["weight"] < 0:
        raise ValueError(f"Invalid weight value: {given['weight']}")
    yield msgspec.convert({"id": -1, "replication_ip": given["ip"], "replication_port": given["port"], **given}, Node)


def _pairs(builder: Builder, words: tuple[str, ...], fields: dict[str, Any]) -> Iterator[tuple[list[Node], str]]:
    """Return the devices and the new value of each pair, or those that the options find and the one value."""
    if any(value is not None for value in fields.values()):
        if len(words) != 1:
            fail("With options that say which device, give its new value alone.")
        yield find_devices(builder, (), fields), words[0]
        return
    if not words or len(words) % 2:
        fail("Search values and new values must be given in pairs.")
    for text, value in zip(words[::2], words[1::2], strict=True):
        yield find_devices(builder, (text,), {}), value


def _setter(field: str, kind: type, text: str) -> click.Command:
    """Return the command that sets one field of devices."""

    @click.command(f"set_{field}", help=text)
    @click.argument("words", nargs=-1)
    @device_options(*SEARCH_OPTIONS)
    @yes_option
    @click.pass_obj
    def command(place: Place, /, words: tuple[str, ...], yes: bool, **fields: Any) -> None:
        builder = place.load()
        try:
            for nodes, value in _pairs(builder, words, fields):
                confirm(nodes, yes, f"update the {field} for", ABORTED)
                for node in nodes:
                    if (new := kind(value)) < 0:
                        fail(f"The {field} must be non-negative.")
                    click.echo(f"{show(builder.change(node.id, **{field: new}))} {field} set to {new}")
        except (RingError, ValueError) as error:
            fail(str(error))
        place.save(builder)

    return command


set_weight = _setter("weight", float, "Set weights: pairs of SEARCH and WEIGHT, or options and WEIGHT.")
set_region = _setter("region", int, "Set regions: pairs of SEARCH and REGION, or options and REGION.")
set_zone = _setter("zone", int, "Set zones: pairs of SEARCH and ZONE, or options and ZONE.")


@click.command("set_info")
@click.argument("words", nargs=-1)
@device_options(*SEARCH_OPTIONS, *CHANGE_OPTIONS)
@yes_option
@click.pass_obj
def set_info(place: Place, /, words: tuple[str, ...], yes: bool, **fields: Any) -> None:
    """Change addresses, names and meta: pairs of SEARCH and IP:PORT[RIP:PORT]/NAME_META (any part of it), or options."""
    builder = place.load()
    try:
        if words:
            if any(value is not None for value in fields.values()):
                fail("Say it either by values or by options.")
            for nodes, value in _pairs(builder, words, {}):
                _inform(builder, nodes, parse_change(value), yes)
        else:
            found = {name: value for name, value in fields.items() if not name.startswith("change_")}
            changes = {name: value for name, value in fields.items() if name.startswith("change_") and value is not None}
            if not changes:
                fail("Nothing is to be changed.")
            named = {name.removeprefix("change_"): value for name, value in changes.items()}
            _inform(builder, find_devices(builder, (), found), given_fields(named), yes)
    except ValueError as error:
        fail(str(error))
    place.save(builder)


def _inform(builder: Builder, nodes: list[Node], changes: dict[str, object], yes: bool) -> None:
    confirm(nodes, yes, "update the info for", ABORTED)
    if "device" in changes:
        check_device_name(str(changes["device"]))
    for node in nodes:
        new = msgspec.structs.replace(node, **changes)
        _check_free(builder, new)
        changed = builder.change(node.id, **changes)
        click.echo(f"Device {show(node)} is now {show(changed)}")


@click.command()
@click.argument("values", nargs=-1)
@device_options(*SEARCH_OPTIONS)
@yes_option
@click.pass_obj
def remove(place: Place, /, values: tuple[str, ...], yes: bool, **fields: Any) -> None:
    """Mark devices for removal at the next rebalance."""
    builder = place.load()
    nodes = find_devices(builder, values, fields)
    confirm(nodes, yes, "remove", "Aborting device removals")
    for node in nodes:
        builder.remove(node.id)
        click.echo(f"{show(builder.device(node.id))} marked for removal and will be removed next rebalance.")
    place.save(builder)


COMMANDS: tuple[Callable[..., Any], ...] = (add, set_weight, set_region, set_zone, set_info, remove)
