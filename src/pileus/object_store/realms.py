"""Container sync: where containers may be synced to, and the signatures by which clusters know each other.  Pure.

The operator's file of realms has the form of Swift's container-sync-realms.conf:

    [realm1]
    key = secret of all clusters of the realm
    key2 = the one before it, while keys are changed
    cluster_name1 = https://one.example.org/v1/
    cluster_name2 = https://two.example.org/v1/

A container names its partner as //realm1/name2/ACCOUNT/CONTAINER, or by URL where the operator lists the URL's host.
"""

import configparser
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CLUSTER = "cluster_"


@dataclass(frozen=True)
class Realm:
    """Clusters that trust each other; clusters maps their names, in capitals, to their URLs."""

    key: str
    key2: str = ""
    clusters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Partner:
    """Where a container is synced to; realm and key are "" where the operator's list of hosts lets it be."""

    url: str
    realm: str = ""
    key: str = ""


@dataclass(frozen=True)
class Realms:
    """All that the operator allows; realms by their names in capitals."""

    realms: Mapping[str, Realm] = field(default_factory=dict)
    hosts: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.realms or self.hosts)

    def partner(self, sync_to: str) -> Partner:
        """Return where a container whose X-Container-Sync-To says so is synced to.

        :raises ValueError: when it may not be.
        """
        value = sync_to.rstrip("/")
        if value.startswith("//"):
            return self._of_realm(sync_to, value[2:].split("/"))
        url = urlsplit(value)
        if url.scheme not in ("http", "https"):
            raise ValueError(f'Invalid scheme {url.scheme!r} in X-Container-Sync-To, must be "//", "http", or "https".')
        if not url.path:
            raise ValueError("Path required in X-Container-Sync-To")
        if url.query or url.fragment:
            raise ValueError("Params, queries, and fragments not allowed in X-Container-Sync-To")
        if url.hostname not in self.hosts or url.username is not None:
            raise ValueError(f"Invalid host {url.hostname!r} in X-Container-Sync-To")
        return Partner(value)

    def _of_realm(self, sync_to: str, parts: list[str]) -> Partner:
        if len(parts) != 4:
            raise ValueError(f"Invalid X-Container-Sync-To format {sync_to!r}")
        name, cluster, account, container = parts
        realm = self.realms.get(name.upper())
        if realm is None:
            raise ValueError(f"No realm key for {name!r}")
        endpoint = realm.clusters.get(cluster.upper())
        if endpoint is None:
            raise ValueError(f"No cluster endpoint for {name!r} {cluster!r}")
        return Partner(f"{endpoint.rstrip('/')}/{account}/{container}", name.upper(), realm.key)

    def knows(self, header: str, method: str, path: str, timestamp: str, user_key: str) -> bool:
        """Tell whether an X-Container-Sync-Auth header was made by a cluster of one of the realms.

        :param path: of the request, as it was sent.
        """
        words = header.split()
        if len(words) != 3 or not user_key:
            return False
        name, nonce, given = words
        realm = self.realms.get(name.upper())
        keys = [key for key in (realm.key, realm.key2) if key] if realm else []
        signed = [signature(method, path, timestamp, nonce, key, user_key) for key in keys]
        return any(hmac.compare_digest(one.encode(), given.encode("utf-8", "surrogateescape")) for one in signed)


def read_realms(path: str, hosts: str) -> Realms:
    """Read the operator's file ("": there is none) and list of hosts.

    :raises ValueError: when the file is not of the form above.
    :raises OSError: when it cannot be read.
    """
    parser = configparser.ConfigParser(interpolation=None)
    found: dict[str, Realm] = {}
    if path:
        try:
            parser.read_string(Path(path).read_text())
        except configparser.Error as error:
            raise ValueError(f"{path}: {error}") from error
    for name in parser.sections():
        given = parser[name]
        clusters = {key[len(CLUSTER) :].upper(): url for key, url in given.items() if key.startswith(CLUSTER)}
        if given.get("key"):
            found[name.upper()] = Realm(given["key"], given.get("key2", ""), clusters)
    return Realms(found, frozenset(host.strip() for host in hosts.split(",") if host.strip()))


def signature(method: str, path: str, timestamp: str, nonce: str, realm_key: str, user_key: str) -> str:
    """Return the signature of a request: Swift's HMAC-SHA1 of its parts in lines."""
    text = "\n".join((method, path, timestamp, nonce, user_key))
    return hmac.new(realm_key.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha1).hexdigest()
