"""The guest's root file system as a folder: busybox and its applets, programs with their libraries, modules and our scripts.

All program folders are one (`/sbin`, `/usr/bin` and `/usr/sbin` lead to `/bin`), so every path people know works. The folder is
made by an ordinary user; owners are set later, in the file system image, from `Owner`.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pileus.guest import modules
from pileus.guest.packages import Sources

FILES = Path(__file__).parent / "root"
FOLDERS = (
    "bin", "lib/guest", "lib64", "usr/lib", "etc/dropbear", "etc/init.d", "proc", "sys", "dev", "run", "mnt", "media",
    "var/lib", "var/log", "var/tmp", "root/.ssh", "home/cirros/.ssh", "tmp", "opt", "srv",
)  # fmt: skip
LINKS = {
    "sbin": "bin",
    "usr/bin": "../bin",
    "usr/sbin": "../bin",
    "usr/lib/x86_64-linux-gnu": "../../lib/x86_64-linux-gnu",
    "var/run": "/run",
    "etc/mtab": "/proc/mounts",
    "bin/ssh": "dbclient",
    "bin/mkfs.ext2": "mke2fs",
    "bin/mkfs.ext3": "mke2fs",
    "bin/mkfs.ext4": "mke2fs",
    "bin/fsck.ext4": "e2fsck",
}
MODES = {
    "bin/busybox": 0o4755,  # it gives the rights up again in all applets but those that need them: ping, su, passwd
    "etc/shadow": 0o600,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
    "root": 0o700,
    "root/.ssh": 0o700,
    "home/cirros/.ssh": 0o700,
    "lib/guest/become": 0o4750,
}
CIRROS_ID, SUDO_GROUP_ID = 1000, 27


@dataclass(frozen=True)
class Owner:
    """Who owns a path (relative to the root) in the image."""

    user_id: int
    group_id: int


OWNERS = {
    "home/cirros": Owner(CIRROS_ID, CIRROS_ID),
    "home/cirros/.ssh": Owner(CIRROS_ID, CIRROS_ID),
    "home/cirros/.ssh/authorized_keys": Owner(CIRROS_ID, CIRROS_ID),
    "lib/guest/become": Owner(0, SUDO_GROUP_ID),
}


def fill(root: Path, sources: Sources) -> None:
    """Make the whole tree in the empty folder `root`."""
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    add_programs(root, sources)
    add_busybox(root, sources.busybox)
    add_modules(root / "lib/modules" / sources.kernel.version, sources.kernel.modules)
    add_scripts(root)
    for name in ("root/.ssh/authorized_keys", "home/cirros/.ssh/authorized_keys"):
        (root / name).touch()
        (root / name).chmod(0o600)
    for name, mode in MODES.items():
        (root / name).chmod(mode)


def add_programs(root: Path, sources: Sources) -> None:
    """Copy the programs, and every library any of them is linked with."""
    for name, path in sources.programs.items():
        shutil.copyfile(path, root / "bin" / name)
        (root / "bin" / name).chmod(0o755)
    (root / "bin/setpriv").rename(root / "lib/guest/become")
    shutil.copyfile("/etc/mke2fs.conf", root / "etc/mke2fs.conf")
    listing = subprocess.run(
        [str(sources.tools["ldd"]), *map(str, sources.programs.values())], check=True, capture_output=True, text=True
    ).stdout
    for library in sorted(set(re.findall(r"(/lib\S+) \(0x", listing))):
        copy = root / library.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library, copy)
        copy.chmod(0o755)


def add_busybox(root: Path, busybox: Path) -> None:
    """Copy busybox and link each of its applets that is no program of its own."""
    shutil.copyfile(busybox, root / "bin/busybox")
    (root / "bin/busybox").chmod(0o755)
    own = {path.name for path in (FILES / "bin").iterdir()}
    applets = subprocess.run([str(busybox), "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        link = root / "bin" / applet
        if applet not in own and not link.exists() and not link.is_symlink():
            link.symlink_to("busybox")


def add_modules(folder: Path, kernel_modules: Path) -> None:
    """Copy the modules and write modprobe's index files."""
    folder.mkdir(parents=True)
    chosen = modules.closure(kernel_modules, modules.DISK_MODULES + modules.OTHER_MODULES)
    for module in chosen:
        (folder / f"{module.name}.ko").write_bytes(module.content)
    for name, text in modules.index(chosen).items():
        (folder / name).write_text(text)


def add_scripts(root: Path) -> None:
    """Copy our own files; what begins with `#!` can be run."""
    for source in sorted(FILES.rglob("*")):
        copy = root / source.relative_to(FILES)
        if source.is_dir():
            copy.mkdir(exist_ok=True, parents=True)
            continue
        content = source.read_bytes()
        copy.write_bytes(content)
        copy.chmod(0o755 if content.startswith(b"#!") else 0o644)
