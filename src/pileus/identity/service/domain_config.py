"""Options of one domain that stand beside those of the cloud: where its users come from (groups identity and ldap).

The options are kept, with the password encrypted; users come out of the database whatever they say.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.identity.service.users import require_domain
from pileus.identity.state import state_of
from pileus.identity.store import rows
from pileus.identity.store.records import DomainConfig
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import Forbidden, NotFound

SECRET = ("ldap", "password")
OBJECTS: dict[str, Any] = {
    "user_tree_dn": None, "user_filter": None, "user_objectclass": "inetOrgPerson", "user_id_attribute": "cn",
    "user_name_attribute": "sn", "user_description_attribute": "description", "user_mail_attribute": "mail",
    "user_pass_attribute": "userPassword", "user_enabled_attribute": "enabled", "user_enabled_invert": False,
    "user_enabled_mask": 0, "user_enabled_default": "True", "user_attribute_ignore": ["default_project_id"],
    "user_default_project_id_attribute": None, "user_enabled_emulation": False, "user_enabled_emulation_dn": None,
    "user_enabled_emulation_use_group_config": False, "user_additional_attribute_mapping": [],
    "group_tree_dn": None, "group_filter": None, "group_objectclass": "groupOfNames", "group_id_attribute": "cn",
    "group_name_attribute": "ou", "group_member_attribute": "member", "group_members_are_ids": False,
    "group_desc_attribute": "description", "group_attribute_ignore": [], "group_additional_attribute_mapping": [],
    "group_ad_nesting": False,
}  # fmt: skip
CONNECTION: dict[str, Any] = {
    "url": "ldap://localhost", "user": None, "suffix": "cn=example,cn=com", "query_scope": "one", "page_size": 0,
    "alias_dereferencing": "default", "debug_level": None, "chase_referrals": None, "tls_cacertfile": None,
    "tls_cacertdir": None, "use_tls": False, "tls_req_cert": "demand", "connection_timeout": -1, "use_pool": True,
    "pool_size": 10, "pool_retry_max": 3, "pool_retry_delay": 0.1, "pool_connection_timeout": -1,
    "pool_connection_lifetime": 600, "use_auth_pool": True, "auth_pool_size": 100, "auth_pool_connection_lifetime": 60,
}  # fmt: skip
DEFAULTS: dict[str, dict[str, Any]] = {
    "identity": {"driver": "sql", "list_limit": None},
    "ldap": {**CONNECTION, **OBJECTS},
}


def defaults(ctx: Context, group: str = "", option: str = "") -> dict[str, Any]:
    """Return what holds where a domain says nothing.

    :raises Forbidden: when there is no such group or option.
    """
    ctx.require("identity:get_domain_config_default", {})
    _check_names(group, option)
    return _pick(DEFAULTS, group, option)


def get(ctx: Context, domain_id: str, group: str = "", option: str = "") -> dict[str, Any]:
    """Return the options of a domain: all, of a group, or one.  Secret ones are left out.

    :raises NotFound: when it has none.
    """
    ctx.require("identity:get_domain_config", {})
    with ctx.cloud.db.read() as tx:
        require_domain(tx, domain_id)
        _check_names(group, option)
        shown = _shown(_stored(tx, domain_id, group, option))
    if option and option not in shown.get(group, {}):
        raise _missing(domain_id, group, option)
    return _pick(shown, group, option)


def put(ctx: Context, domain_id: str, groups: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Write all options of a domain; returns them and whether there were none before."""
    ctx.require("identity:create_domain_config", {})
    checked = _checked(groups)
    with ctx.cloud.db.begin() as tx:
        require_domain(tx, domain_id)
        fresh = not rows.drop(tx, DomainConfig, id=domain_id)
        rows.add(tx, DomainConfig(domain_id, _sealed(ctx.cloud, checked)), "domain config", "Duplicate entry.")
    return _shown(checked), fresh


