"""`pileus proxy-server`: the object store's API for a cluster of storage servers."""

import asyncio

import click

from pileus.cli.group import settings_of


@click.command("proxy-server")
@click.option("--rings", "object_rings_dir", metavar="DIRECTORY", help="Where the ring files are.")
@click.option("--listen", metavar="ADDRESS:PORT", help="Where the API is served (127.0.0.1:8000).")
@click.pass_context
def proxy_server(ctx: click.Context, object_rings_dir: str | None, listen: str | None) -> None:
    """Serve Swift and S3 at the root of one address, for the storage servers that the rings name.

    Tokens are those of the identity service that object_identity_url names, else of the cloud whose database the settings name;
    with object_tempauth_users the object store's own, too.

    \b
    pileus ring create account.builder 10 3 1 ...           make the rings
    pileus object-server --listen 10.0.0.1:6200 ...         on every storage node; container-server, account-server
    pileus proxy-server --rings /etc/pileus/rings --listen 0.0.0.0:8080
    """
    from pileus import proxy  # noqa: PLC0415  (help does not need the cloud)
    from pileus.kernel import logs  # noqa: PLC0415

    settings = settings_of(ctx, object_rings_dir=object_rings_dir, listen=listen)
    logs.configure(settings.log_level, None)
    try:
        asyncio.run(proxy.serve(settings))
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
