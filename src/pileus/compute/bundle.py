"""What compute hands to main.py."""

from pileus.compute import api, policies
from pileus.compute.api.placement import PLACEMENT
from pileus.compute.service import flavors, hosts
from pileus.kernel.bundle import Bundle
from pileus.kernel.context import Cloud


def bootstrap(cloud: Cloud) -> None:
    """Write down what a new cloud starts with."""
    flavors.bootstrap(cloud)
    hosts.refresh(cloud)


BUNDLE = Bundle(
    "compute",
    rules=policies.RULES,
    services=(api.COMPUTE, PLACEMENT),
    loops=(hosts.REFRESH,),
    bootstrap=bootstrap,
)
