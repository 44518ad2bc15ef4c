"""The builder file that a command works on, how a command finds devices, and how it ends."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from pileus.kernel.clock import SystemClock
from pileus.object_store.places import Node
from pileus.object_store.storage.ring.builder import Builder, load_builder
from pileus.object_store.storage.ring.mover import RingError
from pileus.object_store.storage.ring.search import matching, normal_address, parse_search, show

WARNING, ERROR = 1, 2
BUILDER, RING = ".builder", ".ring.gz"
SEARCH_OPTIONS: tuple[tuple[str, str, type], ...] = (
    ("u", "id", int),
    ("r", "region", int),
    ("z", "zone", int),
    ("i", "ip", str),
    ("p", "port", int),
    ("j", "replication_ip", str),
    ("q", "replication_port", int),
    ("d", "device", str),
    ("w", "weight", float),
    ("m", "meta", str),
)
CHANGE_OPTIONS: tuple[tuple[str, str, type], ...] = (
    ("I", "change_ip", str),
    ("P", "change_port", int),
    ("J", "change_replication_ip", str),
    ("Q", "change_replication_port", int),
    ("D", "change_device", str),
    ("M", "change_meta", str),
)


def fail(message: str) -> NoReturn:
    """End with an error."""
    click.echo(message)
    sys.exit(ERROR)


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
            fail(f"Problem occurred while reading builder file: {error}")

    def save(self, builder: Builder) -> None:
        """Write it."""
        builder.save(self.path)

    def write(self, builder: Builder) -> None:
        """Write the ring, and keep copies of it and of the builder file in `backups` beside them."""
        builder.table().save(self.ring_path)
        self.back_up()

    def back_up(self) -> None:
        """Copy what is there into `backups`, with the time in front of the name."""
        backups = os.path.join(os.path.dirname(self.path) or ".", "backups")
        os.makedirs(backups, exist_ok=True)
        for path in (self.path, self.ring_path):
            if os.path.exists(path):
                shutil.copy2(path, os.path.join(backups, f"{int(SystemClock().now())}.{os.path.basename(path)}"))

    @property
    def ring_path(self) -> str:
        """Where the ring goes."""
        return f"{self.path.removesuffix(BUILDER)}{RING}"


def device_options(*which: tuple[str, str, type]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command the options of a device, each as a keyword."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for letter, field, kind in reversed(which):
            words = field.replace("_", " ")
            text = f"The new {words.removeprefix('change ')}." if field.startswith("change_") else f"The device's {words}."
            command = click.option(f"-{letter}", f"--{field.replace('_', '-')}", field, type=kind, help=text)(command)
        return command

    return decorate


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option --yes."""
    return click.option("-y", "--yes", is_flag=True, help="Assume a yes response to all questions.")(command)


def given_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, addresses in their normal form.

    :raises ValueError: when an address is none.
    """
    found = {name: value for name, value in fields.items() if value is not None}
    return {name: normal_address(value) if name.endswith("ip") else value for name, value in found.items()}


def find_devices(builder: Builder, values: tuple[str, ...], fields: dict[str, Any]) -> list[Node]:
    """Return the devices that match any of the values, or all of the options; it may be none."""
    try:
        wanted = given_fields(fields)
        if bool(values) == bool(wanted):
            fail("Say what to search for either by a search value or by options.")
        searches = [parse_search(value) for value in values] or [wanted]
    except ValueError as error:
        fail(str(error))
    found = {node.id: node for search in searches for node in matching(builder.known(), search)}
    return list(found.values())


def confirm(nodes: list[Node], yes: bool, doing: str, aborting: str) -> None:
    """Ask before more than one device is changed; end when there is none or the answer is no."""
    if not nodes:
        fail("Search value matched 0 devices.\nThe on-disk ring builder is unchanged.")
    if len(nodes) == 1:
        return
    click.echo("Matched more than one device:")
    for node in nodes:
        click.echo(f"    {show(node)}")
    if yes:
        return
    try:
        agreed = input(f"Are you sure you want to {doing} these {len(nodes)} devices? (y/N) ") == "y"
    except (EOFError, KeyboardInterrupt):
        agreed = False
    if not agreed:
        fail(aborting)
