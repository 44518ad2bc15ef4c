"""Prints rings, devices and dispersion, in the columns of swift-ring-builder."""

import math
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta

import click

from pileus.object_store.places import Node
from pileus.object_store.storage.ring.builder import Builder
from pileus.object_store.storage.ring.plan import Tier
from pileus.object_store.storage.ring.spread import Graph
from pileus.object_store.storage.ring.table import load_table

NAME_WIDTH, COUNT_WIDTH = 30, 5


def show_builder(builder: Builder, path: str, ring_path: str) -> None:
    """Print the ring and its devices."""
    nodes = builder.known()
    regions, zones = {node.region for node in nodes}, {(node.region, node.zone) for node in nodes}
    click.echo(f"{path}, build version {builder.version}, id {builder.id or '(not assigned)'}")
    click.echo(
        f"{builder.parts} partitions, {builder.replicas:.6f} replicas, {len(regions)} regions, {len(zones)} zones, "
        f"{len(nodes)} devices, 2-byte IDs, {builder.balance():.2f} balance, {builder.dispersion():.2f} dispersion"
    )
    click.echo(
        f"The minimum number of hours before a partition can be reassigned is {builder.min_part_hours} "
        f"({timedelta(seconds=builder.wait_seconds())} remaining)"
    )
    click.echo(f"The overload factor is {builder.overload * 100:.2f}% ({builder.overload:.6f})")
    click.echo(_ring_state(builder, ring_path))
    print_devices(builder, sorted(nodes, key=lambda node: (node.region, node.zone, node.ip, node.device)))
    if not nodes:
        click.echo("There are no devices in this ring, or all devices have been deleted")


def _ring_state(builder: Builder, ring_path: str) -> str:
    if not os.path.exists(ring_path):
        return f"Ring file {ring_path} not found, probably it hasn't been written yet"
    try:
        table = load_table(ring_path)
    except (OSError, ValueError, EOFError) as error:
        return f"Ring file {ring_path} is invalid: {error!r}"
    return f"Ring file {ring_path} is {'up-to-date' if table == builder.table() else 'obsolete'}"


def print_devices(builder: Builder, nodes: Sequence[Node]) -> None:
    """Print a table of devices."""
    held, balances = builder.held(), builder.balances()
    rows = [
        (node, _ip(node.ip), str(node.port), _ip(node.replication_ip or node.ip), str(node.replication_port or node.port))
        for node in nodes
    ]
    ip = _width(10, [node.ip for node in nodes])
    port = max([4, *(len(row[2]) for row in rows)])
    other_ip = _width(14, [node.replication_ip or node.ip for node in nodes])
    other_port = max([4, *(len(row[4]) for row in rows)])
    weight = max([6, *(len(f"{row[0].weight:6.02f}") for row in rows)])
    click.echo(
        f"Devices:{'id':>5} {'region':>6} {'zone':>4} {'ip address':>{ip}}:{'port':<{port}} {'replication ip':>{other_ip}}:"
        f"{'port':<{other_port}} {'name':>5} {'weight':>{weight}} {'partitions':>10} {'balance':>7} {'flags':>5} meta"
    )
    for node, own, own_port, replication, replication_port in rows:
        click.echo(
            f"{node.id:13d} {node.region:6d} {node.zone:4d} {own:>{ip}}:{own_port:<{port}} {replication:>{other_ip}}:"
            f"{replication_port:<{other_port}} {node.device:>5s} {node.weight:{weight}.02f} {held[node.id]:10d} "
            f"{balances[node.id]:7.02f} {'DEL' if node.id in builder.removed else '':>5s} {node.meta}"
        )


def _width(least: int, addresses: Sequence[str]) -> int:
    """Return the width of a column of addresses: brackets of IPv6 get room of their own."""
    return max([least, *map(len, addresses)]) + (2 if any(":" in address for address in addresses) else 0)


def _ip(text: str) -> str:
    return f"[{text}]" if ":" in text else text


def print_found(builder: Builder, nodes: Sequence[Node]) -> None:
    """Print the devices that a search found."""
    held, balances = builder.held(), builder.balances()
    click.echo(
        "Devices:    id  region  zone      ip address  port  replication ip  replication port      name weight partitions "
        "balance meta"
    )
    for node in nodes:
        click.echo(
            f"         {node.id:5d} {node.region:7d} {node.zone:5d} {node.ip:>15s} {node.port:5d} "
            f"{node.replication_ip or node.ip:>15s} {node.replication_port or node.port:17d} {node.device:>9s} "
            f"{node.weight:6.02f} {held[node.id]:10d} {balances[node.id]:7.02f} {node.meta}"
        )


def tier_name(builder: Builder, tier: Tier) -> str:
    """Return a tier's name: r1, r1z2, r1z2-10.0.0.1 or r1z2-10.0.0.1/sda."""
    if len(tier) == 4:
        node = builder.devices[int(tier[3])]
        return f"r{tier[0]}z{tier[1]}-{tier[2]}/{node.device if node else f'IDd{tier[3]}'}"
    return f"r{tier[0]}" + (f"z{tier[1]}" if len(tier) > 1 else "") + (f"-{tier[2]}" if len(tier) > 2 else "")


def excess(counts: Sequence[int], limit: int) -> float:
    """Return the per cent of a tier's replicas that are beyond what a partition should have there."""
    placed = sum(replicas * parts for replicas, parts in enumerate(counts))
    beyond = sum(parts * max(replicas - limit, 0) for replicas, parts in enumerate(counts))
    return 100.0 * beyond / placed if placed else 0.0


def print_spread(builder: Builder, graph: Graph, limits: Mapping[Tier, int]) -> None:
    """Print how many partitions have how many replicas in each tier."""
    names = {tier: tier_name(builder, tier) for tier in graph}
    wide = max([NAME_WIDTH, *map(len, names.values())])
    count = max(len(str(builder.parts)), COUNT_WIDTH)
    columns = range(math.ceil(builder.replicas + 1))
    head = f"{'Tier':<{wide}} {'Parts':>{count}} {'%':>6} {'Max':>6} " + " ".join(f"{number:>{count}}" for number in columns)
    click.echo("\n".join(("-" * len(head), head, "-" * len(head))))
    for tier, counts in sorted(graph.items()):
        placed, limit = sum(replicas * parts for replicas, parts in enumerate(counts)), limits.get(tier, 0)
        rest = " ".join(f"{parts:>{count}}" for parts in counts)
        click.echo(f"{names[tier]:<{wide}} {placed:>{count}} {excess(counts, limit):6.02f} {limit:6d} {rest}")
