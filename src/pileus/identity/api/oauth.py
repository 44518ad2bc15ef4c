"""/v3/OS-OAUTH1, and what users gave by it"""

from typing import Any
from urllib.parse import urlencode

from pileus.identity.api.parts import page, signed, values
from pileus.identity.schemas.fields import given
from pileus.identity.schemas.roles import show_role
from pileus.identity.schemas.trusts import AuthorizeBody, ConsumerBody, show_access, show_consumer
from pileus.identity.service import oauth
from pileus.identity.store.records import OAuthToken
from pileus.kernel.clock import to_iso_micro
from pileus.kernel.http import Answer, Call, Route

FORM = "application/x-www-form-urlencoded"


def list_consumers(call: Call) -> Any:
    """List consumers"""
    return page(call, "consumers", [show_consumer(one, call.base_url) for one in oauth.list_consumers(call.ctx)])


def create_consumer(call: Call) -> Any:
    """Create a consumer; its secret is told only now"""
    made, secret = oauth.create_consumer(call.ctx, values(call, "consumer"))
    return {"consumer": {**show_consumer(made, call.base_url), "secret": secret}}


def show_one_consumer(call: Call) -> Any:
    """Show a consumer"""
    return {"consumer": show_consumer(oauth.get_consumer(call.ctx, call.path["consumer_id"]), call.base_url)}


def update_consumer(call: Call) -> Any:
    """Update a consumer"""
    changed = oauth.update_consumer(call.ctx, call.path["consumer_id"], values(call, "consumer"))
    return {"consumer": show_consumer(changed, call.base_url)}


def delete_consumer(call: Call) -> Any:
    """Delete a consumer and the access given to it"""
    oauth.delete_consumer(call.ctx, call.path["consumer_id"])


def request_token(call: Call) -> Any:
    """Request access to a project, as a consumer"""
    made, secret = oauth.request_access(call.cloud, signed(call), call.headers.get("requested-project-id", ""))
    return _as_form(made, secret)


def access_token(call: Call) -> Any:
    """Take the access that a user authorized, as a consumer"""
    return _as_form(*oauth.give_access(call.cloud, signed(call)))


def _as_form(token: OAuthToken, secret: str) -> Answer:
    told = {"oauth_token": token.id, "oauth_token_secret": secret}
    if token.expires_at is not None:
        told["oauth_expires_at"] = to_iso_micro(token.expires_at)
    return Answer(urlencode(told).encode(), content_type=FORM)


def authorize(call: Call) -> Any:
    """Let a consumer have the access it requested"""
    wanted = [given(role) for role in call.body.roles]
    return {"token": {"oauth_verifier": oauth.authorize(call.ctx, call.path["request_token_id"], wanted)}}


def list_access(call: Call) -> Any:
    """List the access a user gave"""
    found = oauth.list_access(call.ctx, call.path["user_id"])
    return page(call, "access_tokens", [show_access(token, call.base_url) for token in found])


def show_one_access(call: Call) -> Any:
    """Show access that a user gave"""
    return {"access_token": show_access(oauth.get_access(call.ctx, *_named(call)), call.base_url)}


def revoke_access(call: Call) -> Any:
    """Take access back"""
    oauth.revoke_access(call.ctx, *_named(call))


def list_access_roles(call: Call) -> Any:
    """List the roles of access that a user gave"""
    return page(call, "roles", [show_role(role, call.base_url) for role in oauth.list_access_roles(call.ctx, *_named(call))])


def show_access_role(call: Call) -> Any:
    """Show a role of access that a user gave"""
    return {"role": show_role(oauth.get_access_role(call.ctx, *_named(call), call.path["role_id"]), call.base_url)}


def _named(call: Call) -> tuple[str, str]:
    return call.path["user_id"], call.path["access_token_id"]


AT = "/v3/OS-OAUTH1"
CONSUMER = f"{AT}/consumers/{{consumer_id}}"
GIVEN = "/v3/users/{user_id}/OS-OAUTH1/access_tokens"
ONE = f"{GIVEN}/{{access_token_id}}"
ROUTES = (
    Route("GET", f"{AT}/consumers", list_consumers, rule="identity:list_consumers"),
    Route("POST", f"{AT}/consumers", create_consumer, body=ConsumerBody, status=201, rule="identity:create_consumer"),
    Route("GET", CONSUMER, show_one_consumer, rule="identity:get_consumer"),
    Route("PATCH", CONSUMER, update_consumer, body=ConsumerBody, rule="identity:update_consumer"),
    Route("DELETE", CONSUMER, delete_consumer, status=204, rule="identity:delete_consumer"),
    Route("POST", f"{AT}/request_token", request_token, status=201, public=True, raw=True),
    Route("POST", f"{AT}/access_token", access_token, status=201, public=True, raw=True),
    Route("PUT", f"{AT}/authorize/{{request_token_id}}", authorize, body=AuthorizeBody, rule="identity:authorize_request_token"),
    Route("GET", GIVEN, list_access, rule="identity:list_access_tokens"),
    Route("GET", ONE, show_one_access, rule="identity:get_access_token"),
    Route("DELETE", ONE, revoke_access, status=204, rule="identity:delete_access_token"),
    Route("GET", f"{ONE}/roles", list_access_roles, rule="identity:list_access_token_roles"),
    Route("GET", f"{ONE}/roles/{{role_id}}", show_access_role, rule="identity:get_access_token_role"),
)
