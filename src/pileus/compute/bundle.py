"""What compute hands to main.py."""

from pileus.compute import api, policies
from pileus.compute.api.placement import PLACEMENT
from pileus.compute.service import flavors, hosts, keypairs, projects
from pileus.compute.store.census import census
from pileus.compute.tasks import evacuations, servers, shapes, volumes, watch
from pileus.kernel.bundle import Bundle
from pileus.kernel.context import Cloud
from pileus.kernel.events import Events


def bootstrap(cloud: Cloud) -> None:
    """Write down what a new cloud starts with."""
    flavors.bootstrap(cloud)
    hosts.refresh(cloud)


def subscribe(events: Events) -> None:
    """Listen to what becomes of users, projects, ports and volumes."""
    events.subscribe("identity.user.deleted", keypairs.on_user_deleted)
    events.subscribe("identity.project.deleted", projects.on_project_deleted)
    events.subscribe("network.port.deleted", servers.port_deleted)
    volumes.subscribe(events)


BUNDLE = Bundle(
    "compute",
    rules=policies.RULES,
    services=(api.COMPUTE, PLACEMENT, api.consoles.PAGES),
    programs=(shapes.program, evacuations.program),
    loops=(hosts.REFRESH, *watch.LOOPS),
    parts=lambda settings: {watch.Watch: watch.Watch(), hosts.Asked: hosts.Asked()},
    subscribe=subscribe,
    bootstrap=bootstrap,
    census=census,
)
