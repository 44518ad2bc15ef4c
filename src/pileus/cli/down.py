"""`pileus down`: stop the cloud."""

import shutil
from pathlib import Path

import click

from pileus import process
from pileus.cli.group import settings_of


@click.command()
@click.option("--purge", is_flag=True, help="Also destroy every guest and network, and delete all state.")
@click.option("--yes", is_flag=True, help="Do not ask before a purge.")
@click.pass_context
def down(ctx: click.Context, purge: bool, yes: bool) -> None:
    """Stop the cloud.  Guests run on, and the next `pileus up` finds them again.

    \b
    pileus down                 stop; keep everything
    pileus down --purge --yes   leave no trace on the machine
    """
    settings = settings_of(ctx)
    state_dir = Path(settings.state_dir)
    if purge and not yes:
        click.confirm(f"Destroy every guest and delete {state_dir}?", abort=True)
    stopped = process.stop(state_dir)
    click.echo("The cloud has stopped." if stopped else "No cloud runs here.")
    if not purge:
        return
    if not (state_dir / "process.json").exists():
        click.echo(f"There is no state in {state_dir}.")
        return
    from pileus import drivers  # noqa: PLC0415  (only a purge needs them)

    drivers.purge(settings)
    shutil.rmtree(state_dir)
    click.echo(f"Guests, networks and {state_dir} are gone.")
