"""`pileus ring FILE COMMAND ...`: makes rings, in the grammar of swift-ring-builder.

Exit status: 0 done, 1 nothing done or a warning, 2 an error.
"""

import os
import re
import sys
from datetime import timedelta
from typing import Any

import click

from pileus.kernel import ids
from pileus.kernel.clock import SystemClock
from pileus.object_store.storage.layout import Salt
from pileus.object_store.storage.ring.builder import Builder, Rebalanced, builder_of
from pileus.object_store.storage.ring.changes import COMMANDS
from pileus.object_store.storage.ring.mover import RingError
from pileus.object_store.storage.ring.place import (
    BUILDER,
    RING,
    SEARCH_OPTIONS,
    WARNING,
    Place,
    device_options,
    fail,
    find_devices,
)
from pileus.object_store.storage.ring.report import excess, print_found, print_spread, show_builder, tier_name
from pileus.object_store.storage.ring.table import Table, load_table

LINE = "-" * 79
SMALLEST_CHANGE = 1.0
BALANCE_TO_PUSH = 5


@click.group("ring", invoke_without_command=True, help="Make and change the rings of the object store.")
@click.argument("builder_file")
@click.pass_context
def ring(context: click.Context, builder_file: str) -> None:
    """Show a builder file, or do something with it."""
    path = builder_file.removesuffix(RING) + BUILDER if builder_file.endswith(RING) else builder_file
    context.obj = Place(path)
    if path != builder_file and context.invoked_subcommand not in {"version", "write_builder"}:
        click.echo(f"Note: using {path} instead of {builder_file} as builder file")
    if context.invoked_subcommand is None:
        show_builder(context.obj.load(), path, context.obj.ring_path)


for command in COMMANDS:
    ring.add_command(command)  # type: ignore[arg-type]


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
        salt = Salt(hash_prefix, hash_suffix)
        builder = Builder(part_power, replicas, min_part_hours, SystemClock().now, salt, id=ids.hex_id())
    except RingError as error:
        fail(str(error))
    place.save(builder)
    place.back_up()


@ring.command()
@click.argument("values", nargs=-1)
@device_options(*SEARCH_OPTIONS)
@click.pass_obj
def search(place: Place, /, values: tuple[str, ...], **fields: Any) -> None:
    """Show the devices that match."""
    builder = place.load()
    nodes = find_devices(builder, values, fields)
    if not nodes:
        fail("No matching devices found")
    print_found(builder, nodes)


@ring.command("list_parts")
@click.argument("values", nargs=-1)
@device_options(*SEARCH_OPTIONS)
@click.pass_obj
def list_parts(place: Place, /, values: tuple[str, ...], **fields: Any) -> None:
    """Show the partitions that lie on matching devices, those with most replicas on them first."""
    builder = _balanced(place)
    ids_found = {node.id for node in find_devices(builder, values, fields)}
    counts = {part: sum(part < len(row) and row[part] in ids_found for row in builder.rows) for part in range(builder.parts)}
    held = {part: count for part, count in counts.items() if count}
    if not held:
        fail("No matching devices found")
    click.echo("Partition   Matches")
    for part, count in sorted(held.items(), key=lambda item: (-item[1], item[0])):
        click.echo(f"{part:9d}   {count:7d}")


def _balanced(place: Place) -> Builder:
    builder = place.load()
    if not builder.rows:
        fail(f'Specified builder file "{place.path}" is not rebalanced yet. Please rebalance first.')
    return builder


@ring.command()
@click.option("-f", "--force", is_flag=True, help="Save even when little has changed.")
@click.option("-s", "--seed", type=int, help="A number that makes the outcome repeatable.")
@click.argument("seed_argument", type=int, required=False)
@click.pass_obj
def rebalance(place: Place, force: bool, seed: int | None, seed_argument: int | None) -> None:
    """Give partitions to devices by weight, moving as few as possible, and write the ring."""
    builder = place.load()
    before, spread_before = builder.balance(), builder.dispersion()
    changed, wait = builder.changed, builder.wait_seconds()
    try:
        done = builder.rebalance(seed_argument if seed is None else seed)
        builder.validate()
    except RingError as error:
        fail(
            f"{LINE}\nAn error has occurred during ring validation. Common\n"
            f"causes of failure are rings that are empty or do not\n"
            f"have enough devices to accommodate the replica count.\nOriginal exception message:\n {error}\n{LINE}"
        )
    if not (done.moved or done.removed or force):
        click.echo("No partitions could be reassigned.")
        click.echo(
            f"The time between rebalances must be at least min_part_hours: {builder.min_part_hours} hours "
            f"({timedelta(seconds=wait)} remaining)"
            if wait
            else "There is no need to do so at this time"
        )
        sys.exit(WARNING)
    improved = abs(before - done.balance) >= SMALLEST_CHANGE or abs(spread_before - done.dispersion) >= SMALLEST_CHANGE
    if not (changed or force or improved):
        click.echo("Cowardly refusing to save rebalance as it did not change at least 1%.")
        sys.exit(WARNING)
    click.echo(
        f"Reassigned {done.moved} ({100.0 * done.moved / builder.parts:.2f}%) partitions. Balance is now {done.balance:.2f}.  "
        f"Dispersion is now {done.dispersion:.2f}"
    )
    place.save(builder)
    place.write(builder)
    sys.exit(_advise(builder, done))


