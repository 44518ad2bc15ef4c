"""`pileus api`, `pileus worker` and `pileus agent`: the parts of a cloud of many processes and hosts."""

import os
from collections.abc import Callable
from pathlib import Path

import click

from pileus.cli.group import settings_of
from pileus.kernel.settings import Settings


@click.command()
@click.option("--listen", metavar="ADDRESS:PORT", help="Where the APIs are served (127.0.0.1:8000).")
@click.pass_context
def api(ctx: click.Context, listen: str | None) -> None:
    """Serve the APIs alone.  As many as you like, behind a load balancer.

    \b
    export PILEUS_DATABASE_URL=postgresql+psycopg://pileus@db/pileus PILEUS_BUS_URL=amqp://pileus:SECRET@mq//
    pileus api --listen 0.0.0.0:8000
    """
    from pileus import daemon  # noqa: PLC0415  (help does not need the cloud)

    run_until_stopped(_settings(ctx, listen=listen), lambda settings: daemon.run(settings, parts=daemon.API))


@click.command()
@click.pass_context
def worker(ctx: click.Context) -> None:
    """Do the long work: build servers, move volumes, look after hosts.  As many as you like.

    \b
    export PILEUS_DATABASE_URL=postgresql+psycopg://pileus@db/pileus PILEUS_BUS_URL=amqp://pileus:SECRET@mq//
    pileus worker
    """
    from pileus import daemon  # noqa: PLC0415

    run_until_stopped(_settings(ctx), lambda settings: daemon.run(settings, parts=daemon.WORKER))


@click.command()
@click.option("--state-dir", type=click.Path(), help="Where what belongs to this host is kept.")
@click.pass_context
def agent(ctx: click.Context, state_dir: str | None) -> None:
    """Make this machine a host: serve its hypervisor, networks and volumes over the bus.  Needs no database.

    \b
    export PILEUS_BUS_URL=amqp://pileus:SECRET@mq//
    pileus agent
    pileus down                 stop it; guests run on
    """
    from pileus.agent import process  # noqa: PLC0415

    settings = settings_of(ctx, state_dir=state_dir)
    _require_bus(settings)
    run_until_stopped(settings, process.run)


def _settings(ctx: click.Context, **given: str | None) -> Settings:
    settings = settings_of(ctx, **given)
    _require_bus(settings)
    if settings.database.startswith("sqlite"):
        raise click.ClickException("Several processes need a database server: set database_url. `pileus up` needs neither.")
    return settings


def _require_bus(settings: Settings) -> None:
    if not settings.bus_url:
        raise click.ClickException("Several processes need a broker: set bus_url. `pileus up` runs a cloud in one process.")


def run_until_stopped(settings: Settings, run: Callable[[Settings], None]) -> None:
    """Run a process of the cloud in the foreground.  :raises click.ClickException: when it cannot start, and why."""
    from pileus import drivers, process  # noqa: PLC0415  (help does not need the cloud)
    from pileus.kernel import away, logs  # noqa: PLC0415

    logs.configure(settings.log_level, Path(os.environ["PILEUS_LOG"]) if os.environ.get("PILEUS_LOG") else None)
    try:
        run(settings)
    except (process.AlreadyRunning, drivers.HostUnusable, away.DatabaseAway, PermissionError, OSError) as error:
        raise click.ClickException(str(error)) from error
