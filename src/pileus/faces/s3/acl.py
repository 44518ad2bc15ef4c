"""Access control lists of buckets and objects: an owner, and who is granted what.  A grantee is a project, or a group.  Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.xml import NAMESPACE, SCHEMA_INSTANCE, Element, document, tag, wrap

GROUP = "http://acs.amazonaws.com/groups/"
ALL, KNOWN, LOGS = f"{GROUP}global/AllUsers", f"{GROUP}global/AuthenticatedUsers", f"{GROUP}s3/LogDelivery"
FULL, READ, WRITE, READ_ACP, WRITE_ACP = "FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"
PERMISSIONS = (FULL, READ, WRITE, READ_ACP, WRITE_ACP)
GRANT_HEADERS = {
    "x-amz-grant-read": READ, "x-amz-grant-write": WRITE, "x-amz-grant-read-acp": READ_ACP,
    "x-amz-grant-write-acp": WRITE_ACP, "x-amz-grant-full-control": FULL,
}  # fmt: skip
CANNED = frozenset(
    {"private", "public-read", "public-read-write", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control",
     "log-delivery-write", "aws-exec-read"}
)  # fmt: skip
GRANTS_MAX = 100
SETTING, STORED = "Acl", "X-Object-Transient-Sysmeta-S3Api-Acl"


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """What somebody is granted; grantee is a project's id, or the URI of a group."""

    grantee: str
    permission: str


class Acl(msgspec.Struct, frozen=True):
    """An access control list; owner is a project's id."""

    owner: str
    grants: tuple[Grant, ...] = ()

    def gives(self, permission: str, project_id: str) -> bool:
        """Tell whether a project ("": nobody known) is granted a permission; the owner always may read and write the list."""
        if project_id and project_id == self.owner and permission in (READ_ACP, WRITE_ACP):
            return True
        names = {ALL, KNOWN, project_id} if project_id else {ALL}
        return any(grant.permission in (FULL, permission) and grant.grantee in names for grant in self.grants)

    @property
    def is_public(self) -> bool:
        """Whether it grants something to everybody."""
        return any(grant.grantee in (ALL, KNOWN) for grant in self.grants)

    def without_public(self) -> "Acl":
        """Return it without what it grants to everybody."""
        return Acl(self.owner, tuple(grant for grant in self.grants if grant.grantee not in (ALL, KNOWN)))


@dataclass(frozen=True)
class Directory:
    """What is known of projects: whether there is one, and its name."""

    exists: Callable[[str], bool]
    name: Callable[[str], str]


def private(owner: str) -> Acl:
    """Return the list that gives everything to the owner and nothing to others."""
    return Acl(owner, (Grant(owner, FULL),))


def canned(name: str, owner: str, bucket_owner: str) -> Acl:
    """Return the list that a canned name means.  :raises S3Error: when there is no such name."""
    if name not in CANNED:
        raise S3Error("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=name)
    more = {
        "public-read": (Grant(ALL, READ),),
        "public-read-write": (Grant(ALL, READ), Grant(ALL, WRITE)),
        "authenticated-read": (Grant(KNOWN, READ),),
        "bucket-owner-read": (Grant(bucket_owner, READ),) if bucket_owner != owner else (),
        "bucket-owner-full-control": (Grant(bucket_owner, FULL),) if bucket_owner != owner else (),
        "log-delivery-write": (Grant(LOGS, WRITE), Grant(LOGS, READ_ACP)),
    }.get(name, ())
    return Acl(owner, (Grant(owner, FULL), *more))


def decode(text: str | None, owner: str) -> Acl:
    """Return a list out of its stored form; by default that of the owner alone."""
    return msgspec.json.decode(text, type=Acl) if text else private(owner)


def encode(acl: Acl, default_owner: str) -> str:
    """Return a list in the form in which it is stored; "" when it is the default."""
    return "" if acl == private(default_owner) else msgspec.json.encode(acl).decode()


def from_headers(headers: Mapping[str, str], owner: str, bucket_owner: str, directory: Directory) -> Acl | None:
    """Return the list that the headers of a request ask for; None when they ask for none."""
    granted = [(header, permission) for header, permission in GRANT_HEADERS.items() if header in headers]
    if "x-amz-acl" in headers:
        if granted:
            raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
        return canned(headers["x-amz-acl"], owner, bucket_owner)
    if not granted:
        return None
    grants = []
    for header, permission in granted:
        for part in headers[header].split(","):
            kind, _, value = part.strip().partition("=")
            grants.append(Grant(_grantee(kind.strip(), value.strip().strip('"'), directory), permission))
    return Acl(owner, tuple(grants))


def _grantee(kind: str, value: str, directory: Directory) -> str:
    if kind == "emailAddress":
        raise S3Error("UnresolvableGrantByEmailAddress")
    if kind == "uri" and value in (ALL, KNOWN, LOGS):
        return value
    if kind == "id" and value and directory.exists(value):
        return value
    raise S3Error("InvalidArgument", "Invalid id" if kind == "id" else "Invalid group uri" if kind == "uri" else "")


def from_xml(root: Element, directory: Directory) -> Acl:
    """Read a document.  :raises S3Error: when it is no list, or names somebody who is not there."""
    owner, listed = root.first("Owner"), root.first("AccessControlList")
    if owner is None or not owner.get("ID") or listed is None:
        raise S3Error("MalformedACLError")
    grants = []
    for grant in listed.all("Grant"):
        grantee, permission = grant.first("Grantee"), grant.get("Permission")
        if grantee is None or permission not in PERMISSIONS:
            raise S3Error("MalformedACLError")
        kind = grantee.attributes.get("type", "")
        fields = {
            "CanonicalUser": ("id", "ID"),
            "Group": ("uri", "URI"),
            "AmazonCustomerByEmail": ("emailAddress", "EmailAddress"),
        }
        if kind not in fields:
            raise S3Error("MalformedACLError")
        name, element = fields[kind]
        grants.append(Grant(_grantee(name, grantee.get(element), directory), permission))
    if len(grants) > GRANTS_MAX:
        raise S3Error("MalformedACLError")
    return Acl(owner.get("ID"), tuple(grants))


def owner_xml(project_id: str, directory: Directory, name: str = "Owner") -> str:
    """Return an owner as documents have it."""
    return wrap(name, tag("ID", project_id) + tag("DisplayName", directory.name(project_id)))


def to_xml(acl: Acl, directory: Directory) -> bytes:
    """Return a list as a document."""
    ordered = sorted(acl.grants, key=lambda grant: not grant.grantee.startswith(GROUP))
    grants = "".join(
        wrap("Grant", _grantee_xml(grant.grantee, directory) + tag("Permission", grant.permission)) for grant in ordered
    )
    inner = owner_xml(acl.owner, directory) + wrap("AccessControlList", grants)
    return document(f'<AccessControlPolicy xmlns="{NAMESPACE}">{inner}</AccessControlPolicy>')


def _grantee_xml(grantee: str, directory: Directory) -> str:
    kind = "Group" if grantee.startswith(GROUP) else "CanonicalUser"
    inner = tag("URI", grantee) if kind == "Group" else tag("ID", grantee) + tag("DisplayName", directory.name(grantee))
    return f'<Grantee xmlns:xsi="{SCHEMA_INSTANCE}" xsi:type="{kind}">{inner}</Grantee>'
