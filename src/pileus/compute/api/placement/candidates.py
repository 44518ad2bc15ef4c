"""/allocation_candidates"""

from typing import Any

from pileus.compute.api.placement.wishes import read_wishes
from pileus.compute.placement import Candidate, Provider
from pileus.compute.service import providers
from pileus.kernel.http import Answer, Call, Route


def index(call: Call) -> Any:
    wishes = read_wishes(call)
    found, named = providers.find_candidates(call.ctx, wishes)
    classes = {name for group in wishes.groups for name in group.resources}
    body = {
        "allocation_requests": [_show(call, each) for each in found],
        "provider_summaries": {uuid: _summary(call, provider, classes) for uuid, provider in named.items()},
    }
    return Answer(body, headers={"Cache-Control": "no-cache"} if call.since("1.15") else {})


def _show(call: Call, found: Candidate) -> dict[str, Any]:
    if not call.since("1.12"):
        listed = [{"resource_provider": {"uuid": uuid}, "resources": many} for uuid, many in found.allocations.items()]
        return {"allocations": listed}
    shown: dict[str, Any] = {"allocations": {uuid: {"resources": many} for uuid, many in found.allocations.items()}}
    return {**shown, "mappings": found.mappings} if call.since("1.34") else shown


def _summary(call: Call, provider: Provider, classes: set[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "resources": {
            name: {"capacity": inventory.capacity, "used": provider.used.get(name, 0)}
            for name, inventory in provider.inventories.items()
            if name in classes or call.since("1.27")
        }
    }
    if call.since("1.17"):
        shown["traits"] = sorted(provider.traits)
    if call.since("1.29"):
        shown |= {"parent_provider_uuid": provider.parent_uuid, "root_provider_uuid": provider.root_uuid}
    return shown


routes = (Route("GET", "/allocation_candidates", index, since="1.10", errors=(400, 401, 403)),)
