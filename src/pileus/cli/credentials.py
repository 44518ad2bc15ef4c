"""`pileus openrc` and `pileus clouds-yaml`: how clients log in."""

import shlex
from pathlib import Path

import click
import yaml

from pileus import process
from pileus.cli.group import settings_of
from pileus.kernel.settings import Settings

PROJECT_USERS = {"admin": "admin", "demo": "demo"}


@click.command()
@click.argument("project", default="admin", type=click.Choice(sorted(PROJECT_USERS)))
@click.pass_context
def openrc(ctx: click.Context, project: str) -> None:
    """Print the environment of a client.

    \b
    eval "$(pileus openrc)"          as admin of the cloud
    eval "$(pileus openrc demo)"     as a user of the project demo
    """
    settings = settings_of(ctx)
    auth = _auth(settings, project)
    values = {f"OS_{key.upper()}": value for key, value in auth.items()}
    values |= {"OS_REGION_NAME": settings.region, "OS_IDENTITY_API_VERSION": "3"}
    for name, value in values.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command("clouds-yaml")
@click.pass_context
def clouds_yaml(ctx: click.Context) -> None:
    """Print a clouds.yaml with an entry for each of the projects admin and demo.

    \b
    pileus clouds-yaml > clouds.yaml; openstack --os-cloud pileus-demo server list
    """
    settings = settings_of(ctx)
    clouds = {
        f"{settings.name}-{project}": {"auth": _auth(settings, project), "region_name": settings.region}
        for project in PROJECT_USERS
    }
    click.echo(yaml.safe_dump({"clouds": clouds}, sort_keys=False), nl=False)


def _auth(settings: Settings, project: str) -> dict[str, str]:
    from pileus.identity.service.bootstrap import read_passwords  # noqa: PLC0415  (heavy, and help is quick)

    state_dir = Path(settings.state_dir)
    found = read_passwords(settings)
    if not found:
        raise click.ClickException(f"There is no cloud in {state_dir} yet. `pileus up --detach` makes one.")
    running = process.find(state_dir)
    base = running.url if running else f"http://{settings.listen}"
    return {
        "auth_url": f"{base}/identity",
        "username": PROJECT_USERS[project],
        "password": found[PROJECT_USERS[project]],
        "project_name": project,
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
