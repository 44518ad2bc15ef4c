"""How the states of a server hang together: what a user is shown, and what may be asked when.

A server has three states: `vm_state` (what it is), `task_state` (what is being done to it, None between) and
`power_state` (what its host last said).  The one word that users know, `status`, is computed from the first two.
"""

from collections.abc import Iterable

from pileus.compute.driver import SeenPower

NOSTATE, RUNNING, PAUSED, SHUTDOWN, CRASHED, SUSPENDED = 0, 1, 3, 4, 6, 7

POWER: dict[SeenPower | None, int] = {
    "on": RUNNING,
    "off": SHUTDOWN,
    "paused": PAUSED,
    "suspended": SUSPENDED,
    "crashed": CRASHED,
    None: NOSTATE,
}
VM_STATE: dict[SeenPower, str] = {
    "on": "active",
    "off": "stopped",
    "paused": "paused",
    "suspended": "suspended",
    "crashed": "stopped",
}

STATUS = {
    "building": "BUILD",
    "active": "ACTIVE",
    "stopped": "SHUTOFF",
    "paused": "PAUSED",
    "suspended": "SUSPENDED",
    "error": "ERROR",
    "deleted": "DELETED",
    "soft-delete": "SOFT_DELETED",
    "rescued": "RESCUE",
    "resized": "VERIFY_RESIZE",
    "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
}
UNDER_WAY = {
    ("active", "rebooting"): "REBOOT",
    ("active", "reboot_started"): "REBOOT",
    ("active", "rebooting_hard"): "HARD_REBOOT",
    ("active", "rebuilding"): "REBUILD",
    ("stopped", "rebuilding"): "REBUILD",
    ("error", "rebuilding"): "REBUILD",
    ("active", "rebuild_spawning"): "REBUILD",
    ("stopped", "rebuild_spawning"): "REBUILD",
    ("error", "rebuild_spawning"): "REBUILD",
    ("active", "resize_migrating"): "RESIZE",
    ("stopped", "resize_migrating"): "RESIZE",
    ("active", "resize_finish"): "RESIZE",
    ("stopped", "resize_finish"): "RESIZE",
    ("resized", "resize_reverting"): "REVERT_RESIZE",
    ("active", "migrating"): "MIGRATING",
    ("paused", "migrating"): "MIGRATING",
}
STATUSES = {*STATUS.values(), *UNDER_WAY.values(), "MIGRATING", "PASSWORD", "RESIZE", "REVERT_RESIZE", "UNKNOWN"}

ANY = frozenset(STATUS)
ALLOWED: dict[str, frozenset[str]] = {
    "start": frozenset({"stopped"}),
    "stop": frozenset({"active", "error"}),
    "pause": frozenset({"active"}),
    "unpause": frozenset({"paused"}),
    "suspend": frozenset({"active"}),
    "resume": frozenset({"suspended"}),
    "reboot": frozenset({"active"}),
    "reboot_hard": frozenset({"active", "stopped", "paused", "suspended", "error"}),
    "rebuild": frozenset({"active", "stopped", "error"}),
    "createImage": frozenset({"active", "stopped", "paused", "suspended"}),
    "createBackup": frozenset({"active", "stopped", "paused", "suspended"}),
    "attach_volume": frozenset({"active", "paused", "stopped", "resized", "soft-delete", "shelved", "shelved_offloaded"}),
    "detach_volume": frozenset({"active", "paused", "stopped", "resized", "soft-delete", "shelved", "shelved_offloaded"}),
    "swap_volume": frozenset({"active", "paused", "resized"}),
    "attach_interface": frozenset({"active", "paused", "stopped"}),
    "detach_interface": frozenset({"active", "paused", "stopped"}),
    "resize": frozenset({"active", "stopped"}),
    "migrate": frozenset({"active", "stopped"}),
    "os-migrateLive": frozenset({"active", "paused"}),
    "evacuate": frozenset({"active", "stopped", "error"}),
    "shelve": frozenset({"active", "stopped", "paused", "suspended"}),
    "shelveOffload": frozenset({"shelved"}),
    "unshelve": frozenset({"shelved", "shelved_offloaded"}),
    "rescue": frozenset({"active", "stopped", "error"}),
    "unrescue": frozenset({"rescued"}),
    "confirmResize": frozenset({"resized"}),
    "revertResize": frozenset({"resized"}),
    "restore": frozenset({"soft-delete"}),
    "trigger_crash_dump": frozenset({"active", "paused"}),
    "get_vnc_console": ANY - {"building"},
    "diagnostics": frozenset({"active", "paused", "suspended", "stopped"}),
    "update_metadata": frozenset({"active", "paused", "suspended", "stopped", "error"}),
    "create share": frozenset({"stopped"}),
    "delete share": frozenset({"stopped", "error"}),
    "update_tags": frozenset({"active", "paused", "suspended", "stopped"}),
}
BUSY_ALLOWED = {"reboot_hard": frozenset({"rebooting", "rebooting_hard"})}


def status(vm_state: str, task_state: str | None) -> str:
    """Return the word that users know."""
    return UNDER_WAY.get((vm_state, task_state or ""), STATUS.get(vm_state, "UNKNOWN"))


def of_statuses(words: Iterable[str]) -> list[tuple[str, tuple[str, ...] | None, bool]]:
    """Return what servers of these statuses look like, as (vm_state, task_states, whether they are meant or excluded).

    task_states None means any.
    """
    found: list[tuple[str, tuple[str, ...] | None, bool]] = []
    wanted = {word.upper() for word in words}
    for vm_state, word in STATUS.items():
        if word in wanted:
            other = tuple(task for (vm, task), shown in UNDER_WAY.items() if vm == vm_state and shown not in wanted)
            found.append((vm_state, other or None, False))
    found += [(vm_state, (task,), True) for (vm_state, task), word in UNDER_WAY.items() if word in wanted]
    return found
