"""/v3/ec2tokens, /v3/s3tokens and /v3/OS-OAUTH2: tokens by other proofs than those of /v3/auth/tokens"""

import base64
import binascii
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from pileus.identity.api.auth import answer_token
from pileus.identity.api.parts import off_threads
from pileus.identity.login import AppCredentialMethod, Auth, Identity
from pileus.identity.service import auth, signed
from pileus.kernel.errors import BadRequest, Unauthenticated
from pileus.kernel.http import Answer, Call, Route

FORM = "application/x-www-form-urlencoded"
PLACES = ("credentials", "credential", "ec2Credentials")


def _given(call: Call) -> dict[str, Any]:
    if not isinstance(call.body, dict) or not call.body:
        raise BadRequest("request must include a request body")
    found: Any = next((call.body[name] for name in PLACES if call.body.get(name)), {})
    if not isinstance(found, dict):
        raise BadRequest("The credentials must be an object.")
    return found


def by_ec2(call: Call) -> Any:
    """Make a token for whoever signed a request of EC2"""
    return answer_token(call, signed.by_ec2(call.ctx, _given(call)))


def by_s3(call: Call) -> Any:
    """Make a token for whoever signed a request of S3"""
    return answer_token(call, signed.by_s3(call.ctx, _given(call)))


def by_oauth2(call: Call) -> Any:
    """Make a token for an application credential, by OAuth 2.0's client credentials"""
    form = {name: values[-1] for name, values in parse_qs(call.raw.decode("latin-1"), keep_blank_values=True).items()}
    if call.headers.get("content-type", "").partition(";")[0].strip() != FORM or "grant_type" not in form:
        return _refusal(400, "invalid_request", "The parameter grant_type is required.")
    if form["grant_type"] != "client_credentials":
        return _refusal(400, "unsupported_grant_type", f"The parameter grant_type {form['grant_type']} is not supported.")
    id, secret = _basic(call) or (form.get("client_id", ""), form.get("client_secret", ""))
    if not id or not secret:
        return _refusal(401, "invalid_client", "Client authentication failed.")
    proof = Identity(["application_credential"], application_credential=AppCredentialMethod(secret, id=id))
    try:
        token = auth.log_in(call.cloud, Auth(proof))
    except Unauthenticated as error:
        return _refusal(401, "invalid_client", error.message)
    lasts_seconds = round(token.payload.expires_at - token.payload.issued_at)
    body = {"access_token": token.id, "token_type": "Bearer", "expires_in": lasts_seconds}
    return Answer(body, 200, {"Cache-Control": "no-store", "Pragma": "no-cache"})


def _basic(call: Call) -> tuple[str, str] | None:
    kind, _, text = call.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote_plus(name), unquote_plus(secret)


def _refusal(status: int, error: str, description: str) -> Answer:
    return Answer({"error": error, "error_description": description}, status)


ROUTES = (
    Route("POST", "/v3/ec2tokens", by_ec2, rule="identity:ec2tokens_validate", errors=(400, 401, 403, 404)),
    Route("POST", "/v3/s3tokens", by_s3, rule="identity:s3tokens_validate", errors=(400, 401, 403, 404)),
    Route("POST", "/v3/OS-OAUTH2/token", off_threads(by_oauth2), public=True, stream=True, errors=(400, 401)),
)
