"""Prints rings and devices."""

import os

import click

from pileus.object_store.places import Node
from pileus.object_store.storage.ring.builder import Builder


def show_builder(builder: Builder, path: str, ring_path: str) -> None:
    """Print the ring and its devices."""
    nodes = builder.known()
    regions, zones = {node.region for node in nodes}, {(node.region, node.zone) for node in nodes}
    click.echo(f"{path}, build version {builder.version}")
    click.echo(
        f"{builder.parts} partitions, {builder.replicas:.6f} replicas, {len(regions)} regions, {len(zones)} zones, "
        f"{len(nodes)} devices, {builder.balance() if builder.rows else 0:.2f} balance, {builder.dispersion():.2f} dispersion"
    )
    click.echo(f"The minimum number of hours before a partition can be reassigned is {builder.min_part_hours}")
    click.echo(f"The overload factor is {builder.overload * 100:.2f}% ({builder.overload:.6f})")
    state = "is up-to-date" if os.path.exists(ring_path) and not builder.changed else "is obsolete"
    click.echo(f"Ring file {ring_path} {state if os.path.exists(ring_path) else 'not found'}")
    print_devices(builder, nodes)


def print_devices(builder: Builder, nodes: list[Node]) -> None:
    held, wanted = builder.held(), builder.wanted()
    click.echo("Devices:   id region zone ip address:port replication ip:port  name weight partitions balance flags meta")
    for node in nodes:
        share = wanted.get(node.id, 0)
        balance = 100.0 * held[node.id] / share - 100.0 if share else (999.99 if held[node.id] else 0.0)
        flags = "DEL" if node.id in builder.removed else ""
        click.echo(
            f"         {node.id:4d} {node.region:6d} {node.zone:4d} {node.ip}:{node.port} "
            f"{node.replication_ip or node.ip}:{node.replication_port or node.port} {node.device:>5s} {node.weight:6.02f} "
            f"{held[node.id]:10d} {balance:7.02f} {flags:>5s} {node.meta}"
        )
