"""Who may use placement: admins and the services of the cloud, as placement's own rules have it."""

from pileus.kernel.policy import Rule

PROVIDERS = "placement:resource_providers:"
CLASS_NAMES = "placement:resource_classes:"
TRAIT_NAMES = "placement:traits:"
ALLOCATIONS = "placement:allocations:"
INVENTORIES = "/resource_providers/{uuid}/inventories"

RULES = tuple(
    Rule("placement:" + name, check, tuple(paths))
    for name, check, *paths in (
        ("resource_providers:list", "rule:service_or_admin", "GET /resource_providers"),
        ("resource_providers:create", "rule:service_or_admin", "POST /resource_providers"),
        ("resource_providers:show", "rule:service_or_admin", "GET /resource_providers/{uuid}"),
        ("resource_providers:update", "rule:service_or_admin", "PUT /resource_providers/{uuid}"),
        ("resource_providers:delete", "rule:service_or_admin", "DELETE /resource_providers/{uuid}"),
        ("resource_classes:list", "rule:service_or_admin", "GET /resource_classes"),
        ("resource_classes:create", "rule:service_or_admin", "POST /resource_classes"),
        ("resource_classes:show", "rule:service_or_admin", "GET /resource_classes/{name}"),
        ("resource_classes:update", "rule:service_or_admin", "PUT /resource_classes/{name}"),
        ("resource_classes:delete", "rule:service_or_admin", "DELETE /resource_classes/{name}"),
        ("resource_providers:inventories:list", "rule:service_or_admin", "GET /resource_providers/{uuid}/inventories"),
        ("resource_providers:inventories:create", "rule:service_or_admin", "POST /resource_providers/{uuid}/inventories"),
        ("resource_providers:inventories:show", "rule:service_or_admin", "GET /resource_providers/{uuid}/inventories/{class}"),
        ("resource_providers:inventories:update", "rule:service_or_admin", f"PUT {INVENTORIES}", f"PUT {INVENTORIES}/{{class}}"),
        (
            "resource_providers:inventories:delete",
            "rule:service_or_admin",
            f"DELETE {INVENTORIES}",
            f"DELETE {INVENTORIES}/{{class}}",
        ),
        ("resource_providers:aggregates:list", "rule:service_or_admin", "GET /resource_providers/{uuid}/aggregates"),
        ("resource_providers:aggregates:update", "rule:service_or_admin", "PUT /resource_providers/{uuid}/aggregates"),
        ("resource_providers:usages", "rule:service_or_admin", "GET /resource_providers/{uuid}/usages"),
        ("usages", "rule:project_reader_or_admin or rule:service", "GET /usages"),
        ("traits:list", "rule:service_or_admin", "GET /traits"),
        ("traits:show", "rule:service_or_admin", "GET /traits/{name}"),
        ("traits:update", "rule:service_or_admin", "PUT /traits/{name}"),
        ("traits:delete", "rule:service_or_admin", "DELETE /traits/{name}"),
        ("resource_providers:traits:list", "rule:service_or_admin", "GET /resource_providers/{uuid}/traits"),
        ("resource_providers:traits:update", "rule:service_or_admin", "PUT /resource_providers/{uuid}/traits"),
        ("resource_providers:traits:delete", "rule:service_or_admin", "DELETE /resource_providers/{uuid}/traits"),
        ("allocations:manage", "rule:service_or_admin", "POST /allocations"),
        ("allocations:list", "rule:service_or_admin", "GET /allocations/{consumer_uuid}"),
        ("allocations:update", "rule:service_or_admin", "PUT /allocations/{consumer_uuid}"),
        ("allocations:delete", "rule:service_or_admin", "DELETE /allocations/{consumer_uuid}"),
        ("resource_providers:allocations:list", "rule:service_or_admin", "GET /resource_providers/{uuid}/allocations"),
        ("allocation_candidates:list", "rule:service_or_admin", "GET /allocation_candidates"),
    )
)
