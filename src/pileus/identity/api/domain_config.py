"""/v3/domains/{domain_id}/config"""

from typing import Any

from pileus.identity.schemas.extensions import ConfigBody
from pileus.identity.service import domain_config
from pileus.kernel.http import Answer, Call, Route


def show_defaults(call: Call) -> Any:
    """Show what holds where a domain says nothing"""
    return {"config": domain_config.defaults(call.ctx, *_named(call))}


def show(call: Call) -> Any:
    """Show options of a domain"""
    return {"config": domain_config.get(call.ctx, call.path["domain_id"], *_named(call))}


def show_compliance(call: Call) -> Any:
    """Show what passwords of a domain have to look like"""
    found = domain_config.compliance(call.ctx, call.path["domain_id"])
    return {"config": {"security_compliance": found}}


def show_compliance_option(call: Call) -> Any:
    """Show one demand on passwords of a domain"""
    found = domain_config.compliance(call.ctx, call.path["domain_id"])
    option = call.route.path.rpartition("/")[2]
    return {"config": {option: found[option]}}


def put(call: Call) -> Any:
    """Write all options of a domain"""
    made, fresh = domain_config.put(call.ctx, call.path["domain_id"], call.body.config)
    return Answer({"config": made}, 201 if fresh else 200)


def update(call: Call) -> Any:
    """Change options of a domain"""
    return {"config": domain_config.update(call.ctx, call.path["domain_id"], call.body.config, *_named(call))}


def delete(call: Call) -> Any:
    """Forget options of a domain"""
    domain_config.delete(call.ctx, call.path["domain_id"], *_named(call))


def _named(call: Call) -> tuple[str, str]:
    return call.path.get("group", ""), call.path.get("option", "")


AT = "/v3/domains/{domain_id}/config"
COMPLIANCE = f"{AT}/security_compliance"
READ_COMPLIANCE = "identity:get_security_compliance_domain_config"
PLACES = (AT, f"{AT}/{{group}}", f"{AT}/{{group}}/{{option}}")
ROUTES = (
    *(
        Route("GET", f"/v3/domains/config{place}/default", show_defaults, rule="identity:get_domain_config_default")
        for place in ("", "/{group}", "/{group}/{option}")
    ),
    Route("GET", COMPLIANCE, show_compliance, rule=READ_COMPLIANCE),
    Route("GET", f"{COMPLIANCE}/password_regex", show_compliance_option, rule=READ_COMPLIANCE),
    Route("GET", f"{COMPLIANCE}/password_regex_description", show_compliance_option, rule=READ_COMPLIANCE),
    Route("PUT", AT, put, body=ConfigBody, status=201, rule="identity:create_domain_config"),
    *(Route("GET", place, show, rule="identity:get_domain_config") for place in PLACES),
    *(Route("PATCH", place, update, body=ConfigBody, rule="identity:update_domain_config") for place in PLACES),
    *(Route("DELETE", place, delete, status=204, rule="identity:delete_domain_config") for place in PLACES),
)
