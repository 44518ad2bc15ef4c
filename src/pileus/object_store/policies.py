"""Who may do what in the object store.  Containers are opened to others by their access lists, not here."""

from pileus.kernel.policy import Rule

ANY = ("project", "domain", "system")

RULES = (
    Rule(
        "object_store:operate",
        "(role:admin or role:member or role:swiftoperator) and project_id:%(project_id)s",
        ("* /v1/{account}",),
        help="everything in the account of a project (the operator_roles of keystoneauth)",
    ),
    Rule(
        "object_store:read",
        "role:reader and project_id:%(project_id)s",
        ("GET /v1/{account}",),
        help="reading in the account of a project (the project_reader_roles of keystoneauth)",
    ),
    Rule(
        "object_store:read_all",
        "role:reader and system_scope:all",
        ("GET /v1/{account}",),
        ("system",),
        help="reading in every account (the system_reader_roles of keystoneauth)",
    ),
    Rule(
        "object_store:administer",
        "role:reselleradmin",
        ("* /v1/{account}",),
        ANY,
        help="everything in every account (the reseller_admin_role of keystoneauth)",
    ),
    Rule(
        "object_store:serve",
        "role:service",
        ("* /v1/{account}",),
        ANY,
        help="what X-Service-Token must hold for accounts of services (SERVICE_...)",
    ),
)
