"""`pileus object-server`, `container-server`, `account-server` and `storage-server` (all three in one process)."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import click

from pileus.kernel.clock import SystemClock
from pileus.object_store.storage.daemons.sharder import SHARD_THRESHOLD
from pileus.object_store.storage.node import NodeSettings, run_node
from pileus.object_store.storage.server import KINDS


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--rings", "rings_dir", default="/etc/pileus/rings", show_default=True, help="Where the ring files are."),
        click.option("--devices", "devices_dir", default="/srv/node", show_default=True, help="Where the devices are mounted."),
        click.option("--listen", required=True, help="IP:PORT, as in the rings."),
        click.option("--interval-seconds", default=30.0, show_default=True, help="Between passes of replicators and updaters."),
        click.option("--audit-interval-seconds", default=3600.0, show_default=True, help="Between passes of auditors."),
        click.option(
            "--shard-threshold", default=SHARD_THRESHOLD, show_default=True, help="Names in a container beyond which it is split."
        ),
        click.option("--no-daemons", is_flag=True, help="Only serve."),
    ):
        command = option(command)
    return command


def _server(name: str, kinds: tuple[str, ...], text: str) -> click.Command:
    @click.command(name, help=text)
    @_options
    def serve(listen: str, no_daemons: bool, **rest: Any) -> None:
        host, _, port = listen.rpartition(":")
        settings = NodeSettings(host=host.strip("[]"), port=int(port), kinds=kinds, daemons=not no_daemons, **rest)
        asyncio.run(_run(settings))

    return serve


async def _run(settings: NodeSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_node(settings, SystemClock().now, stop)


object_server = _server("object-server", ("objects",), "Serve the objects of the devices that the rings give to an address.")
container_server = _server(
    "container-server", ("containers",), "Serve the containers of the devices that the rings give to an address."
)
account_server = _server("account-server", ("accounts",), "Serve the accounts of the devices that the rings give to an address.")
storage_server = _server("storage-server", KINDS, "Serve objects, containers and accounts of an address in one process.")

if __name__ == "__main__":
    storage_server()