def update(ctx: Context, domain_id: str, given: Mapping[str, Any], group: str = "", option: str = "") -> dict[str, Any]:
    """Change options of a domain: any, those of a group, or one.

    :raises NotFound: when it has not what is to be changed.
    :raises Forbidden: when the body is not about what the URL names.
    """
    ctx.require("identity:update_domain_config", {})
    _check_names(group, option)
    if option and group not in given:
        given = {group: given}
    if group and set(given) != {group}:
        raise _invalid(f"group in URL ({group}) does not match group in request body ({', '.join(given)})")
    if option and set(given[group]) != {option}:
        raise _invalid(f"option in URL ({option}) does not match option in request body")
    checked = _checked(given)
    with ctx.cloud.db.begin() as tx:
        require_domain(tx, domain_id)
        old = _stored(tx, domain_id, group, option)
        for name, options in _sealed(ctx.cloud, checked).items():
            old[name] = {**old.get(name, {}), **options}
        rows.change(tx, DomainConfig, domain_id, {"groups": old})
    return _shown(old)


def delete(ctx: Context, domain_id: str, group: str = "", option: str = "") -> None:
    """Forget options of a domain: all, those of a group, or one.

    :raises NotFound: when it has none.
    """
    ctx.require("identity:delete_domain_config", {})
    _check_names(group, option)
    with ctx.cloud.db.begin() as tx:
        require_domain(tx, domain_id)
        left = _stored(tx, domain_id, group, option)
        if option:
            left[group].pop(option)
        elif group:
            left.pop(group)
        left = {name: options for name, options in left.items() if options} if group else {}
        if left:
            rows.change(tx, DomainConfig, domain_id, {"groups": left})
        else:
            rows.drop(tx, DomainConfig, id=domain_id)


def compliance(ctx: Context, domain_id: str) -> dict[str, str | None]:
    """Return what a domain's passwords have to look like."""
    ctx.require("identity:get_security_compliance_domain_config", {})
    with ctx.cloud.db.read() as tx:
        require_domain(tx, domain_id)
    settings = ctx.cloud.settings
    return {
        "password_regex": settings.password_regex or None,
        "password_regex_description": settings.password_regex_description or None,
    }


def _stored(tx: Connection, domain_id: str, group: str, option: str) -> dict[str, dict[str, Any]]:
    found = rows.get(tx, DomainConfig, domain_id)
    groups = {name: dict(options) for name, options in found.groups.items()} if found else {}
    there = bool(groups) if not group else group in groups and (not option or option in groups[group])
    if not there:
        raise _missing(domain_id, group, option)
    return groups


def _missing(domain_id: str, group: str, option: str) -> NotFound:
    what = f"option {option} in group {group}" if option else f"group {group}" if group else "any options"
    return NotFound(f"Could not find {what} in domain configuration for domain {domain_id}.")


def _pick(groups: Mapping[str, Mapping[str, Any]], group: str, option: str) -> dict[str, Any]:
    if option:
        return {option: groups[group][option]}
    return {group: dict(groups[group])} if group else {name: dict(options) for name, options in groups.items()}


def _check_names(group: str, option: str) -> None:
    if group and group not in DEFAULTS:
        raise _invalid(f"group {group} is not supported for domain specific configurations")
    if option and option not in DEFAULTS[group] and (group, option) != SECRET:
        raise _invalid(f"option {option} in group {group} is not supported for domain specific configurations")


def _checked(groups: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    if not groups:
        raise _invalid("no options specified")
    for group, options in groups.items():
        _check_names(group, "")
        if not isinstance(options, dict) or not options:
            raise _invalid(f"no options specified in group {group}")
        for option in options:
            _check_names(group, option)
    return {group: dict(options) for group, options in groups.items()}


def _invalid(reason: str) -> Forbidden:
    return Forbidden(f"Invalid domain specific configuration: {reason}.")


def _sealed(cloud: Cloud, groups: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    group, option = SECRET
    found = {name: dict(options) for name, options in groups.items()}
    if option in found.get(group, {}):
        secret = str(found[group][option]).encode()
        found[group][option] = state_of(cloud).credential_keys.encrypt(secret, cloud.clock.now())
    return found


def _shown(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {k: v for k, v in options.items() if (name, k) != SECRET} for name, options in groups.items()}
