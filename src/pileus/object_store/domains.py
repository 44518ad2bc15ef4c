"""Domain remap: CONTAINER.ACCOUNT.DOMAIN/object and ACCOUNT.DOMAIN/container/object in place of long paths.  Pure."""

from dataclasses import dataclass

PREFIXES = ("AUTH", "SERVICE")


@dataclass(frozen=True)
class Place:
    """What a host names; container "": an account as a whole."""

    account: str
    container: str = ""

    def path(self, path: str) -> str:
        """Return the path that stands for a path at this host: /v1/account/container/object."""
        return "/".join(("/v1", *filter(None, (self.account, self.container)))) + (path if path != "/" or self.container else "")


def host_name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    return host.rpartition(":")[0].lower() if ":" in host.rpartition("]")[2] else host.lower()


def is_below(host: str, domains: tuple[str, ...]) -> bool:
    """Tell whether a Host header is below one of the domains."""
    name = host_name(host)
    return any(name.endswith("." + domain) for domain in domains)


def place_of(host: str, domains: tuple[str, ...]) -> Place | None:
    """Return what a Host header names; None where it is not below one of the domains, or names no account.

    Host names have no capitals and no underscores: auth-abc is the account AUTH_abc; without a prefix it is AUTH_'s, too.

    :raises ValueError: when there are too many labels.
    """
    name = host_name(host)
    domain = next((domain for domain in domains if name.endswith("." + domain)), None)
    if domain is None:
        return None
    labels = name[: -len(domain) - 1].split(".")
    if len(labels) > 2:
        raise ValueError("Bad domain in host header")
    *container, account = labels
    if "_" not in account and "-" in account:
        account = account.replace("-", "_", 1)
    prefix, underscore, rest = account.partition("_")
    if underscore and prefix.upper() in PREFIXES:
        return Place(f"{prefix.upper()}_{rest}", *container)
    return Place(f"{PREFIXES[0]}_{account}", *container)
