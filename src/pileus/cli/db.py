"""`pileus db`: the database's schema."""

import click

from pileus import migrations
from pileus.cli.group import settings_of
from pileus.kernel.db import Database


@click.group()
def db() -> None:
    """Look at and upgrade the database's schema."""


@db.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Bring the schema up to date.  A database file is copied first; `pileus up` does the same."""
    database = Database(settings_of(ctx).database)
    backup = migrations.upgrade(database)
    click.echo(f"The schema is at {migrations.HEAD}." + (f" The old database is in {backup}." if backup else ""))


@db.command()
@click.pass_context
def revision(ctx: click.Context) -> None:
    """Print the revision of the schema, and the one that this version of Pileus has."""
    database = Database(settings_of(ctx).database)
    click.echo(f"{migrations.revision(database) or 'empty'} (newest: {migrations.HEAD})")
