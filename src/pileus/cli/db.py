"""`pileus db`: the database's schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pileus import migrations
from pileus.cli.group import settings_of
from pileus.kernel.away import DatabaseAway
from pileus.kernel.db import Database
from pileus.kernel.settings import Settings


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
    with _opened(settings, make=True) as database, database.alone("pileus_start"):
        copy = migrations.upgrade(database, Path(settings.state_dir))
    click.echo(f"The schema is at {migrations.HEAD}." + (f" The old database is in {copy}." if copy else ""))


@db.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_context
def restore(ctx: click.Context, file: Path) -> None:
    """Fill an empty database server with a copy that `pileus db upgrade` made, and bring it up to date."""
    from pileus.migrations.backup import BackupError  # noqa: PLC0415

    try:
        with _opened(settings_of(ctx), make=True) as database:
            migrations.restore(database, file)
    except BackupError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"The database is what it was. The schema is at {migrations.HEAD}.")


@db.command()
@click.pass_context
def revision(ctx: click.Context) -> None:
    """Print the revision of the schema, and the one that this version of Pileus has."""
    with _opened(settings_of(ctx)) as database:
        found = migrations.revision(database)
    click.echo(f"{found or 'empty'} (newest: {migrations.HEAD})")


@contextmanager
def _opened(settings: Settings, make: bool = False) -> Iterator[Database]:
    """Yield the database of the settings.

    :param make: whether the state directory is made where there is none.
    :raises click.ClickException: when the database does not answer, or there is no file of it.
    """
    state_dir = Path(settings.state_dir)
    database = Database(settings.database, settings.database_connections)
    try:
        if make:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif database.is_sqlite and not Path(database.engine.url.database or "").exists():
            raise click.ClickException(f"There is no database in {state_dir}. `pileus up` or `pileus db upgrade` makes one.")
        yield database
    except OSError as error:
        raise click.ClickException(f"{state_dir} cannot be used: {error.strerror}.") from error
    except DatabaseAway as error:
        raise click.ClickException(f"The database does not answer: {getattr(error.__cause__, 'orig', error)}") from error
    finally:
        database.dispose()
