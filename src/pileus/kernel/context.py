"""Who asks, and the cloud they ask it of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from pileus.kernel.bus import Bus
from pileus.kernel.clock import Clock
from pileus.kernel.db import Database
from pileus.kernel.errors import Fault, Forbidden
from pileus.kernel.events import Events
from pileus.kernel.policy import Enforcer
from pileus.kernel.settings import Settings

Part = TypeVar("Part")


@dataclass(frozen=True)
class Cloud:
    """The infrastructure, built once in main.py.  Holds no services: services are modules of functions.

    parts holds the few stateful objects that a service owns (its token keys, its image store), by their type.
    """

    settings: Settings
    db: Database
    clock: Clock
    bus: Bus
    policy: Enforcer
    events: Events
    parts: dict[type[Any], Any] = field(default_factory=dict)

    def part(self, kind: type[Part]) -> Part:
        """Return the one object of a type that main.py put in."""
        found: Part = self.parts[kind]
        return found


@dataclass(frozen=True)
class Context:
    """One caller's request.

    roles holds implied roles too.  Exactly one of project_id, domain_id and system is set, or none for an unscoped token.
    """

    cloud: Cloud
    user_id: str = ""
    user_name: str = ""
    user_domain_id: str = ""
    project_id: str = ""
    project_name: str = ""
    project_domain_id: str = ""
    domain_id: str = ""
    system: bool = False
    roles: frozenset[str] = frozenset()
    request_id: str = ""
    global_request_id: str = ""
    token: Any = None

    @property
    def is_admin(self) -> bool:
        """Whether the caller is an admin of the cloud (holds the role admin)."""
        return "admin" in self.roles

    @cached_property
    def credentials(self) -> dict[str, Any]:
        """The caller's attributes under the names that policy checks use."""
        return {
            "user_id": self.user_id,
            "project_id": self.project_id,
            "tenant_id": self.project_id,
            "domain_id": self.domain_id,
            "user_domain_id": self.user_domain_id,
            "project_domain_id": self.project_domain_id,
            "token.domain.id": self.domain_id,
            "token.project.id": self.project_id,
            "token.project.domain.id": self.project_domain_id,
            "token.user.domain.id": self.user_domain_id,
            "system_scope": "all" if self.system else None,
            "is_admin": self.is_admin,
            "roles": self.roles,
        }

    @property
    def scope(self) -> str:
        """ "project", "domain", "system", or "" for an unscoped token."""
        if self.system:
            return "system"
        return "project" if self.project_id else "domain" if self.domain_id else ""

    def can(self, rule: str, target: Mapping[str, Any] | None = None) -> bool:
        """Tell whether a rule holds.

        :param target: attributes of the thing acted on; by default the caller's own project and user.
        """
        if target is None:
            target = {"project_id": self.project_id, "user_id": self.user_id, "domain_id": self.domain_id}
        return self.cloud.policy.allows(rule, self.credentials, self.scope, target)

    def require(self, rule: str, target: Mapping[str, Any] | None = None, *, hidden: Fault | None = None) -> None:
        """Check that the caller may do this.

        :param target: attributes of the thing acted on; by default the caller's own project and user.
        :param hidden: raised instead of Forbidden when the thing belongs to another project, which may not even be known of.
        :raises Forbidden: when the rule does not hold.
        """
        if self.can(rule, target):
            return
        if hidden is not None and target is not None and target.get("project_id") != self.project_id:
            raise hidden
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.", kind="PolicyNotAuthorized")


def cloud_itself(cloud: Cloud, project_id: str = "") -> Context:
    """Return the cloud as its own caller, with an admin's rights: of the system, or in a project.  For bootstrap."""
    return Context(cloud, project_id=project_id, system=not project_id, roles=frozenset({"admin", "manager", "member", "reader"}))
