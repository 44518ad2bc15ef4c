"""Which step goes with which task state of a server, and what becomes of it when that fails."""

from pileus.compute.driver import Power

POWER: dict[str, tuple[Power, str]] = {
    "powering-off": ("off", "stopped"),
    "powering-on": ("on", "active"),
    "pausing": ("paused", "paused"),
    "unpausing": ("on", "active"),
    "suspending": ("suspended", "suspended"),
    "resuming": ("on", "active"),
}


STEPS = {
    "scheduling": "place", "block_device_mapping": "fill", "spawning": "boot", "rebooting": "reboot", "rebooting_hard": "reboot",
    "rebuilding": "rebuild",
    "image_snapshot": "capture", "image_backup": "capture", "resize_migrating": "resize", "resize_reverting": "revert",
    "rescuing": "rescue", "unrescuing": "unrescue", "shelving": "shelve", "shelving_offloading": "offload",
    "unshelving": "unshelve", "migrating": "cross", "resize_finish": "arrive", "resize_confirming": "confirm",
    "rebuild_spawning": "settle_in",
}  # fmt: skip
UNHARMED = {"image_snapshot", "image_backup", "unshelving", "resize_confirming"}
"""Task states that leave the server as it was when they fail."""
WAY_BACK = {
    "resize_migrating": "fall_back", "resize_finish": "fall_back", "rebuilding": "stay_behind", "rebuild_spawning": "stay_behind",
}  # fmt: skip
"""Task states of a server that moves, and the step by which it goes back to where it was when that fails."""
