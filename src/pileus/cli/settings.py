"""`pileus settings`: every setting, its value now, and what it means."""

from dataclasses import fields

import click

from pileus.cli.group import settings_of
from pileus.kernel.settings import shown


@click.command()
@click.pass_context
def settings(ctx: click.Context) -> None:
    """List every setting with its value and meaning; passwords and other secrets are shown as ***.

    A setting comes from STATE_DIR/pileus.toml or from the environment, as PILEUS_ and its name in capitals:

    \b
    PILEUS_LISTEN=0.0.0.0:8000 pileus up
    """
    values = settings_of(ctx)
    for field in fields(values):
        unit = f" [{field.metadata['unit']}]" if field.metadata["unit"] else ""
        click.echo(f"{field.name} = {shown(values, field.name)!r}{unit}\n    {field.metadata['help']}")
