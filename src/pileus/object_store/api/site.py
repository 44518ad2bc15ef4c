"""What stands beside the accounts: /info, /healthcheck, /crossdomain.xml, and signing in with tempauth."""

from typing import Any

from pileus.kernel.http import Answer, Call, Route
from pileus.object_store.request import Refused
from pileus.object_store.state import ObjectStore
from pileus.object_store.tempauth import TempAuth

CROSSDOMAIN = (
    '<?xml version="1.0"?>\n'
    '<!DOCTYPE cross-domain-policy SYSTEM "http://www.adobe.com/xml/dtds/cross-domain-policy.dtd" >\n'
    "<cross-domain-policy>\n"
    '<allow-access-from domain="*" secure="false" />\n'
    "</cross-domain-policy>"
)
VERSION = "2.38.0"  # the release of Swift whose API this is
DIGESTS = ["sha1", "sha256", "sha512"]


def info(call: Call) -> dict[str, Any]:
    """Tell what the object store can do, and within which limits."""
    store = call.cloud.part(ObjectStore)
    return _core(store) | _features(store)


def _core(store: ObjectStore) -> dict[str, Any]:
    limits = store.limits
    policies = [
        {"name": policy.name, "aliases": ", ".join([policy.name, *policy.aliases])}
        | ({"default": True} if policy.is_default else {})
        for policy in store.placement.cluster.policies
        if not policy.is_deprecated
    ]
    core = {
        "version": VERSION,
        "max_file_size": limits.object_bytes_max,
        "max_meta_name_length": limits.meta_name_length,
        "max_meta_value_length": limits.meta_value_length,
        "max_meta_count": limits.meta_count,
        "max_meta_overall_size": limits.meta_overall_bytes,
        "max_header_size": limits.header_bytes,
        "max_object_name_length": limits.object_name_length,
        "container_listing_limit": limits.listing,
        "account_listing_limit": limits.listing,
        "max_account_name_length": limits.account_name_length,
        "max_container_name_length": limits.container_name_length,
        "valid_api_versions": ["v1", "v1.0"],
        "strict_cors_mode": True,
        "allow_account_management": True,
        "account_autocreate": True,
        "policies": policies,
    }
    return {"swift": core}


def _features(store: ObjectStore) -> dict[str, Any]:
    limits = store.limits
    segments = {"max_manifest_segments": limits.manifest_segments, "max_manifest_size": limits.manifest_bytes}
    headers = {
        "incoming_remove_headers": ["x-timestamp"],
        "incoming_allow_headers": [],
        "outgoing_remove_headers": ["x-object-meta-*"],
        "outgoing_allow_headers": ["x-object-meta-public-*"],
    }
    unpacking = {
        "max_containers_per_extraction": limits.bulk_containers,
        "max_failed_extractions": limits.bulk_failures,
    }
    return {
        "account_quotas": {},
        "container_quotas": {},
        "bulk_upload": unpacking,
        "bulk_delete": {"max_deletes_per_request": limits.bulk_deletes, "max_failed_deletes": limits.bulk_failures},
        "crossdomain": {},
        "dlo": {"max_segments": limits.listing_segments},
        "slo": {**segments, "min_segment_size": 1, "allow_async_delete": False},
        "formpost": {"allowed_digests": DIGESTS},
        "tempurl": {"methods": ["GET", "HEAD", "PUT", "POST", "DELETE"], "allowed_digests": DIGESTS, **headers},
        "staticweb": {},
        "symlink": {"symloop_max": limits.symlink_depth, "static_links": True},
        "versioned_writes": {"allowed_flags": ["x-versions-location", "x-history-location"]},
        "object_versioning": {},
        **({"container_sync": {"realms": _realms(store)}} if store.realms else {}),
        **({"domain_remap": {"default_reseller_prefix": "AUTH"}} if store.domains else {}),
        **({"ratelimit": _rates(store)} if store.rates else {}),
        **({"tempauth": {"account_acls": True}} if store.tempauth else {}),
    }


def _rates(store: ObjectStore) -> dict[str, Any]:
    rates = store.rates
    return {
        "account_ratelimit": rates.account,
        "max_sleep_time_seconds": rates.turns.wait_seconds_max,
        "container_ratelimits": [list(step) for step in rates.container.steps],
        "container_listing_ratelimits": [list(step) for step in rates.listing.steps],
    }


def _realms(store: ObjectStore) -> dict[str, Any]:
    known = store.realms.realms.items()
    return {name: {"clusters": {cluster: {} for cluster in sorted(realm.clusters)}} for name, realm in known if realm.clusters}


def healthcheck(call: Call) -> Answer:
    """Tell that the proxy is there."""
    return Answer(b"OK", content_type="text/plain")


def crossdomain(call: Call) -> Answer:
    """Let players of other domains in."""
    return Answer(CROSSDOMAIN.encode(), content_type="application/xml")


def sign_in(call: Call) -> Answer:
    """Give a user of tempauth a token.  :raises Refused: 401."""
    tempauth = call.cloud.part(ObjectStore).tempauth
    if tempauth is None:
        raise Refused(404)
    headers = call.headers
    name = headers.get("x-auth-user") or headers.get("x-storage-user") or ""
    key = headers.get("x-auth-key") or headers.get("x-storage-pass") or ""
    account, _, user_name = name.partition(":")
    if "account" in call.path:
        account, user_name = call.path["account"], user_name or name
    return _signed_in(call, tempauth, account, user_name, key)


def _signed_in(call: Call, tempauth: TempAuth, account: str, name: str, key: str) -> Answer:
    found = tempauth.sign_in(account, name, key, call.cloud.clock.now())
    if found is None:
        raise Refused(401)
    user, token, seconds = found
    url = f"{call.base_url}/v1/{user.path}"
    headers = {
        "X-Storage-Url": url,
        "X-Auth-Token": token,
        "X-Storage-Token": token,
        "X-Auth-Token-Expires": str(seconds),
    }
    return Answer({"storage": {"default": "local", "local": url}}, 200, headers)


FRONT = (
    Route("GET", "/info", info, public=True),
    Route("GET", "/healthcheck", healthcheck, public=True),
    Route("GET", "/crossdomain.xml", crossdomain, public=True),
)
ROUTES = (
    *FRONT,
    Route("GET", "/auth/v1.0", sign_in, public=True),
    Route("GET", "/auth/v1", sign_in, public=True),
    Route("GET", "/auth/v1/{account}/auth", sign_in, public=True),
)
