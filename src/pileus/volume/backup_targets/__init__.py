"""The kinds of places where backups are kept, built out of the settings."""

from pathlib import Path

from pileus.kernel.context import Cloud
from pileus.volume.backup_target import BackupTarget
from pileus.volume.backup_targets.files import FileTarget
from pileus.volume.backup_targets.own import OwnTarget
from pileus.volume.backup_targets.swift import SwiftTarget

OWN = "swift"


class Targets:
    """The target of this process, built at its first use.  `Cloud.parts` holds it."""

    def __init__(self) -> None:
        self._target: BackupTarget | None = None

    def get(self, cloud: Cloud) -> BackupTarget:
        """Return the target that the settings name."""
        if self._target is None:
            self._target = build(cloud)
        return self._target

    def put(self, target: BackupTarget) -> None:
        """Use another target from now on."""
        self._target = target


def build(cloud: Cloud) -> BackupTarget:
    """Build the target that the settings name.  :raises TargetError: when its URL is none."""
    settings = cloud.settings
    if settings.volume_backup_url == OWN:
        return OwnTarget(cloud)
    if settings.volume_backup_url:
        return SwiftTarget(settings.volume_backup_url)
    directory = settings.volume_backup_dir or str(Path(settings.state_dir) / "backups")
    return FileTarget(Path(directory))
