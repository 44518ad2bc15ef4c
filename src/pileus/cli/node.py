"""`pileus node` and `pileus join`: the hosts of a cloud of many."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import click

from pileus.cli.group import settings_of
from pileus.kernel.clock import SystemClock
from pileus.kernel.context import Context
from pileus.kernel.db import Database
from pileus.kernel.errors import NotFound
from pileus.kernel.settings import Settings

POLL_SECONDS = 1.0
WORDS = {"hypervisor": "compute"}  # what the setting `roles` says for what the bus says


@click.group()
def node() -> None:
    """The hosts of a cloud of many.  Run on a host of its control plane.

    \b
    pileus node token           print the line by which another machine joins
    pileus node list            who has joined, and who is there
    pileus node drain host2     move everything away from host2, which takes nothing more
    pileus node undrain host2   let it take servers again
    pileus node remove host2    host2 is part of the cloud no longer
    """


@node.command()
@click.option("--minutes", default=60, show_default=True, help="How long the token is good.")
@click.pass_context
def token(ctx: click.Context, minutes: int) -> None:
    """Print the line by which one other machine joins."""
    from pileus.nodes import service  # noqa: PLC0415

    settings = _settings(ctx)
    db = Database(settings.database)
    made = service.issue_token(db, SystemClock(), service.authority_of(db, settings), minutes * 60)
    click.echo(f"pileus join https://{settings.host_address}:{settings.join_port} --token {made}")


@node.command("list")
@click.pass_context
def list_(ctx: click.Context) -> None:
    """List the hosts that have joined, what they serve, and whether they are there now."""
    from pileus.agent.contracts import CONTRACTS  # noqa: PLC0415
    from pileus.kernel.bus_rabbit import WHO_SECONDS, RabbitBus  # noqa: PLC0415
    from pileus.nodes import service  # noqa: PLC0415

    settings = _settings(ctx)
    bus = RabbitBus(settings.bus_url, CONTRACTS)
    bus.start()
    time.sleep(WHO_SECONDS)
    try:
        served = {WORDS.get(role, role): {name.partition("@")[0] for name in bus.hosts(role)} for role in CONTRACTS}
        served["network"] -= {name for name in served["network"] if bus.facts(name).get("routes") == "no"}
    finally:
        bus.close()
    joined = {found.name: found for found in service.list_nodes(Database(settings.database))}
    click.echo(f"{'HOST':24} {'ADDRESS':16} {'STATE':8} {'JOINED':20} SERVES")
    for name in sorted(set(joined) | set().union(*served.values())):
        found = joined.get(name)
        serves = ", ".join(role for role, names in served.items() if name in names)
        state = "removed" if found and found.is_removed else "up" if serves else "down"
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found.joined_at)) if found else "-"
        click.echo(f"{name:24} {found.address if found else '-':16} {state:8} {when:20} {serves or '-'}")


@node.command()
@click.argument("name")
@click.pass_context
def drain(ctx: click.Context, name: str) -> None:
    """Move every server away from a host, which takes no more: while it runs where that can be, else off.

    Ends when nothing is left to be done, and names what could not leave.  Stopped and asked for again, it goes on.
    """
    from pileus.compute.service import draining  # noqa: PLC0415

    with _cloud(ctx) as caller:
        try:
            drained = draining.begin(caller, name)
        except NotFound as fault:
            raise click.ClickException(fault.message) from None
        said = ""
        while not (progress := draining.advance(caller, drained)).is_over:
            line = f"servers on {name}: {progress.here}; leaving: {progress.under_way}; cannot leave: {len(progress.left)}"
            if line != said:
                click.echo(said := line)
            time.sleep(POLL_SECONDS)
    for id, why in progress.left.items():
        click.echo(f"  {id}: {why}")
    if progress.left:
        raise click.ClickException(f"{len(progress.left)} servers could not leave {name}.")
    click.echo(f"{name} is empty. It takes nothing until: pileus node undrain {name}")


@node.command()
@click.argument("name")
@click.pass_context
def undrain(ctx: click.Context, name: str) -> None:
    """Let a host take servers again."""
    from pileus.compute.service import draining  # noqa: PLC0415

    with _cloud(ctx) as caller:
        try:
            draining.undo(caller, name)
        except NotFound as fault:
            raise click.ClickException(fault.message) from None
    click.echo(f"{name} takes servers again.")


@contextlib.contextmanager
def _cloud(ctx: click.Context) -> Iterator[Context]:
    """The cloud as its own caller; the work is done by its workers."""
    from pileus.agent.contracts import CONTRACTS  # noqa: PLC0415
    from pileus.compute.service import draining  # noqa: PLC0415
    from pileus.kernel.bus_rabbit import RabbitBus  # noqa: PLC0415
    from pileus.main import build_cloud  # noqa: PLC0415

    settings = _settings(ctx)
    bus, db = RabbitBus(settings.bus_url, CONTRACTS), Database(settings.database)
    bus.start()
    try:
        yield draining.operator(build_cloud(settings, db, SystemClock(), bus))
    finally:
        bus.close()
        db.dispose()


@node.command()
@click.argument("name")
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Let a host be part of the cloud no longer: its certificate counts no more.  What runs on it runs on until it is stopped."""
    from pileus.nodes import service  # noqa: PLC0415

    try:
        service.remove(Database(_settings(ctx).database), SystemClock(), name)
    except NotFound as fault:
        raise click.ClickException(fault.message) from None
    click.echo(f"Host {name} is removed. Stop its agent there: pileus down")


@click.command()
@click.argument("url")
@click.option("--token", "given", required=True, help="What `pileus node token` printed.")
@click.option("--address", required=True, help="This machine's address for the other hosts.")
@click.option("--state-dir", type=click.Path(), help="Where what belongs to this host is kept.")
@click.pass_context
def join(ctx: click.Context, url: str, given: str, address: str, state_dir: str | None) -> None:
    """Make this machine a host of a cloud that runs elsewhere.  Then start `pileus agent`.

    \b
    pileus join https://10.0.0.1:8770 --token SECRET.FINGERPRINT --address 10.0.0.2
    pileus agent
    """
    from pileus.nodes import joining  # noqa: PLC0415

    settings = settings_of(ctx, state_dir=state_dir)
    folder = Path(settings.state_dir)
    file = folder / "pileus.toml"
    if file.exists():
        raise click.ClickException(f"{file} is there already: this machine has joined a cloud, or has settings of its own.")
    try:
        handed = joining.knock(url, given, settings.host, folder)
    except joining.JoinError as error:
        raise click.ClickException(str(error)) from None
    lines = {**handed, "host_address": address, "host_name": settings.host}
    with open(file, "x", encoding="utf-8", opener=_private) as out:
        out.writelines(f"{key} = {_quoted(value)}\n" for key, value in lines.items())
    click.echo(f"{settings.host} has joined. Start it: pileus --state-dir {folder} agent")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _quoted(value: str) -> str:
    return json.dumps(value)


def _settings(ctx: click.Context) -> Settings:
    settings = settings_of(ctx)
    if not settings.bus_url:
        raise click.ClickException("A cloud in one process has one host. Set bus_url (RabbitMQ) and database_url for more.")
    return settings
