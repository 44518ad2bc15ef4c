"""A process of the cloud, from the settings to the last listening port: by default all of it, or some of its parts.

Start: lock the state directory, bring the schema up to date, build the drivers, write down what a new cloud starts with,
begin to work, serve.  Stop (SIGTERM, SIGINT): serve nothing more, let the steps that run finish, let go of the guests.

With a database server and a broker (settings database_url and bus_url) there may be many such processes; hosts without one have
an agent (pileus.agent).
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
from pileus.compute.service import guest_metadata
from pileus.identity.service import tokens
from pileus.kernel.away import DatabaseAway
from pileus.kernel.bus import Bus, LocalBus
from pileus.kernel.clock import SystemClock
from pileus.kernel.context import Cloud
from pileus.kernel.db import Database
from pileus.kernel.http import Service
from pileus.kernel.server import Api
from pileus.kernel.settings import Settings
from pileus.kernel.worker_pool import WorkerPool
from pileus.main import bootstrap, build_api, build_cloud, build_loops, build_worker, services
from pileus.network.drivers.linux.metadata import Handler

log = logging.getLogger("pileus")

STOP_SECONDS = 10.0
START_SECONDS, AGAIN_SECONDS = 60.0, 1.0  # how long a process that starts waits for its database, and how often it looks
BACKLOG = 1024
GC_THRESHOLDS = (20_000, 10, 20)


@dataclass(frozen=True)
class Parts:
    """Which parts of the cloud a process has: the APIs, those who work and look after things, and this machine as a host."""

    api: bool = True
    work: bool = True
    host: bool = True


ALL = Parts()
API = Parts(work=False, host=False)
WORKER = Parts(api=False, host=False)


@dataclass
class Running:
    """A started process; `closers` stop its parts, the last one first."""

    cloud: Cloud
    closers: contextlib.ExitStack


def start(settings: Settings, parts: Parts = ALL) -> Running:
    """Bring up everything but the APIs.

    :raises pileus.drivers.HostUnusable: when this machine lacks what the drivers need.
    :raises pileus.kernel.away.DatabaseAway: when the database does not answer.
    """
    with contextlib.ExitStack() as closers:
        db = Database(settings.database, settings.database_connections)
        closers.callback(db.dispose)
        with db.alone("pileus_start"):
            if copy := migrations.upgrade(db, Path(settings.state_dir)):
                log.warning("the schema was brought up to date; the old database is in %s", copy)
            hosts = drivers.build(settings) if parts.host else drivers.Hosts({})
            closers.callback(hosts.close)
            cloud = build_cloud(settings, db, SystemClock(), _bus(settings, db, hosts, closers))
            bootstrap(cloud)
        metadata = guest_metadata.make_handler(cloud)
        hosts.attach(metadata)
        if parts.work:
            _work(cloud, closers)
        if settings.bus_url:
            _take_part(cloud, parts, hosts, metadata, closers)
        kept = closers.pop_all()
    return Running(cloud, kept)


def start_patiently(settings: Settings, parts: Parts = ALL) -> Running:
    """Bring up everything but the APIs, also when the database is back only in a while.

    :raises pileus.kernel.away.DatabaseAway: when it is not back within START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return start(settings, parts)
        except DatabaseAway as error:
            if time.monotonic() >= deadline:
                raise
            log.warning("the start waits for the database: %s", getattr(error.__cause__, "orig", error))
            time.sleep(AGAIN_SECONDS)


def _bus(settings: Settings, db: Database, hosts: drivers.Hosts, closers: contextlib.ExitStack) -> Bus:
    if not settings.bus_url:
        return LocalBus(hosts.roles, hosts.facts(settings))
    from pileus import cluster  # noqa: PLC0415  (an embedded cloud needs neither a broker nor certificates)

    return cluster.open_bus(settings, db, hosts.roles, closers)


def _take_part(cloud: Cloud, parts: Parts, hosts: drivers.Hosts, metadata: Handler, closers: contextlib.ExitStack) -> None:
    """Be a part of a cloud of many processes."""
    from pileus import cluster  # noqa: PLC0415

    if parts.host:
        cluster.serve_host(cloud.settings, hosts.roles, closers)
    if parts.api and cloud.settings.join_port:
        cluster.let_join(cloud, closers)
    if parts.work:
        cluster.answer_agents(cloud, metadata, closers)


def _work(cloud: Cloud, closers: contextlib.ExitStack) -> None:
    settings = cloud.settings
    workers, loops = WorkerPool(cloud, build_worker(cloud), settings.worker_threads), build_loops(cloud)
    closers.callback(workers.stop, STOP_SECONDS)
    workers.start(drop_leases=not settings.bus_url)  # whoever is alone takes over what a killed process held
    closers.callback(loops.stop)
    loops.start()


def run(settings: Settings, on_ready: Callable[[], None] | None = None, parts: Parts = ALL) -> None:
    """Serve until a signal says stop.

    :raises process.AlreadyRunning: when a cloud with this state directory runs already.
    """
    state_dir = Path(settings.state_dir)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = process.Running(os.getpid(), f"http://{settings.listen}", settings.name, time.time())
    with contextlib.ExitStack() as held:
        if parts == ALL:
            held.enter_context(contextlib.closing(process.hold(state_dir, facts)))
        running = start_patiently(settings, parts)
        held.callback(running.closers.close)
        _event_loop(_serve(running.cloud, parts, on_ready))


def _event_loop(coroutine: Any) -> None:
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)


async def _serve(cloud: Cloud, parts: Parts, on_ready: Callable[[], None] | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    apis = _apis(cloud) if parts.api else {}
    servers = [_server(_with_aliases(api, cloud.settings), address) for address, api in apis.items()]
    _leave_alone_what_stays()
    tasks = [asyncio.create_task(server.serve()) for server in servers]
    log.info("serving at http://%s", cloud.settings.listen) if apis else log.info("working")
    if on_ready:
        on_ready()
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.stop()
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_SECONDS)
    for api in apis.values():
        api.close()
    for task in tasks:
        if task.done() and (error := task.exception()):
            raise error


def _with_aliases(api: Api, settings: Settings) -> Any:
    if not settings.object_cname_lookup:
        return api
    from pileus.object_store.api.cnames import with_cnames  # noqa: PLC0415  (50 ms that few clouds need)

    return with_cnames(api, settings)


def _apis(cloud: Cloud) -> dict[tuple[str, int], Api]:
    """Return what is served, by address and port."""
    apis = {_address(cloud.settings.listen): build_api(cloud, tokens.authenticate)}
    if cloud.settings.classic_ports:
        host = _address(cloud.settings.listen)[0]
        apis |= {(host, port): Api(cloud, found, tokens.authenticate, alone=True) for found, port in _classic()}
    if cloud.settings.s3_port:
        s3 = [service for service in services() if service.name == "s3"]
        apis[_address(cloud.settings.listen)[0], cloud.settings.s3_port] = Api(cloud, s3, tokens.authenticate, alone=True)
    return apis


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


def _server(api: Any, address: tuple[str, int]) -> Any:
    from granian.constants import Interfaces  # noqa: PLC0415
    from granian.server.embed import Server  # noqa: PLC0415

    quiet: Mapping[str, Any] = {"log_enabled": False, "log_access": False}
    return Server(api, address=address[0], port=address[1], interface=Interfaces.ASGI, backlog=BACKLOG, websockets=True, **quiet)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)
