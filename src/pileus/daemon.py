"""The embedded cloud: everything in one process, from the settings to the last listening port.

Start: lock the state directory, bring the schema up to date, build the drivers, write down what a new cloud starts with,
begin to work, serve.  Stop (SIGTERM, SIGINT): serve nothing more, let the steps that run finish, let go of the guests.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus import drivers, migrations, process
from pileus.identity.service import tokens
from pileus.kernel.bus import LocalBus
from pileus.kernel.clock import SystemClock
from pileus.kernel.context import Cloud
from pileus.kernel.db import Database
from pileus.kernel.http import Service
from pileus.kernel.loops import LoopRunner
from pileus.kernel.server import Api
from pileus.kernel.settings import Settings
from pileus.kernel.tasks import WorkerPool
from pileus.main import bootstrap, build_api, build_cloud, build_loops, build_worker, services

log = logging.getLogger("pileus")

STOP_SECONDS = 10.0
BACKLOG = 1024
GC_THRESHOLDS = (20_000, 10, 20)


@dataclass
class Running:
    """The parts of a started cloud that want to be stopped."""

    cloud: Cloud
    hosts: drivers.Hosts
    workers: WorkerPool
    loops: LoopRunner


def start(settings: Settings) -> Running:
    """Bring up everything but the APIs.

    :raises pileus.drivers.HostUnusable: when this machine lacks what the drivers need.
    """
    db = Database(settings.database)
    migrations.upgrade(db)
    hosts = drivers.build(settings)
    cloud = build_cloud(settings, db, SystemClock(), LocalBus(hosts.roles))
    bootstrap(cloud)
    hosts.attach(cloud)
    running = Running(cloud, hosts, WorkerPool(cloud, build_worker(cloud), settings.worker_threads), build_loops(cloud))
    running.workers.start(drop_leases=True)
    running.loops.start()
    return running


def stop(running: Running) -> None:
    """Stop working; guests run on."""
    running.loops.stop()
    running.workers.stop(STOP_SECONDS)
    running.hosts.close()
    running.cloud.db.dispose()


def run(settings: Settings, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until a signal says stop.

    :raises process.AlreadyRunning: when a cloud with this state directory runs already.
    """
    state_dir = Path(settings.state_dir)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = process.Running(os.getpid(), f"http://{settings.listen}", settings.name, time.time())
    with contextlib.closing(process.hold(state_dir, facts)):
        running = start(settings)
        try:
            _event_loop(_serve(running, on_ready))
        finally:
            stop(running)


def _event_loop(coroutine: Any) -> None:
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)


async def _serve(running: Running, on_ready: Callable[[], None] | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    cloud = running.cloud
    apis = {_address(cloud.settings.listen): build_api(cloud, tokens.authenticate)}
    if cloud.settings.classic_ports:
        host = _address(cloud.settings.listen)[0]
        apis |= {(host, port): Api(cloud, found, tokens.authenticate, alone=True) for found, port in _classic()}
    if cloud.settings.s3_port:
        s3 = [service for service in services() if service.name == "s3"]
        apis[_address(cloud.settings.listen)[0], cloud.settings.s3_port] = Api(cloud, s3, tokens.authenticate, alone=True)
    servers = [_server(api, address) for address, api in apis.items()]
    _leave_alone_what_stays()
    tasks = [asyncio.create_task(server.serve()) for server in servers]
    log.info("serving at http://%s", cloud.settings.listen)
    if on_ready:
        on_ready()
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.stop()
    await asyncio.wait(tasks, timeout=STOP_SECONDS)
    for api in apis.values():
        api.close()
    for task in tasks:
        if task.done() and (error := task.exception()):
            raise error


def _leave_alone_what_stays() -> None:
    """Let the garbage collector pass over all that was made until now, and look for cycles less often: answers have none.

    A list of 1,000 things costs a third less.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _classic() -> list[tuple[list[Service], int]]:
    """Return each well-known port with the service that is served there, and its guests."""
    found = services()
    return [
        ([service, *(guest for guest in found if guest.guest_of == service.name)], port)
        for service in found
        for port in service.classic_ports
    ]


def _server(api: Api, address: tuple[str, int]) -> Any:
    from granian.constants import Interfaces  # noqa: PLC0415
    from granian.server.embed import Server  # noqa: PLC0415

    quiet: Mapping[str, Any] = {"log_enabled": False, "log_access": False}
    return Server(api, address=address[0], port=address[1], interface=Interfaces.ASGI, backlog=BACKLOG, websockets=True, **quiet)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)
