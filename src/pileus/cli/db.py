"""`pileus db`: the database's schema."""

from pathlib import Path

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
    """Bring the schema up to date while the cloud runs.  A copy is made first, in the state directory.

    Processes do the same when they start.  A server's copy is put into an empty database by `pileus db restore`; that of a
    file takes the file's place.
    """
    settings = settings_of(ctx)
    database = Database(settings.database)
    with database.alone("pileus_start"):
        copy = migrations.upgrade(database, Path(settings.state_dir))
    click.echo(f"The schema is at {migrations.HEAD}." + (f" The old database is in {copy}." if copy else ""))


@db.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_context
def restore(ctx: click.Context, file: Path) -> None:
    """Fill an empty database server with a copy that `pileus db upgrade` made, and bring it up to date."""
    from pileus.migrations.backup import BackupError  # noqa: PLC0415

    try:
        migrations.restore(Database(settings_of(ctx).database), file)
    except BackupError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"The database is what it was. The schema is at {migrations.HEAD}.")


@db.command()
@click.pass_context
def revision(ctx: click.Context) -> None:
    """Print the revision of the schema, and the one that this version of Pileus has."""
    database = Database(settings_of(ctx).database)
    click.echo(f"{migrations.revision(database) or 'empty'} (newest: {migrations.HEAD})")
