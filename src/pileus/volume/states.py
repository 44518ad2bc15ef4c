"""The states of volumes, snapshots, attachments, backups and groups, under cinder's names.

creating --> available <--> reserved/attaching --> in-use <--> detaching       (attachments move a volume)
   |           |  ^                                  |
   |           |  '-- extending, retyping, uploading, backing-up, restoring-backup, reverting, maintenance
   '--> error  '----> deleting --> (gone) | error_deleting
"""

CREATING, AVAILABLE, RESERVED, ATTACHING, IN_USE, DETACHING = (
    "creating", "available", "reserved", "attaching", "in-use", "detaching",
)  # fmt: skip
DELETING, ERROR, ERROR_DELETING, ERROR_EXTENDING, ERROR_RESTORING, ERROR_BACKING_UP = (
    "deleting", "error", "error_deleting", "error_extending", "error_restoring", "error_backing-up",
)  # fmt: skip
EXTENDING, RETYPING, UPLOADING, BACKING_UP, RESTORING, REVERTING, MAINTENANCE, DOWNLOADING, AWAITING_TRANSFER = (
    "extending", "retyping", "uploading", "backing-up", "restoring-backup", "reverting", "maintenance", "downloading",
    "awaiting-transfer",
)  # fmt: skip
MANAGING, UNMANAGING, ERROR_MANAGING = "managing", "unmanaging", "error_managing"

DELETABLE = frozenset({AVAILABLE, ERROR, ERROR_RESTORING, ERROR_EXTENDING, ERROR_MANAGING})
"""States in which a user may delete a volume."""
