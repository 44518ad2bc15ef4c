"""The network API, v2.0: routes as data."""

from pileus.kernel import faults
from pileus.kernel.errors import BadRequest, Fault, OverQuota
from pileus.kernel.http import Service
from pileus.network.api import built, collections, others


def _malformed(reason: str) -> Fault:
    return BadRequest(reason, kind="HTTPBadRequest")


SERVICE = Service(
    name="network",
    title="Network",
    routes=(*others.ROUTES, *built.ROUTES, *collections.ROUTES),
    fault_form=faults.neutron,
    statuses={OverQuota: 409},
    classic_ports=(9696,),
    body_fault=_malformed,
)
