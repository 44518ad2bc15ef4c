"""What requests say that a schema alone cannot tell: the arguments of actions, and bodies with something in them."""

from typing import Any

ADDRESS = "203.0.113.9"
UNKNOWN = "00000000-0000-4000-8000-000000000000"

ACTIONS: dict[str, Any] = {
    "reboot": {"type": "SOFT"}, "rebuild": {"imageRef": "$image_id"}, "createImage": {"name": "x"},
    "os-resetState": {"state": "active"}, "os-getConsoleOutput": {}, "addSecurityGroup": {"name": "g"},
    "removeSecurityGroup": {"name": "g"}, "changePassword": {"adminPass": "x"}, "os-getVNCConsole": {"type": "novnc"},
    "os-getSPICEConsole": {"type": "spice-html5"}, "os-getRDPConsole": {"type": "rdp-html5"},
    "os-getSerialConsole": {"type": "serial"}, "resize": {"flavorRef": "$flavor_id"},
    "os-migrateLive": {"host": None, "block_migration": "auto"}, "evacuate": {},
    "createBackup": {"name": "x", "backup_type": "daily", "rotation": 1}, "addFixedIp": {"networkId": "$network"},
    "removeFixedIp": {"address": ADDRESS}, "addFloatingIp": {"address": ADDRESS}, "removeFloatingIp": {"address": ADDRESS},
    "addTenantAccess": {"tenant": "$project_id"}, "removeTenantAccess": {"tenant": "$project_id"},
    "add_host": {"host": "host1"}, "remove_host": {"host": "host1"}, "set_metadata": {"metadata": {"k": "v"}},
    "os-attach": {"mountpoint": "/dev/vdx", "instance_uuid": "$server_id"}, "os-detach": {}, "os-force_detach": {},
    "os-initialize_connection": {"connector": {"host": "x", "initiator": "iqn.x"}},
    "os-terminate_connection": {"connector": {"host": "x"}}, "os-extend": {"new_size": 2}, "os-retype": {"new_type": "$type_id"},
    "os-set_bootable": {"bootable": False}, "os-update_readonly_flag": {"readonly": False},
    "os-volume_upload_image": {"image_name": "x"}, "os-reimage": {"image_id": "$image_id"},
    "revert": {"snapshot_id": "$snapshot_id"}, "os-reset_status": {"status": "available"},
    "os-migrate_volume": {"host": "host1@more"}, "os-migrate_volume_completion": {"new_volume": UNKNOWN},
    "os-extend_volume_completion": {"error": False}, "os-set_image_metadata": {"metadata": {"k": "v"}},
    "os-unset_image_metadata": {"key": "k"}, "os-update_snapshot_status": {"status": "available", "progress": "10%"},
    "addProjectAccess": {"project": "$project_id"}, "removeProjectAccess": {"project": "$project_id"},
    "delete": {"delete-volumes": False}, "reset_status": {"status": "available"}, "enable_replication": {},
    "disable_replication": {}, "failover_replication": {"allow_attached_volume": False, "secondary_backend_id": None},
    "list_replication_targets": {}, "create-from-src": {"group_snapshot_id": UNKNOWN},
}  # fmt: skip
"""The arguments of actions; None where nothing is said.  $WORD is the id of something in the scene."""

OF_PROVIDER = {"resource_provider": {"uuid": "$resource_provider"}}
CONSUMER = {"project_id": "$project_id", "user_id": "$user_id"}
ALLOCATIONS = {
    "allocations": {"$resource_provider": {"resources": {"VCPU": 1}}}, "consumer_generation": None, **CONSUMER,
}  # fmt: skip
SERVER = {"server": {
    "name": "s", "flavorRef": "$flavor_id", "imageRef": "$image_id", "networks": [{"uuid": "$network"}],
}}  # fmt: skip

