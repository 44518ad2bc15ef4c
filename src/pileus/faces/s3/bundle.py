"""What the S3 face hands to main.py."""

from collections.abc import Mapping

from pileus.faces.s3 import errors, expiring, routes
from pileus.faces.s3.auth import is_signed
from pileus.faces.s3.request import bucket_of_host, domains
from pileus.identity.service import catalog
from pileus.kernel import ids
from pileus.kernel.bundle import Bundle
from pileus.kernel.context import Cloud
from pileus.kernel.http import Service
from pileus.kernel.loops import Loop

LISTED = catalog.Listed("s3", "s3", "/s3", "7480", "S3 object storage")
PORT = 7480


def _bootstrap(cloud: Cloud) -> None:
    with cloud.db.begin() as tx:
        catalog.ensure_service(tx, cloud, LISTED)


def make_id(cloud: Cloud) -> str:
    """Return a new request id."""
    return f"tx{ids.hex_id()[:21]}-{int(cloud.clock.now()):010x}"


def claims(cloud: Cloud, headers: Mapping[str, str], query: str, at: str) -> bool:
    """Tell whether a request is for S3 though neither path nor port says so: by its signature where the object store is
    served alone, and by the host's name.

    :param at: the service that the port is for; "" for the one base URL.
    """
    if at == "object-store":
        return is_signed(headers, query)
    if at or not cloud.settings.s3_domain:
        return False
    return bucket_of_host(headers.get("host", ""), domains(cloud.settings)) is not None


SERVICE = Service(
    "s3",
    "Object storage (S3)",
    routes=routes.ROUTES,
    fault_form=errors.kernel_form,
    classic_ports=(PORT,),
    id_header="x-amz-request-id",
    make_id=make_id,
    claims=claims,
    guest_of="object-store",
)

BUNDLE = Bundle("s3", services=(SERVICE,), bootstrap=_bootstrap, loops=(Loop("s3-lifecycle", 60.0, expiring.run),))
