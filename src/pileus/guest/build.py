"""The steps from Debian packages to a bootable qcow2."""

import gzip
from dataclasses import dataclass
from pathlib import Path

from pileus.guest import cpio, disk, modules, tree
from pileus.guest.packages import Progress, Sources, locate

INIT = Path(__file__).parent / "initramfs" / "init"
INITRAMFS_APPLETS = ("sh", "mount", "modprobe", "cat", "dd", "printf", "sleep", "blockdev", "switch_root", "ls", "mknod", "dmesg")
# What shortens the boot of an emulated guest: no console chatter, no security modules, no checks of timers that are known good,
# no workarounds for the leaks of processors it does not have, no clearing of every page twice.
KERNEL_ARGUMENTS = (
    "console=tty0 console=ttyS0,115200 quiet net.ifnames=0 panic=5 mitigations=off apparmor=0 audit=0 init_on_alloc=0 "
    "tsc=reliable no_timer_check nokaslr cryptomgr.notests rcupdate.rcu_expedited=1"
)


@dataclass(frozen=True)
class Facts:
    """What was built."""

    path: Path
    size_bytes: int
    virtual_size_bytes: int
    kernel_version: str
    kernel_arguments: str
    user: str = "cirros"


def build(
    out_path: Path,
    work_dir: Path,
    progress: Progress = lambda message: None,
    *,
    kernel_dir: Path | None = None,
    packages_dir: Path | None = None,
) -> Facts:
    """Build the guest image at `out_path`, which appears whole or not at all.

    :param work_dir: an empty folder for some 150 MB of intermediate files; the caller removes it.
    :param progress: called with a line of text at each step.
    :param kernel_dir: where to write `vmlinuz` and `initrd` for booting without a boot loader, if wanted.
    :param packages_dir: where unpacked Debian packages are kept; the user's cache folder by default.
    :raises MissingPackages: when the host lacks Debian packages, naming them.
    """
    sources = locate(packages_dir, progress)
    progress(f"kernel {sources.kernel.version}: gathering files")
    initrd = make_initrd(sources)
    vmlinuz = sources.kernel.image.read_bytes()
    root = work_dir / "root"
    root.mkdir()
    tree.fill(root, sources)
    progress("making file systems")
    disk.make_ext4(work_dir / "root.ext4", root, sources)
    config = disk.SYSLINUX_CONFIG.format(arguments=KERNEL_ARGUMENTS).encode()
    boot_mib = disk.make_boot(work_dir / "boot.fat", {"syslinux.cfg": config, "vmlinuz": vmlinuz, "initrd": initrd}, sources)
    raw = work_dir / "disk.raw"
    disk.make_disk(raw, work_dir / "boot.fat", work_dir / "root.ext4", boot_mib)
    progress("compressing")
    out_path.parent.mkdir(parents=True, exist_ok=True)
    disk.make_qcow2(raw, out_path, sources)
    if kernel_dir:
        kernel_dir.mkdir(parents=True, exist_ok=True)
        (kernel_dir / "vmlinuz").write_bytes(vmlinuz)
        (kernel_dir / "initrd").write_bytes(initrd)
    return Facts(
        path=out_path,
        size_bytes=out_path.stat().st_size,
        virtual_size_bytes=raw.stat().st_size,
        kernel_version=sources.kernel.version,
        kernel_arguments=KERNEL_ARGUMENTS,
    )


def make_initrd(sources: Sources) -> bytes:
    """Return the compressed initial file system: busybox, the drivers of disks and `initramfs/init`."""
    chosen = modules.closure(sources.kernel.modules, modules.DISK_MODULES)
    at = f"lib/modules/{sources.kernel.version}"
    entries = [cpio.folder(name) for name in ("bin", "dev", "proc", "sys", "mnt", "lib", "lib/modules", at)]
    entries += [cpio.file("init", INIT.read_bytes(), 0o755), cpio.file("bin/busybox", sources.busybox.read_bytes(), 0o755)]
    entries += [cpio.link(f"bin/{applet}", "busybox") for applet in INITRAMFS_APPLETS]
    entries += [cpio.file(f"{at}/{module.name}.ko", module.content) for module in chosen]
    entries += [cpio.file(f"{at}/{name}", text.encode()) for name, text in modules.index(chosen).items()]
    return gzip.compress(cpio.archive(entries), compresslevel=9, mtime=0)