BODIES: dict[str, Any] = {
    "PUT /volumes/{volume_id}": {"volume": {"name": "n"}}, "PUT /snapshots/{snapshot_id}": {"snapshot": {"name": "n"}},
    "PUT /backups/{backup_id}": {"backup": {"name": "n"}}, "POST /volumes": {"volume": {"size": 1}},
    "PUT /volumes/{volume_id}/metadata/{key}": {"meta": {"k": "v"}},
    "PUT /snapshots/{snapshot_id}/metadata/{key}": {"meta": {"k": "v"}},
    "POST /os-volume-manage": {"volume": {"host": "host1@fake", "ref": {"source-name": "x"}}},
    "POST /manageable_volumes": {"volume": {"host": "host1@fake", "ref": {"source-name": "x"}}},
    "POST /os-snapshot-manage": {"snapshot": {"volume_id": "$volume_id", "ref": {"source-name": "x"}}},
    "POST /manageable_snapshots": {"snapshot": {"volume_id": "$volume_id", "ref": {"source-name": "x"}}},
    "POST /qos-specs": {"qos_specs": {"name": "new"}}, "PUT /types/{type_id}": {"volume_type": {"name": "n"}},
    "PUT /types/{type_id}/extra_specs/{key}": {"k": "v"}, "PUT /group_types/{group_type_id}": {"group_type": {"name": "n"}},
    "PUT /group_types/{group_type_id}/group_specs/{key}": {"k": "v"}, "PUT /groups/{group_id}": {"group": {"name": "n"}},
    "PUT /consistencygroups/{id}": {"consistencygroup": {"name": "n"}},
    "PUT /consistencygroups/{id}/update": {"consistencygroup": {"name": "n"}},
    "volume PUT /os-quota-sets/{project_id}": {"quota_set": {"volumes": 20}},
    "compute PUT /os-quota-sets/{project_id}": {"quota_set": {"cores": 20}}, "PUT /os-hosts/{host}": {"status": "enable"},
    "POST /snapshots": {"snapshot": {"volume_id": "$volume_id", "force": True}},
    "POST /backups": {"backup": {"volume_id": "$volume_id", "force": True}},
    "POST /group_snapshots": {"group_snapshot": {"group_id": "$volume_group"}},
    "POST /cgsnapshots": {"cgsnapshot": {"consistencygroup_id": "$volume_group"}},
    "POST /groups": {"group": {"group_type": "$group_type_id", "volume_types": ["$type_id"]}},
    "PUT /flavors/{flavor_id}/os-extra_specs/{key}": {"k": "v"},
    "PUT /os-aggregates/{aggregate_id}": {"aggregate": {"name": "n"}},
    "POST /os-server-groups": {"server_group": {"name": "n", "policy": "affinity"}},
    "POST /os-server-groups 2.14": {"server_group": {"name": "n", "policies": ["affinity"]}},
    "POST /os-server-groups 2.63": {"server_group": {"name": "n", "policies": ["affinity"]}},
    "POST /os-keypairs": {"keypair": {"name": "mine", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== x"}},
    "compute PUT /os-services/{service_id}": {"status": "enabled"},
    "compute PUT /os-services/{service_id} 2.10": {"host": "host1", "binary": "nova-compute"},
    "compute PUT /os-services/{service_id} 2.52": {"host": "host1", "binary": "nova-compute"},
    "PUT /images/{id}/metadata/{key}": {"meta": {"k": "v"}},
    "POST /resource_providers": {"name": "new"}, "PUT /resource_providers/{uuid}": {"name": "n"},
    "POST /resource_providers/{uuid}/inventories": {"resource_class": "CUSTOM_X", "total": 1},
    "POST /resource_classes": {"name": "CUSTOM_Y"}, "PUT /resource_classes/{name}": {"name": "CUSTOM_Z"},
    "PUT /resource_providers/{uuid}/aggregates": {"resource_provider_generation": 0, "aggregates": []},
    "PUT /resource_providers/{uuid}/aggregates 1.18": [],
    "PUT /allocations/{consumer} 1.7": {"allocations": [OF_PROVIDER | {"resources": {"VCPU": 1}}]},
    "PUT /allocations/{consumer} 1.11": {"allocations": [OF_PROVIDER | {"resources": {"VCPU": 1}}], **CONSUMER},
    "PUT /allocations/{consumer} 1.27": {"allocations": {"$resource_provider": {"resources": {"VCPU": 1}}}, **CONSUMER},
    "PUT /allocations/{consumer} 1.33": ALLOCATIONS, "PUT /allocations/{consumer} 1.37": ALLOCATIONS,
    "PUT /allocations/{consumer}": ALLOCATIONS | {"consumer_type": "INSTANCE"},
    "POST /users": {"user": {"name": "new"}}, "PATCH /users/{user_id}": {"user": {"description": "d"}},
    "identity POST /groups": {"group": {"name": "new"}},
    "POST /endpoints": {"endpoint": {"service_id": "$service_id", "interface": "public", "url": "http://example.org"}},
    "POST /users/{user_id}/application_credentials": {"application_credential": {"name": "x"}},
    "POST /images/{image_id}/import": {"method": {"name": "web-download", "uri": "http://example.org/x"}},
    "POST /attachments": {"attachment": {"volume_uuid": "$volume_id", "instance_uuid": "$server_id"}},
    "PUT /attachments/{attachment_id}": {"attachment": {"connector": {"host": "x"}}},
    "POST /consistencygroups/create_from_src": {"consistencygroup-from-src": {"cgsnapshot_id": "$group_snapshot_id"}},
    "POST /servers": SERVER, "POST /os-volumes_boot": SERVER,
    "POST /servers/{server_id}/shares": {"share": {"share_id": UNKNOWN}},
    "POST /servers/{server_id}/os-volume_attachments": {"volumeAttachment": {"volumeId": "$volume_id"}},
    "PUT /servers/{server_id}/os-volume_attachments/{volume_id}": {"volumeAttachment": {"volumeId": "$volume_id"}},
    "POST /os-server-external-events": {"events": [{"name": "network-changed", "server_uuid": "$server_id"}]},
    "POST /os-security-group-rules": {"security_group_rule": {
        "parent_group_id": "$security-group", "ip_protocol": "tcp", "from_port": 1, "to_port": 1, "cidr": "10.0.0.0/8",
    }},
    "PUT /servers/{server_id}/metadata/{key}": {"meta": {"k": "v"}},
    "PUT /networks/{id}/tags": {"tags": ["blue"]},
}  # fmt: skip
"""Bodies of calls that need more than their schema's smallest, by the call without the version of the API; before it the
service where several have such a call, after it the last microversion where they differ.
"""

OF_NETWORK: dict[str, tuple[str, dict[str, Any]]] = {
    "networks": ("network", {"name": "n"}),
    "subnets": ("subnet", {"network_id": "$network", "ip_version": 4, "cidr": "10.9.0.0/24"}),
    "subnetpools": ("subnetpool", {"name": "n", "prefixes": ["10.8.0.0/16"]}),
    "address-scopes": ("address_scope", {"name": "n", "ip_version": 4}), "ports": ("port", {"network_id": "$network"}),
    "routers": ("router", {"name": "n"}), "floatingips": ("floatingip", {"floating_network_id": "$network"}),
    "security-groups": ("security_group", {"name": "n"}),
    "security-group-rules": ("security_group_rule", {"security_group_id": "$security-group", "direction": "egress"}),
    "default-security-group-rules": ("default_security_group_rule", {"direction": "egress"}),
    "address-groups": ("address_group", {"name": "n"}),
    "rbac-policies": ("rbac_policy", {
        "object_type": "network", "object_id": "$network", "action": "access_as_shared", "target_tenant": "e" * 32,
    }),
    "qos/policies": ("policy", {"name": "n"}), "metering/metering-labels": ("metering_label", {"name": "n"}),
    "metering/metering-label-rules": ("metering_label_rule", {
        "metering_label_id": "$metering-label", "direction": "ingress", "remote_ip_prefix": "10.0.0.0/8",
    }),
    "flavors": ("flavor", {"name": "n", "service_type": "L3_ROUTER_NAT"}),
    "service_profiles": ("service_profile", {"metainfo": "{}"}),
    "trunks": ("trunk", {"port_id": "$port"}), "bandwidth_limit_rules": ("bandwidth_limit_rule", {"max_kbps": 1000}),
    "dscp_marking_rules": ("dscp_marking_rule", {"dscp_mark": 8}),
    "minimum_bandwidth_rules": ("minimum_bandwidth_rule", {"min_kbps": 1000}),
    "port_forwardings": ("port_forwarding", {
        "protocol": "tcp", "external_port": 1, "internal_port": 1, "internal_ip_address": "10.0.0.9", "internal_port_id": "$port",
    }),
    "service_profile": ("service_profile", {"id": UNKNOWN}),
}  # fmt: skip
"""What collections of networking are made of: the key of one, and what makes one.  Changes give it another description."""


def of_network(method: str, path: str) -> Any:
    """Return the body that makes or changes one of a collection of networking; None: the path is not one's."""
    plain = path.removeprefix("/v2.0/")
    if plain.endswith("_router_interface"):
        return {"subnet_id": "$subnet"}
    if plain == "flavors/{id}/service_profiles":
        return {"service_profile": {"id": UNKNOWN}}
    parts = [part for part in plain.split("/") if not part.startswith("{")]
    alias = parts[-1].startswith("alias_")
    found = OF_NETWORK.get("/".join(parts[-2:]), OF_NETWORK.get(parts[-1].removeprefix("alias_")))
    if found is None or method not in ("POST", "PUT"):
        return None
    key, made = found
    if method == "POST":
        return {key: made}
    rule = key.endswith("_rule") or key == "port_forwarding"
    changed = {name: value for name, value in made.items() if isinstance(value, int)} if rule else {"description": "d"}
    changed = {"name": "n"} if key == "address_scope" else changed
    return {f"alias_{key}" if alias else key: {"target_tenant": "e" * 32} if key == "rbac_policy" else changed}


QUERIES: dict[str, dict[str, str]] = {
    "GET /os-volume-manage": {"host": "host1@fake"}, "GET /os-volume-manage/detail": {"host": "host1@fake"},
    "GET /manageable_volumes": {"host": "host1@fake"}, "GET /manageable_volumes/detail": {"host": "host1@fake"},
    "GET /os-snapshot-manage": {"host": "host1@fake"}, "GET /os-snapshot-manage/detail": {"host": "host1@fake"},
    "GET /manageable_snapshots": {"host": "host1@fake"}, "GET /manageable_snapshots/detail": {"host": "host1@fake"},
    "GET /qos-specs/{qos_id}/associate": {"vol_type_id": "$type_id"},
    "GET /qos-specs/{qos_id}/disassociate": {"vol_type_id": "$type_id"},
    "GET /usages": {"project_id": "$project_id"}, "GET /allocation_candidates": {"resources": "VCPU:1"},
}  # fmt: skip
"""The queries that calls cannot do without."""


def filled(value: Any, ids: dict[str, str]) -> Any:
    """Return an example with the ids of what there is in place of $WORD."""
    if isinstance(value, dict):
        return {filled(key, ids): filled(each, ids) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, ids) for each in value]
    return ids[value[1:]] if isinstance(value, str) and value.startswith("$") else value
