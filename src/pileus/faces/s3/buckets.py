"""Buckets as requests find them: the container, whose it is, and its settings."""

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address

from pileus.faces.s3 import acl, policy
from pileus.faces.s3.acl import Acl, Directory
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.request import S3Request
from pileus.identity.service import projects
from pileus.kernel.context import Cloud
from pileus.object_store.caller import KEYSTONE_PREFIX
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.request import Request
from pileus.object_store.service import access, buckets, direct, versions

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
RESERVED = (("xn--", ""), ("sthree-", ""), ("amzn-s3-demo-", ""), ("", "-s3alias"), ("", "--ol-s3"), ("", ".mrap"))


def is_name(name: str) -> bool:
    """Tell whether a new bucket may have this name."""
    if not NAME.match(name) or ".." in name or ".-" in name or "-." in name:
        return False
    if any(name.startswith(start) and name.endswith(end) for start, end in RESERVED):
        return False
    try:
        IPv4Address(name)
    except ValueError:
        return True
    return False


@dataclass(frozen=True)
class Bucket:
    """A bucket."""

    name: str
    info: ContainerInfo

    @property
    def account(self) -> str:
        """The account that it lies in."""
        return self.info.account

    @property
    def owner(self) -> str:
        """The project whose it is."""
        return self.account.removeprefix(KEYSTONE_PREFIX)

    def setting(self, name: str) -> str:
        """Return one of its settings; "" when it is not set."""
        return buckets.setting(self.info, name)

    @property
    def acl(self) -> Acl:
        """Who may do what with it."""
        return acl.decode(self.setting(acl.SETTING), self.owner)

    @cached_property
    def statements(self) -> tuple[policy.Statement, ...]:
        """Its policy."""
        text = self.setting("Policy")
        return policy.parse(text, self.name) if text else ()

    @property
    def blocks(self) -> frozenset[str]:
        """What of public access is blocked, by the names of the elements."""
        return frozenset(self.setting("Public-Access-Block").split())

    @property
    def ownership(self) -> str:
        """Who owns objects: ObjectWriter, BucketOwnerPreferred or BucketOwnerEnforced."""
        return self.setting("Ownership")

    @property
    def keeps_versions(self) -> bool:
        """Whether it keeps versions, or has once."""
        return direct.keeps_versions(self.info)

    @property
    def versioning(self) -> str:
        """ "Enabled", "Suspended" or ""."""
        if versions.is_enabled(self.info):
            return "Enabled"
        return "Suspended" if self.keeps_versions else ""

    @property
    def is_locked(self) -> bool:
        """Whether object lock is enabled."""
        return bool(self.setting("Object-Lock"))

    def request(self, s3: S3Request, key: str | None = None, **changes: object) -> Request:
        """Return a request to the object store about it, or about a key in it (by default the one asked for)."""
        return s3.swift(self.account, self.name, s3.key if key is None else key, **changes)


async def find(s3: S3Request, name: str, *, fresh: bool = False) -> Bucket:
    """Return a bucket: the caller's own of the name, else that of whoever claimed the name.

    :raises S3Error: when there is none.
    """
    req = s3.swift(s3.who.account, name)
    info = await access.container_info(req, fresh=fresh) if s3.who.account and name else None
    if info is None and name and "\0" not in name:
        owner = await buckets.owner_of(req, name)
        info = await access.container_info(req, owner, name, fresh=fresh) if owner and owner != s3.who.account else None
    if info is None or info.container.endswith(access.PARTS):
        raise S3Error("NoSuchBucket" if is_name(name) else "InvalidBucketName", BucketName=name)
    return Bucket(name, info)


def directory(cloud: Cloud) -> Directory:
    """Return what is known of projects."""
    known: dict[str, str] = {}

    def name(project_id: str) -> str:
        if project_id not in known:
            known[project_id] = projects.get_name(cloud, project_id) or project_id
        return known[project_id]

    return Directory(lambda project_id: projects.exists(cloud, project_id), name)
