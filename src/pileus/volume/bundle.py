"""What volume hands to main.py."""

from pileus.identity.service import catalog
from pileus.kernel.bundle import Bundle
from pileus.kernel.context import Cloud
from pileus.volume.api import SERVICE
from pileus.volume.policies import RULES
from pileus.volume.service import types

LISTED = tuple(
    catalog.Listed(type, name, "/volume/v3/$(project_id)s", "8776/v3/$(project_id)s", "Block storage")
    for type, name in (("block-storage", "cinder"), ("volumev3", "cinderv3"), ("volume", "cinder"))
)


def bootstrap(cloud: Cloud) -> None:
    """Write down what a new cloud starts with."""
    with cloud.db.begin() as tx:
        for listed in LISTED:
            catalog.ensure_service(tx, cloud, listed)
    types.bootstrap(cloud)


BUNDLE = Bundle("volume", rules=RULES, services=(SERVICE,), bootstrap=bootstrap)
