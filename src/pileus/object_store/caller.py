"""Who asks the object store: a user of identity, a user of tempauth, or nobody known."""

from dataclasses import dataclass
from functools import cached_property

from pileus.kernel.context import Context
from pileus.object_store.tempauth import TempUser

KEYSTONE_PREFIX, SERVICE_PREFIX = "AUTH_", "SERVICE_"


@dataclass(frozen=True)
class Caller:
    """One caller; at most one of ctx and user is set.

    :param service: the context of the service that vouches for the request (X-Service-Token).
    """

    ctx: Context | None = None
    user: TempUser | None = None
    service: Context | None = None

    @property
    def known(self) -> bool:
        """Whether they proved who they are."""
        return self.ctx is not None or self.user is not None

    @cached_property
    def names(self) -> frozenset[str]:
        """The entries of access lists that mean this caller."""
        if self.user is not None:
            return self.user.groups
        ctx = self.ctx
        if ctx is None:
            return frozenset()
        found = {f"{project}:{user}" for project in (ctx.project_id, "*") if project for user in (ctx.user_id, "*")}
        if ctx.user_domain_id == "default" and ctx.project_domain_id in ("default", ""):
            found |= {f"{ctx.project_name}:{ctx.user_name}", f"*:{ctx.user_name}", f"{ctx.project_id}:{ctx.user_name}"}
            found |= {f"{ctx.project_name}:{ctx.user_id}", f"{ctx.project_name}:*"} if ctx.project_name else set()
        return frozenset(found)

    @property
    def roles(self) -> frozenset[str]:
        """Their roles, in lower case."""
        return self.ctx.roles if self.ctx is not None else frozenset()

    def _can(self, rule: str, account: str) -> bool:
        project_id = account.removeprefix(KEYSTONE_PREFIX).removeprefix(SERVICE_PREFIX)
        return self.ctx is not None and self.ctx.can(rule, {"project_id": project_id})

    def administers(self, account: str) -> bool:
        """Tell whether they may do everything in every account."""
        if self.user is not None:
            return ".reseller_admin" in self.user.groups
        return self._can("object_store:administer", account)

    def owns(self, account: str) -> bool:
        """Tell whether they may do everything in an account."""
        if self.user is not None:
            return self.user.path == account and ".admin" in self.user.groups
        if account.startswith(SERVICE_PREFIX):
            vouched = self.service is not None and self.service.can("object_store:serve", {})
            return vouched and self._can("object_store:operate", account)
        return account.startswith(KEYSTONE_PREFIX) and self._can("object_store:operate", account)

    def reads(self, account: str) -> bool:
        """Tell whether they may read everything in an account."""
        if self.user is not None:
            return ".reseller_reader" in self.user.groups
        if account.startswith(SERVICE_PREFIX):
            return False
        return self._can("object_store:read", account) or self._can("object_store:read_all", account)


NOBODY = Caller()
