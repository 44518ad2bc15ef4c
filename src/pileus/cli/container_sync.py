"""`pileus container-sync`: sends what changes in containers to their partners, beside a container server."""

import asyncio
import signal

import click

from pileus.cli.group import settings_of
from pileus.kernel.settings import Settings


@click.command("container-sync")
@click.option("--rings", "object_rings_dir", metavar="DIRECTORY", help="Where the ring files are.")
@click.option("--devices", "devices_dir", default="/srv/node", show_default=True, help="Where the devices are mounted.")
@click.option("--listen", "address", metavar="IP:PORT", required=True, help="That of the container server, as in the rings.")
@click.option("--realms", "object_sync_realms", metavar="FILE", help="Realms, their keys and clusters.")
@click.option("--once", is_flag=True, help="Make one pass and end.")
@click.pass_context
def container_sync(
    ctx: click.Context,
    object_rings_dir: str | None,
    devices_dir: str,
    address: str,
    object_sync_realms: str | None,
    once: bool,
) -> None:
    """Sync the containers of the devices that the rings give to an address.

    Every storage node with a container server runs one, and the proxies of both clusters know the same realms.
    """
    from pileus.kernel import logs  # noqa: PLC0415  (help does not need the storage)

    settings = settings_of(ctx, object_rings_dir=object_rings_dir, object_sync_realms=object_sync_realms)
    logs.configure(settings.log_level, None)
    try:
        asyncio.run(_run(settings, devices_dir, address, once))
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


async def _run(settings: Settings, devices_dir: str, address: str, once: bool) -> None:
    from pileus.object_store.storage.syncing import SyncSettings, sync_node  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host, _, port = address.rpartition(":")
    chosen = SyncSettings(
        settings.object_rings_dir, devices_dir, host.strip("[]"), int(port), settings.object_sync_realms,
        settings.object_sync_hosts, settings.object_encryption_secrets,
    )  # fmt: skip
    await sync_node(chosen, 0.0 if once else settings.object_sync_seconds, stop)
