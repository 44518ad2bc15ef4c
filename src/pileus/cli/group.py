"""The commands of `pileus`, each imported only when it is called."""

import importlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pileus import process
from pileus.kernel.settings import Settings, SettingsError, load

COMMANDS = {
    "up": "pileus.cli.up:up",
    "down": "pileus.cli.down:down",
    "status": "pileus.cli.status:status",
    "openrc": "pileus.cli.credentials:openrc",
    "clouds-yaml": "pileus.cli.credentials:clouds_yaml",
    "doctor": "pileus.cli.doctor:doctor",
    "api": "pileus.cli.parts:api",
    "worker": "pileus.cli.parts:worker",
    "agent": "pileus.cli.parts:agent",
    "node": "pileus.cli.node:node",
    "join": "pileus.cli.node:join",
    "settings": "pileus.cli.settings:settings",
    "db": "pileus.cli.db:db",
    "ring": "pileus.object_store.storage.ring.cli:ring",
    "proxy-server": "pileus.cli.proxy_server:proxy_server",
    "container-sync": "pileus.cli.container_sync:container_sync",
    "storage-server": "pileus.object_store.storage.cli:storage_server",
    "object-server": "pileus.object_store.storage.cli:object_server",
    "container-server": "pileus.object_store.storage.cli:container_server",
    "account-server": "pileus.object_store.storage.cli:account_server",
}


class _Lazy(click.Group):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), envvar="PILEUS_CONFIG", help="TOML file with settings.")
@click.option("--state-dir", type=click.Path(), envvar="PILEUS_STATE_DIR", help="Where everything that lasts is kept.")
@click.version_option(package_name="pileus")
@click.pass_context
def main(ctx: click.Context, config: Path | None, state_dir: str | None) -> None:
    """A whole OpenStack-compatible cloud in one program.

    \b
    pileus up --detach          start it
    eval "$(pileus openrc)"     be its admin
    openstack server list       use it with any client
    pileus down                 stop it; guests run on
    """
    ctx.obj = {"config": config, "state_dir": state_dir}


def settings_of(ctx: click.Context, **given: Any) -> Settings:
    """Return the settings as the files, the environment and the command line say.

    :raises click.ClickException: when they cannot be read.
    """
    given = {"state_dir": ctx.obj["state_dir"], **{k: v for k, v in given.items() if v is not None}}
    try:
        file = ctx.obj["config"] or Path(given["state_dir"] or Settings.state_dir) / "pileus.toml"
        found = load(file, os.environ, **given)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    name = process.name_of(Path(found.state_dir))
    if name in (None, found.name):
        return found
    if found.name != Settings.name:
        raise click.ClickException(f"{found.state_dir} is the state of the cloud {name}, not of {found.name}.")
    return replace(found, name=name)
