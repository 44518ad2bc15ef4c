"""/v3/credentials and the credentials under /v3/users/{user_id}"""

from typing import Any

from pileus.identity.api.parts import off_threads, page, values, where
from pileus.identity.schemas.credentials import (
    AppCredentialCreateBody,
    CredentialCreateBody,
    CredentialUpdateBody,
    Ec2CreateBody,
    show_app_credential,
    show_credential,
    show_ec2,
    show_rule,
)
from pileus.identity.schemas.fields import given
from pileus.identity.service import app_credentials, credentials
from pileus.identity.store.records import Credential
from pileus.kernel.http import Call, Route


def list_(call: Call) -> Any:
    """List credentials"""
    return page(
        call, "credentials", [_shown(call, found) for found in credentials.list_(call.ctx, where(call, "user_id", "type"))]
    )


def create(call: Call) -> Any:
    """Create a credential"""
    return {"credential": _shown(call, credentials.create(call.ctx, values(call, "credential")))}


def show(call: Call) -> Any:
    """Show a credential"""
    return {"credential": _shown(call, credentials.get(call.ctx, call.path["credential_id"]))}


def update(call: Call) -> Any:
    """Update a credential"""
    changed = credentials.update(call.ctx, call.path["credential_id"], values(call, "credential"))
    return {"credential": _shown(call, changed)}


def delete(call: Call) -> Any:
    """Delete a credential"""
    credentials.delete(call.ctx, call.path["credential_id"])


def _shown(call: Call, credential: Credential) -> dict[str, Any]:
    return show_credential(credential, credentials.blob_of(call.cloud, credential), call.base_url)


def list_ec2(call: Call) -> Any:
    """List a user's EC2 key pairs"""
    found = credentials.list_ec2(call.ctx, call.path["user_id"])
    return page(call, "credentials", [show_ec2(key, call.base_url) for key in found])


def create_ec2(call: Call) -> Any:
    """Create an EC2 key pair"""
    return {"credential": show_ec2(credentials.create_ec2(call.ctx, call.path["user_id"], call.body.tenant_id), call.base_url)}


def show_one_ec2(call: Call) -> Any:
    """Show an EC2 key pair"""
    return {"credential": show_ec2(credentials.get_ec2(call.ctx, call.path["user_id"], call.path["access"]), call.base_url)}


def delete_ec2(call: Call) -> Any:
    """Delete an EC2 key pair"""
    credentials.delete_ec2(call.ctx, call.path["user_id"], call.path["access"])


def list_app(call: Call) -> Any:
    """List a user's application credentials"""
    found = app_credentials.list_(call.ctx, call.path["user_id"], where(call, "name"))
    return page(call, "application_credentials", [show_app_credential(full, call.base_url) for full in found])


def create_app(call: Call) -> Any:
    """Create an application credential"""
    app_credentials.refuse_other_user(call.ctx, call.path["user_id"])
    wanted = given(call.body.application_credential)
    for name in ("project_id", "system", "domain_id"):
        wanted.pop(name, None)
    wanted["unrestricted"] = bool(wanted.get("unrestricted"))
    for name in ("roles", "access_rules"):
        if name in wanted:
            wanted[name] = [given(part) for part in wanted[name]]
    made = app_credentials.create(call.ctx, call.path["user_id"], wanted)
    return {"application_credential": show_app_credential(made, call.base_url)}


def show_app(call: Call) -> Any:
    """Show an application credential"""
    return {"application_credential": show_app_credential(app_credentials.get(call.ctx, call.path["id"]), call.base_url)}


def delete_app(call: Call) -> Any:
    """Delete an application credential"""
    app_credentials.delete(call.ctx, call.path["id"])


def list_rules(call: Call) -> Any:
    """List a user's access rules"""
    found = app_credentials.list_rules(call.ctx, call.path["user_id"], where(call, "service", "path", "method"))
    return page(call, "access_rules", [show_rule(rule, call.base_url) for rule in found])


def show_one_rule(call: Call) -> Any:
    """Show an access rule"""
    return {"access_rule": show_rule(app_credentials.get_rule(call.ctx, call.path["user_id"], call.path["id"]), call.base_url)}


def delete_rule(call: Call) -> Any:
    """Delete an access rule"""
    app_credentials.delete_rule(call.ctx, call.path["user_id"], call.path["id"])


EC2 = "/v3/users/{user_id}/credentials/OS-EC2"
APP = "/v3/users/{user_id}/application_credentials"
RULES = "/v3/users/{user_id}/access_rules"
ROUTES = (
    Route("GET", "/v3/credentials", list_, rule="identity:list_credentials"),
    Route("POST", "/v3/credentials", create, body=CredentialCreateBody, status=201, rule="identity:create_credential"),
    Route("GET", "/v3/credentials/{credential_id}", show, rule="identity:get_credential"),
    Route("PATCH", "/v3/credentials/{credential_id}", update, body=CredentialUpdateBody, rule="identity:update_credential"),
    Route("DELETE", "/v3/credentials/{credential_id}", delete, status=204, rule="identity:delete_credential"),
    Route("GET", EC2, list_ec2, rule="identity:ec2_list_credentials"),
    Route("POST", EC2, create_ec2, body=Ec2CreateBody, status=201, rule="identity:ec2_create_credential"),
    Route("GET", EC2 + "/{access}", show_one_ec2, rule="identity:ec2_get_credential"),
    Route("DELETE", EC2 + "/{access}", delete_ec2, status=204, rule="identity:ec2_delete_credential"),
    Route("GET", APP, list_app, rule="identity:list_application_credentials"),
    Route(
        "POST", APP, off_threads(create_app), body=AppCredentialCreateBody, status=201, stream=True,
        rule="identity:create_application_credential",
    ),
    Route("GET", APP + "/{id}", show_app, rule="identity:get_application_credential"),
    Route("DELETE", APP + "/{id}", delete_app, status=204, rule="identity:delete_application_credential"),
    Route("GET", RULES, list_rules, rule="identity:list_access_rules"),
    Route("GET", RULES + "/{id}", show_one_rule, rule="identity:get_access_rule"),
    Route("DELETE", RULES + "/{id}", delete_rule, status=204, rule="identity:delete_access_rule"),
)  # fmt: skip
