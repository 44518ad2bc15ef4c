"""The proxy of the object store as a process of its own: Swift and S3 at the root of one address, nothing else of the cloud.

Tokens are those of the cloud whose database the settings name (every proxy validates them itself), those of an identity service
elsewhere (asked over HTTP), or tempauth's.  There may be any number of proxies: all they know lies in the rings, the database and
the storage nodes.
"""

import asyncio
import logging
import signal
from pathlib import Path

from pileus import migrations
from pileus.identity.service import tokens
from pileus.kernel.bus import LocalBus
from pileus.kernel.clock import SystemClock
from pileus.kernel.context import Cloud
from pileus.kernel.db import Database
from pileus.kernel.server import Api
from pileus.kernel.settings import Settings
from pileus.main import build_cloud, services
from pileus.object_store.api.cnames import with_cnames
from pileus.object_store.keystone import IdentityElsewhere, ServiceUser
from pileus.object_store.state import ObjectStore
from pileus.object_store.storage.serve import serving

log = logging.getLogger("pileus")

SERVED = ("object-store", "s3")


def open_cloud(settings: Settings) -> Cloud:
    """Return the cloud whose tokens are good here, its database at the newest schema."""
    Path(settings.state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.database)
    migrations.upgrade(database)
    return build_cloud(settings, database, SystemClock(), LocalBus({}))


def make_api(cloud: Cloud) -> Api:
    """Return what the proxy serves: Swift and S3; with identity elsewhere Swift alone, for S3's keys lie in the database.

    :raises ValueError: when the setting object_identity_url is no URL.
    """
    found, settings = {service.name: service for service in services()}, cloud.settings
    if not settings.object_identity_url:
        return Api(cloud, [found[name] for name in SERVED], tokens.authenticate, alone=True)
    user = ServiceUser(settings.object_identity_user, settings.object_identity_password, settings.object_identity_project)
    elsewhere = IdentityElsewhere(settings.object_identity_url, user, settings.object_token_cache_seconds)
    cloud.part(ObjectStore).identity = elsewhere
    return Api(cloud, [found[SERVED[0]]], elsewhere.authenticate, alone=True)


async def serve(settings: Settings) -> None:
    """Serve until a signal says stop.

    :raises OSError: when the address cannot be had, or the rings cannot be read.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    cloud = open_cloud(settings)
    api = make_api(cloud)
    host, _, port = settings.listen.rpartition(":")
    try:
        async with serving(
            with_cnames(api, settings) if settings.object_cname_lookup else api, host.strip("[]") or "127.0.0.1", int(port)
        ):
            log.info("serving at http://%s", settings.listen)
            await stop.wait()
    finally:
        api.close()
        cloud.db.dispose()
