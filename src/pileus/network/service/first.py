"""The networks that a new cloud starts with: `public`, and in the project demo `private` with a router."""

from sqlalchemy import Connection

from pileus.identity.service import projects
from pileus.kernel.context import Cloud, Context, cloud_itself
from pileus.kernel.errors import Unavailable
from pileus.network import addressing
from pileus.network.service import access, default_rules, defaults, interfaces, networks, routers, subnets
from pileus.network.store import networks as store
from pileus.network.store import routers as routers_store
from pileus.network.store.records import Network
from pileus.network.store.rows import Wanted

PUBLIC, PRIVATE, ROUTER = "public", "private", "router1"
PRIVATE_CIDR = "10.0.0.0/26"


def bootstrap(cloud: Cloud) -> None:
    """Make the first networks, those that are missing; nothing when the settings want no demo."""
    access.transact(cloud, lambda tx: default_rules.bootstrap(tx, cloud))
    if not cloud.settings.demo:
        return
    admin, demo = (_context(cloud, name) for name in ("admin", "demo"))
    access.transact(cloud, lambda tx: _make(tx, admin, demo))


def _context(cloud: Cloud, name: str) -> Context:
    found = projects.list_(cloud_itself(cloud), {"name": name, "domain_id": "default"})
    if not found:
        raise Unavailable(f"There is no project {name} in the domain Default yet: identity makes it first.")
    return cloud_itself(cloud, found[0].id)


def _find(tx: Connection, name: str, project_id: str) -> Network | None:
    wanted = Wanted((("name", [name]), ("project_id", [project_id])))
    return next(iter(store.list_networks(tx, None, wanted)), None)


def _make(tx: Connection, admin: Context, demo: Context) -> None:
    cloud = admin.cloud
    public = _find(tx, PUBLIC, admin.project_id)
    if public is None:
        facts = {
            "router:external": True, "is_default": True, "provider:network_type": "flat", "provider:physical_network": PUBLIC,
        }  # fmt: skip
        public = networks.make(tx, cloud, admin.project_id, defaults.plain_network(PUBLIC) | facts)
        cidr = str(addressing.network(cloud.settings.public_cidr))
        plain = defaults.plain_subnet("public-subnet", public.id, cidr) | {"enable_dhcp": False}
        subnets.make(tx, cloud, admin.project_id, public, plain)
    if _find(tx, PRIVATE, demo.project_id) is not None:
        return
    private = networks.make(tx, cloud, demo.project_id, defaults.plain_network(PRIVATE))
    plain = defaults.plain_subnet("private-subnet", private.id, PRIVATE_CIDR)
    subnet = subnets.make(tx, cloud, demo.project_id, private, plain)
    own = Wanted((("name", [ROUTER]), ("project_id", [demo.project_id])))
    if not routers_store.list_routers(tx, None, own):
        router = routers.make(tx, demo, demo.project_id, defaults.plain_router(ROUTER, {"network_id": public.id}))
        interfaces.attach(tx, demo, router, subnet.id)
