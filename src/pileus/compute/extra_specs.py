"""Which extra specs of flavors are valid: the namespaces that nova knows, and what their values look like.

Keys of other namespaces are an operator's own and may hold anything.  From microversion 2.86 on a known namespace takes
only its known keys.
"""

import re

BOOLEAN = r"(?i)true|false|1|0|on|off|yes|no|t|f|y|n"
NUMBER = r"-?[0-9]+"
TEXT = r".*"

NAMESPACES = {"hw", "hw_rng", "hw_video", "quota", "trait", "resources", "accel", "pci_passthrough", "os", "hide_hypervisor_id"}

KNOWN: tuple[tuple[str, str], ...] = (
    (r"trait(_\w+|[1-9][0-9]*)?:[A-Z0-9_]+", r"required|forbidden"),
    (r"resources(_\w+|[1-9][0-9]*)?:[A-Z0-9_]+", r"[0-9]+"),
    (r"group_policy", r"none|isolate"),
    (r"hw:cpu_(policy)", r"shared|dedicated|mixed"),
    (r"hw:cpu_thread_policy", r"prefer|isolate|require"),
    (r"hw:emulator_threads_policy", r"isolate|share"),
    (r"hw:cpu_(max_)?(sockets|cores|threads)", NUMBER),
    (r"hw:numa_nodes", r"[1-9][0-9]*"),
    (r"hw:numa_(cpus|mem)\.[0-9]+", TEXT),
    (r"hw:(cpu_dedicated_mask|cpu_realtime_mask|maxphysaddr_mode|maxphysaddr_bits|mem_page_size|watchdog_action)", TEXT),
    (r"hw:(cpu_realtime|boot_menu|mem_encryption|pmu|hide_hypervisor_id|locked_memory|tpm_version|tpm_model)", TEXT),
    (r"hw:(pci_numa_affinity_policy|pmem|vif_multiqueue_enabled|virtio_packed_ring|viommu_model|serial_port_count)", TEXT),
    (r"hw_rng:allowed", BOOLEAN),
    (r"hw_rng:rate_(bytes|period)", r"[0-9]+"),
    (r"hw_video:ram_max_mb", r"[0-9]+"),
    (r"quota:(cpu|memory|disk_io|vif)_(limit|reservation|shares_level|shares_share)", TEXT),
    (r"quota:cpu_(shares|period|quota)", NUMBER),
    (r"quota:disk_(read|write|total)_(bytes|iops)_sec(_max|_max_length)?", r"[0-9]+"),
    (r"quota:vif_(inbound|outbound)_(average|peak|burst)", r"[0-9]+"),
    (r"accel:device_profile", TEXT),
    (r"pci_passthrough:alias", TEXT),
    (r"os:(secure_boot|vsm_checks)", TEXT),
    (r"hide_hypervisor_id", BOOLEAN),
)


def explain_invalid(key: str, value: str) -> str:
    """Say why an extra spec is not valid, or return nothing when it is."""
    for name, values in KNOWN:
        if re.fullmatch(name, key):
            return "" if re.fullmatch(values, value) else f"Validation failed; '{value}' is not a valid value for '{key}'."
    if re.split(r"[:_]|[0-9]", key)[0] in NAMESPACES or key.partition(":")[0] in NAMESPACES:
        return f"Validation failed; extra spec '{key}' does not appear to be a valid extra spec."
    return ""
