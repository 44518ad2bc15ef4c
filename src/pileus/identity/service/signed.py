"""Tokens for those whose requests are signed with a key pair: a service that got such a request asks for one."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pileus.identity import ec2_signatures
from pileus.identity.ec2_signatures import BadSignature
from pileus.identity.payload import Via
from pileus.identity.service import credentials, tokens
from pileus.identity.service.tokens import Token
from pileus.identity.service.words import unauthenticated
from pileus.identity.state import state_of
from pileus.identity.store import rows
from pileus.identity.store.records import Credential, Trust
from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound, Unauthenticated

LASTS_SECONDS = 900.0
"""How old a signature may be."""

METHOD = "ec2credential"
Matches = Callable[[str, Mapping[str, Any]], bool]


def by_ec2(ctx: Context, given: Mapping[str, Any]) -> Token:
    """Return a token for whoever signed a request of EC2.

    :raises NotFound: when there is no such key.
    :raises Unauthenticated: when the signature is not theirs, is too old, or they may do nothing.
    """
    ctx.require("identity:ec2tokens_validate")
    return _log_in(ctx, given, ec2_signatures.matches_ec2)


def by_s3(ctx: Context, given: Mapping[str, Any]) -> Token:
    """Return a token for whoever signed a request of S3.

    :raises NotFound: when there is no such key.
    :raises Unauthenticated: when the signature is not theirs, or they may do nothing.
    """
    ctx.require("identity:s3tokens_validate")
    return _log_in(ctx, given, ec2_signatures.matches_s3)


def _log_in(ctx: Context, given: Mapping[str, Any], matches: Matches) -> Token:
    cloud, access = ctx.cloud, given.get("access")
    if not isinstance(access, str):
        raise Unauthenticated("EC2 Signature not supplied")
    with cloud.db.read() as tx:
        found = rows.get(tx, Credential, credentials.ec2_id(access))
    if found is None or found.type != "ec2":
        raise NotFound("EC2 access key not found.")
    blob = json.loads(credentials.blob_of(cloud, found))
    try:
        good = matches(str(blob.get("secret") or ""), given) if blob.get("secret") else False
        at = ec2_signatures.signed_at(given)
    except BadSignature as error:
        raise Unauthenticated(str(error)) from error
    if not good:
        raise Unauthenticated("Invalid EC2 signature.")
    if at is not None and abs(cloud.clock.now() - at) > LASTS_SECONDS:
        raise Unauthenticated("Credential is expired")
    return _issue(ctx, found, blob)


def _issue(ctx: Context, found: Credential, blob: Mapping[str, Any]) -> Token:
    cloud = ctx.cloud
    view = state_of(cloud).view(cloud)
    via = Via(blob.get("app_cred_id") or "", blob.get("trust_id") or "", blob.get("access_token_id") or "")
    user_id, ends = found.user_id, cloud.clock.now() + cloud.settings.token_seconds
    if via.trust_id:
        with cloud.db.read() as tx:
            trust = rows.get(tx, Trust, via.trust_id)
        if trust is None:
            raise unauthenticated()
        user_id = trust.trustor_user_id if trust.impersonation else trust.trustee_user_id
        ends = min(ends, trust.expires_at or ends)
    facts = tokens.facts_of(cloud, view, user_id, "project", found.project_id or "", via)
    return tokens.issue(cloud, view, facts, (METHOD,), "", ends, via)
