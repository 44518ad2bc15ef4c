"""`pileus ring FILE COMMAND ...`: makes rings, in the grammar of swift-ring-builder.

Exit status: 0 done, 1 nothing done or a warning, 2 an error.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import click
import msgspec

from pileus.kernel.clock import SystemClock
from pileus.object_store.places import Node
from pileus.object_store.storage.layout import Salt
from pileus.object_store.storage.ring.builder import Builder, load_builder
from pileus.object_store.storage.ring.mover import RingError
from pileus.object_store.storage.ring.report import print_devices, show_builder
from pileus.object_store.storage.ring.search import matching, parse_device, parse_search, show

WARNING, ERROR = 1, 2
FIELDS = ("region", "zone", "ip", "port", "replication_ip", "replication_port", "device", "meta")


@dataclass
class Place:
    """The builder file that a command works on."""

    path: str

    def load(self) -> Builder:
        """Read it, or end with an error."""
        if not os.path.exists(self.path):
            fail(f"Ring Builder file does not exist: {self.path}")
        try:
            return load_builder(self.path, SystemClock().now)
        except RingError as error:
            fail(str(error))

    def save(self, builder: Builder) -> None:
        """Write it."""
        builder.save(self.path)

    @property
    def ring_path(self) -> str:
        """Where the ring goes."""
        stem = self.path[: -len(".builder")] if self.path.endswith(".builder") else self.path
        return f"{stem}.ring.gz"


def fail(message: str) -> NoReturn:
    """End with an error."""
    click.echo(message)
    sys.exit(ERROR)


def _device_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for field in reversed(FIELDS):
        kind = int if field in {"region", "zone", "port", "replication_port"} else str
        command = click.option(f"--{field.replace('_', '-')}", type=kind, help=f"The device's {field.replace('_', ' ')}.")(
            command
        )
    return command


@click.group("ring", invoke_without_command=True, help="Make and change the rings of the object store.")
@click.argument("builder_file")
@click.pass_context
def ring(context: click.Context, builder_file: str) -> None:
    """Show a builder file, or do something with it."""
    context.obj = Place(builder_file)
    if context.invoked_subcommand is None:
        show_builder(context.obj.load(), context.obj.path, context.obj.ring_path)


@ring.command()
@click.pass_obj
def default(place: Place) -> None:
    """Show the ring and its devices."""
    show_builder(place.load(), place.path, place.ring_path)


@ring.command()
@click.argument("part_power", type=int)
@click.argument("replicas", type=float)
@click.argument("min_part_hours", type=int)
@click.option("--hash-prefix", default="", help="What is put before names when they are hashed. Never change it.")
@click.option("--hash-suffix", default="", help="What is put after names when they are hashed. Never change it.")
@click.pass_obj
def create(place: Place, part_power: int, replicas: float, min_part_hours: int, hash_prefix: str, hash_suffix: str) -> None:
    """Create a builder file: 2**PART_POWER partitions, so many REPLICAS, hours before a partition may move again."""
    if os.path.exists(place.path):
        fail(f"{place.path} already exists")
    try:
        builder = Builder(part_power, replicas, min_part_hours, SystemClock().now, Salt(hash_prefix, hash_suffix))
    except RingError as error:
        fail(str(error))
    place.save(builder)


@ring.command()
@click.argument("devices", nargs=-1)
@_device_options
@click.option("--weight", type=float, help="How much it is to hold, relative to the others.")
@click.pass_obj
def add(place: Place, /, devices: tuple[str, ...], weight: float | None, **fields: Any) -> None:
    """Add devices: pairs of r1z1-IP:PORT/NAME_META and WEIGHT, or one device by options."""
    builder = place.load()
    try:
        for node in _to_add(devices, weight, fields):
            added = builder.add(node)
            click.echo(f"Device {show(added)} with {added.weight} weight got id {added.id}")
    except (RingError, ValueError, msgspec.ValidationError) as error:
        fail(str(error))
    place.save(builder)


def _to_add(devices: tuple[str, ...], weight: float | None, fields: dict[str, Any]) -> Iterator[Node]:
    if devices:
        if len(devices) % 2:
            raise ValueError("Devices and weights must be given in pairs")
        for text, heavy in zip(devices[::2], devices[1::2], strict=True):
            yield parse_device(text, float(heavy))
        return
    missing = [name for name in ("zone", "ip", "port", "device") if fields[name] is None]
    if missing or weight is None:
        raise ValueError(f"Required argument {(missing or ['weight'])[0]} not specified.")
    given = {name: value for name, value in fields.items() if value is not None}
    yield msgspec.convert(
        {"id": 0, "replication_ip": given["ip"], "replication_port": given["port"], **given, "weight": weight}, Node
    )


def _found(builder: Builder, text: str | None, fields: dict[str, Any] | None = None) -> list[Node]:
    given = {name: value for name, value in (fields or {}).items() if value is not None}
    try:
        wanted = parse_search(text) if text else given
    except ValueError as error:
        fail(str(error))
    if not text and not given:
        fail("Nothing to search for")
    nodes = matching(builder.known(), wanted)
    if not nodes:
        fail(
            "No matching devices found"
            if text == "*"
            else f"Search value {text or given} matched 0 devices.\nThe on-disk ring is unchanged."
        )
    return nodes


@ring.command()
@click.argument("value", required=False)
@_device_options
@click.pass_obj
def search(place: Place, /, value: str | None, **fields: Any) -> None:
    """Show the devices that match."""
    builder = place.load()
    print_devices(builder, _found(builder, value, fields))


@ring.command("list_parts")
@click.argument("values", nargs=-1)
@_device_options
@click.pass_obj
def list_parts(place: Place, /, values: tuple[str, ...], **fields: Any) -> None:
    """Show the partitions that lie on matching devices, those with most replicas on them first."""
    builder = place.load()
    ids = {node.id for value in values or (None,) for node in _found(builder, value, fields)}
    if not builder.rows:
        fail(f'Specified builder file "{place.path}" is not rebalanced yet. Please rebalance first.')
    counts = {part: sum(part < len(row) and row[part] in ids for row in builder.rows) for part in range(builder.parts)}
    click.echo("Partition   Matches")
    for part, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count:
            click.echo(f"{part:9d}   {count:7d}")


@ring.command("set_weight")
@click.argument("pairs", nargs=-1)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def set_weight(place: Place, pairs: tuple[str, ...], yes: bool) -> None:
    """Set weights: pairs of SEARCH and WEIGHT."""
    builder = place.load()
    if not pairs or len(pairs) % 2:
        fail("Searches and weights must be given in pairs")
    for text, weight in zip(pairs[::2], pairs[1::2], strict=True):
        nodes = _found(builder, text)
        _confirm(nodes, yes, f"Are you sure you want to update the weight to {float(weight):.2f} for these {len(nodes)} devices?")
        for node in nodes:
            builder.change(node.id, weight=float(weight))
            click.echo(f"{show(node)} weight set to {float(weight)}")
    place.save(builder)


@ring.command("set_info")
@click.argument("pairs", nargs=-1)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def set_info(place: Place, pairs: tuple[str, ...], yes: bool) -> None:
    """Change addresses, names and meta: pairs of SEARCH and IP:PORT[RIP:PORT]/NAME_META."""
    builder = place.load()
    if not pairs or len(pairs) % 2:
        fail("Searches and values must be given in pairs")
    for text, value in zip(pairs[::2], pairs[1::2], strict=True):
        nodes = _found(builder, text)
        try:
            changes = parse_search(value if value.startswith(("-", ":", "/", "_", "R")) else f"-{value}")
        except ValueError as error:
            fail(str(error))
        _confirm(nodes, yes, f"Are you sure you want to update the info for these {len(nodes)} devices?")
        for node in nodes:
            changed = builder.change(node.id, **changes)
            click.echo(f"Device {show(node)} is now {show(changed)}")
    place.save(builder)


def _confirm(nodes: list[Node], yes: bool, question: str) -> None:
    if len(nodes) > 1 and not yes and not click.confirm(question):
        click.echo("Aborting device modifications")
        sys.exit(ERROR)


@ring.command()
@click.argument("values", nargs=-1)
@_device_options
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(place: Place, /, values: tuple[str, ...], yes: bool, **fields: Any) -> None:
    """Mark devices for removal at the next rebalance."""
    builder = place.load()
    for value in values or (None,):
        nodes = _found(builder, value, fields)
        _confirm(nodes, yes, f"Are you sure you want to remove these {len(nodes)} devices?")
        for node in nodes:
            builder.remove(node.id)
            click.echo(f"{show(node)} marked for removal and will be removed next rebalance.")
    place.save(builder)


@ring.command()
@click.option("-f", "--force", is_flag=True, help="Save even when little has changed.")
@click.option("-s", "--seed", type=int, help="A number that makes the outcome repeatable.")
@click.argument("seed_argument", type=int, required=False)
@click.pass_obj
def rebalance(place: Place, force: bool, seed: int | None, seed_argument: int | None) -> None:
    """Give partitions to devices by weight, moving as few as possible, and write the ring."""
    builder = place.load()
    before = builder.balance() if builder.rows else 999.99
    try:
        done = builder.rebalance(seed_argument if seed is None else seed)
        builder.validate()
    except RingError as error:
        fail(
            f"An error has occurred during ring validation. Common causes of failure are rings that are empty or do not have "
            f"enough devices to accommodate the replica count.\nOriginal exception message:\n {error}"
        )
    if not done.moved and not done.removed and not force:
        click.echo("No partitions could be reassigned.")
        click.echo(
            f"The time between rebalances must be at least min_part_hours: {builder.min_part_hours} hours"
            if before > 1
            else "There is no need to do so at this time"
        )
        sys.exit(WARNING)
    click.echo(
        f"Reassigned {done.moved} ({100.0 * done.moved / builder.parts:.2f}%) partitions. Balance is now {done.balance:.2f}.  "
        f"Dispersion is now {done.dispersion:.2f}"
    )
    place.save(builder)
    _write(place, builder)
    sys.exit(WARNING if done.balance > 5 and done.balance / 100 > builder.overload else 0)


def _write(place: Place, builder: Builder) -> None:
    builder.table().save(place.ring_path)
    backups = os.path.join(os.path.dirname(place.path) or ".", "backups")
    os.makedirs(backups, exist_ok=True)
    for path in (place.path, place.ring_path):
        if os.path.exists(path):
            shutil.copy2(path, os.path.join(backups, f"{int(SystemClock().now())}.{os.path.basename(path)}"))


@ring.command("write_ring")
@click.pass_obj
def write_ring(place: Place) -> None:
    """Write the ring file anew, without rebalancing."""
    builder = place.load()
    if not builder.rows:
        fail("Warning: Writing an empty ring")
    _write(place, builder)


@ring.command()
@click.pass_obj
def validate(place: Place) -> None:
    """Check the ring."""
    try:
        place.load().validate()
    except RingError as error:
        fail(str(error))


@ring.command()
@click.argument("search_filter", required=False)
@click.option("-v", "--verbose", is_flag=True, help="Show every tier, not only crowded ones.")
@click.pass_obj
def dispersion(place: Place, search_filter: str | None, verbose: bool) -> None:
    """Show where replicas of one partition stand closer together than they would have to."""
    builder = place.load()
    if not builder.rows:
        fail("The ring is not rebalanced yet")
    crowded = builder.crowded()
    click.echo(
        f"Dispersion is {builder.dispersion():.6f}, Balance is {builder.balance():.6f}, Overload is {builder.overload * 100:.2f}%"
    )
    click.echo(f"Required overload is {builder.required_overload() * 100:.6f}%")
    shown = {tier: count for tier, count in crowded.items() if verbose or count}
    for tier, count in sorted(shown.items(), key=str):
        name = f"r{tier[0]}" + (f"z{tier[1]}" if len(tier) > 1 else "") + (f"-{tier[2]}" if len(tier) > 2 else "")
        name += f"/{tier[3]}" if len(tier) > 3 else ""
        if not search_filter or name.startswith(search_filter):
            click.echo(f"{name:32s} {count}")
    sys.exit(WARNING if crowded else 0)


@ring.command("pretend_min_part_hours_passed")
@click.pass_obj
def pretend_min_part_hours_passed(place: Place) -> None:
    """Let every partition be moved at the next rebalance."""
    builder = place.load()
    builder.pretend_min_part_hours_passed()
    place.save(builder)


@ring.command("set_min_part_hours")
@click.argument("hours", type=int)
@click.pass_obj
def set_min_part_hours(place: Place, hours: int) -> None:
    """Set the hours before a partition may move again."""
    builder = place.load()
    builder.min_part_hours = hours
    place.save(builder)
    click.echo(f"The minimum number of hours before a partition can be reassigned is now set to {hours}")


@ring.command("set_replicas")
@click.argument("replicas", type=float)
@click.pass_obj
def set_replicas(place: Place, replicas: float) -> None:
    """Set the number of copies, which may be a fraction."""
    builder = place.load()
    try:
        builder.set_replicas(replicas)
    except RingError as error:
        fail(str(error))
    place.save(builder)
    click.echo(f"The replica count is now {replicas:.6f}.\nThe change will take effect after the next rebalance.")


@ring.command("set_overload")
@click.argument("overload")
@click.pass_obj
def set_overload(place: Place, overload: str) -> None:
    """Set by how much a device may be overfilled to keep replicas apart: 0.1 or 10%."""
    builder = place.load()
    value = float(overload[:-1]) / 100 if overload.endswith("%") else float(overload)
    if value < 0:
        fail("Overload must be non-negative.")
    if value > 1 and not overload.endswith("%"):
        click.echo(f"!?! Warning overload is greater than 100% !?! Did you mean {overload}%?", err=True)
    builder.overload, builder.changed = value, True
    place.save(builder)
    click.echo(
        f"The overload factor is now {value * 100:.2f}% ({value:.6f})\nThe change will take effect after the next rebalance."
    )
