"""Who may do what with images: Glance's names and its secure defaults."""

from pileus.kernel.policy import Rule

ADMIN = "rule:context_is_admin"
SEEN = "or 'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s"
MEMBER = f"{ADMIN} or (role:member and project_id:%(project_id)s)"
SERVICE_OR_MEMBER = "role:service or (role:member and project_id:%(project_id)s)"
READER = f"{ADMIN} or (role:reader and project_id:%(project_id)s)"
READER_WHO_SEES = f"{ADMIN} or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s {SEEN}))"
MEMBER_WHO_SEES = f"{ADMIN} or (role:member and (project_id:%(project_id)s or project_id:%(member_id)s {SEEN}))"
READER_WHO_SHARES = f"{ADMIN} or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s))"

NAMESPACE_READER = f"{ADMIN} or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"

METADEF_READ = (
    "get_metadef_namespaces", "get_metadef_namespace", "get_metadef_objects", "get_metadef_object", "get_metadef_properties",
    "get_metadef_property", "get_metadef_tags", "get_metadef_tag", "list_metadef_resource_types", "get_metadef_resource_type",
)  # fmt: skip
METADEF_WRITE = (
    "add_metadef_namespace", "modify_metadef_namespace", "delete_metadef_namespace",
    "add_metadef_object", "modify_metadef_object", "delete_metadef_object",
    "add_metadef_property", "modify_metadef_property", "remove_metadef_property",
    "add_metadef_tag", "add_metadef_tags", "modify_metadef_tag", "delete_metadef_tag", "delete_metadef_tags",
    "add_metadef_resource_type_association", "remove_metadef_resource_type_association",
)  # fmt: skip
IMAGE = "/v2/images/{image_id}"

RULES = (
    Rule("add_image", f"{ADMIN} or (role:member and project_id:%(project_id)s and project_id:%(owner)s)", ("POST /v2/images",)),
    Rule("get_image", READER_WHO_SEES, (f"GET {IMAGE}",)),
    Rule("get_images", READER, ("GET /v2/images",)),
    Rule("modify_image", MEMBER, (f"PATCH {IMAGE}", f"PUT {IMAGE}/tags/{{tag}}", f"PUT {IMAGE}/stage", f"POST {IMAGE}/import")),
    Rule("delete_image", MEMBER, (f"DELETE {IMAGE}",)),
    Rule("publicize_image", ADMIN, ("POST /v2/images", f"PATCH {IMAGE}"), help="make an image public"),
    Rule("communitize_image", MEMBER, ("POST /v2/images", f"PATCH {IMAGE}"), help="offer an image to everyone who looks for it"),
    Rule("upload_image", MEMBER, (f"PUT {IMAGE}/file",)),
    Rule("download_image", MEMBER_WHO_SEES, (f"GET {IMAGE}/file",)),
    Rule("deactivate", MEMBER, (f"POST {IMAGE}/actions/deactivate",)),
    Rule("reactivate", MEMBER, (f"POST {IMAGE}/actions/reactivate",)),
    Rule("add_member", MEMBER, (f"POST {IMAGE}/members",)),
    Rule("get_member", READER_WHO_SHARES, (f"GET {IMAGE}/members/{{member_id}}",)),
    Rule("get_members", READER_WHO_SHARES, (f"GET {IMAGE}/members",)),
    Rule("modify_member", f"{ADMIN} or (role:member and project_id:%(member_id)s)", (f"PUT {IMAGE}/members/{{member_id}}",)),
    Rule("delete_member", MEMBER, (f"DELETE {IMAGE}/members/{{member_id}}",)),
    Rule("copy_image", ADMIN, (f"POST {IMAGE}/import",), help="copy an image to other stores"),
    Rule("download_from_store", MEMBER_WHO_SEES, (f"GET {IMAGE}/file",), help="say out of which store content is read"),
    Rule("get_image_location", READER, (f"GET {IMAGE}", "DELETE /v2/stores/{store_id}/{image_id}")),
    Rule("set_image_location", MEMBER, (f"PATCH {IMAGE}",)),
    Rule("delete_image_location", ADMIN, (f"PATCH {IMAGE}", "DELETE /v2/stores/{store_id}/{image_id}")),
    Rule("add_image_location", SERVICE_OR_MEMBER, (f"POST {IMAGE}/locations",)),
    Rule("fetch_image_location", "role:service", (f"GET {IMAGE}/locations",)),
    Rule("cache_image", ADMIN, ("PUT /v2/cache/{image_id}",)),
    Rule("cache_list", ADMIN, ("GET /v2/cache",)),
    Rule("cache_delete", ADMIN, ("DELETE /v2/cache", "DELETE /v2/cache/{image_id}")),
    Rule("cache_clean", ADMIN, ("POST /v2/cache/clean",)),
    Rule("cache_prune", ADMIN, ("POST /v2/cache/prune",)),
    Rule("list_cached_nodes", ADMIN, ("GET /v2/cache/nodes/{image_id}",)),
    Rule("tasks_api_access", ADMIN, ("GET /v2/tasks", "GET /v2/tasks/{task_id}", "DELETE /v2/tasks/{task_id}")),
    Rule("stores_info_detail", ADMIN, ("GET /v2/info/stores/detail",)),
    *(Rule(name, NAMESPACE_READER) for name in METADEF_READ),
    *(Rule(name, ADMIN) for name in METADEF_WRITE),
)