def _advise(builder: Builder, done: Rebalanced) -> int:
    """Say what is to be done about a ring that is not as it should be; return the exit status."""
    if done.dispersion > 0:
        click.echo(
            f"{LINE}\nNOTE: Dispersion of {done.dispersion:.06f} indicates some parts are not\n      optimally dispersed.\n\n"
            f"      You may want to adjust some device weights, increase\n"
            f"      the overload or review the dispersion report.\n{LINE}"
        )
        return WARNING
    if done.balance > BALANCE_TO_PUSH and done.balance / 100 > builder.overload:
        click.echo(
            f"{LINE}\nNOTE: Balance of {done.balance:.02f} indicates you should push this \n"
            f"      ring, wait at least {builder.min_part_hours} hours, and rebalance/repush.\n{LINE}"
        )
        return WARNING
    return 0


@ring.command("write_ring")
@click.pass_obj
def write_ring(place: Place) -> None:
    """Write the ring file anew, without rebalancing."""
    builder = place.load()
    if not builder.devices:
        fail("Unable to write empty ring.")
    if not builder.rows:
        fail('Unable to write a ring with no partition assignments; did you forget to run "rebalance"?')
    place.write(builder)


@ring.command("write_builder")
@click.argument("min_part_hours", type=int, required=False)
@click.pass_obj
def write_builder(place: Place, min_part_hours: int | None) -> None:
    """Make a builder file of a ring file when the builder file is lost; hours not given are 24."""
    if os.path.exists(place.path):
        fail(f"Cowardly refusing to overwrite existing Ring Builder file: {place.path}")
    if min_part_hours is None:
        click.echo("WARNING: default min_part_hours may not match the value in the lost builder.\n", err=True)
    place.save(builder_of(_ring_of(place), 24 if min_part_hours is None else min_part_hours, SystemClock().now))


@ring.command()
@click.pass_obj
def version(place: Place) -> None:
    """Tell the versions of the ring file: of its form, and of the builder that wrote it."""
    table = _ring_of(place)
    click.echo(f"{place.ring_path}: Serialization version: 1 (2-byte IDs), build version: {table.version}")


def _ring_of(place: Place) -> Table:
    try:
        return load_table(place.ring_path)
    except (OSError, ValueError, EOFError) as error:
        fail(str(error))


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
@click.option("-v", "--verbose", is_flag=True, help="Show all tiers, with how many partitions have how many replicas there.")
@click.option("--recalculate", is_flag=True, help="Taken for the sake of scripts: nothing is kept that would have to be.")
@click.pass_obj
def dispersion(place: Place, search_filter: str | None, verbose: bool, recalculate: bool) -> None:
    """Show where replicas of one partition stand closer together than they would have to.

    SEARCH_FILTER, a regular expression that the tier's name begins with, tells which tiers are looked at.
    """
    del recalculate
    builder = _balanced(place)
    graph, limits = builder.spread(), builder.limits()
    try:
        wanted = re.compile(search_filter or "")
    except re.error as error:
        fail(f"Invalid search filter: {error}")
    graph = {tier: counts for tier, counts in graph.items() if wanted.match(tier_name(builder, tier))}
    click.echo(
        f"Dispersion is {builder.dispersion():.6f}, Balance is {builder.balance():.6f}, Overload is {builder.overload * 100:.2f}%"
    )
    click.echo(f"Required overload is {builder.required_overload() * 100:.6f}%")
    beyond = {tier: excess(counts, limits.get(tier, 0)) for tier, counts in sorted(graph.items())}
    worst = max(beyond, key=lambda tier: beyond[tier], default=None)
    bad = worst is not None and beyond[worst] > 0
    if worst is not None and bad:
        click.echo(f"Worst tier is {beyond[worst]:.6f} ({tier_name(builder, worst)})")
    if verbose and graph:
        print_spread(builder, graph, limits)
    sys.exit(WARNING if bad else 0)


@ring.command("pretend_min_part_hours_passed")
@click.pass_obj
def pretend_min_part_hours_passed(place: Place) -> None:
    """Let every partition be moved at the next rebalance."""
    builder = place.load()
    builder.pretend_min_part_hours_passed()
    place.save(builder)


@ring.command("set_min_part_hours")
@click.argument("hours", type=click.IntRange(min=0))
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
    if replicas < 1:
        fail("Replica count must be at least 1.")
    builder.set_replicas(replicas)
    place.save(builder)
    click.echo(f"The replica count is now {replicas:.6f}.\nThe change will take effect after the next rebalance.")


@ring.command("set_overload")
@click.argument("overload")
@click.pass_obj
def set_overload(place: Place, overload: str) -> None:
    """Set by how much a device may be overfilled to keep replicas apart: 0.1 or 10%."""
    builder = place.load()
    try:
        value = float(overload.rstrip("%")) * (0.01 if overload.endswith("%") else 1)
    except ValueError:
        fail(f"{overload!r} is not a valid number.")
    if value < 0:
        fail("Overload must be non-negative.")
    doubtful = value > 1 and not overload.endswith("%")
    if doubtful:
        click.echo("!?! Warning overload is greater than 100% !?!")
    builder.set_overload(value)
    click.echo(
        f"The overload factor is now {value * 100:.2f}% ({value:.6f})\nThe change will take effect after the next rebalance."
    )
    place.save(builder)
    sys.exit(WARNING if doubtful else 0)
