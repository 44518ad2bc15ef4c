"""What identity hands to main.py."""

import re
from collections.abc import Mapping
from typing import Any

from pileus.identity.api import (
    assignments,
    auth,
    catalog,
    credentials,
    domain_config,
    domains,
    endpoint_filter,
    groups,
    limits,
    oauth,
    policy_files,
    projects,
    roles,
    signed,
    trusts,
    users,
)
from pileus.identity.loops import LOOPS
from pileus.identity.policies import RULES
from pileus.identity.service.bootstrap import bootstrap
from pileus.identity.service.words import forbidden
from pileus.identity.state import IdentityState
from pileus.kernel import faults
from pileus.kernel.bundle import Bundle
from pileus.kernel.errors import Fault
from pileus.kernel.http import Service
from pileus.kernel.settings import Settings

NOUNS = (auth, users, groups, projects, domains, roles, assignments, catalog, credentials)
EXTENSIONS = (trusts, oauth, signed, policy_files, endpoint_filter, domain_config, limits)
RULE = re.compile(r"identity:\w+")


def fault_form(fault: Fault, status: int) -> tuple[Any, Mapping[str, str]]:
    """Word a fault as Keystone does: a policy's refusal names the action."""
    if fault.kind == "PolicyNotAuthorized" and (found := RULE.search(fault.message)):
        fault = forbidden(found.group())
    return faults.keystone(fault, status)


def _parts(settings: Settings) -> Mapping[type[Any], Any]:
    return {IdentityState: IdentityState(settings)}


SERVICE = Service(
    name="identity",
    title="Identity",
    routes=tuple(route for noun in (*NOUNS, *EXTENSIONS) for route in noun.ROUTES),
    fault_form=fault_form,
    classic_ports=(5000, 35357),
)

BUNDLE = Bundle("identity", rules=RULES, services=(SERVICE,), loops=LOOPS, parts=_parts, bootstrap=bootstrap)
