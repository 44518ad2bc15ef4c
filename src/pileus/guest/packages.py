"""Files of Debian packages on this host: where they are, and which package to name when one is not there.

Three packages are taken apart and need not be installed: the kernel (installing it would touch the host's boot loader),
busybox-static (it conflicts with busybox), and novnc, the page of the consoles (it would bring nodejs and numpy along). When the
host has them installed, those files are used; otherwise the package is downloaded by apt, as any user, and unpacked into a cache
folder.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str], None]

KERNEL_PACKAGE = "linux-image-cloud-amd64"
BUSYBOX_PACKAGE = "busybox-static"
NOVNC_PACKAGE = "novnc"
SEARCH_PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
# Programs and files of the host, by the Debian package that holds them.
TOOLS = {
    "syslinux": "syslinux",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "ldd": "libc-bin",
}
MBR_FILE = Path("/usr/lib/syslinux/mbr/mbr.bin")
GUEST_PROGRAMS = {
    "dropbear": "dropbear-bin",
    "dropbearkey": "dropbear-bin",
    "dbclient": "dropbear-bin",
    "mke2fs": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "lsblk": "util-linux",
    "blkid": "util-linux",
    "mkfs": "util-linux",
    "setpriv": "util-linux",
}


class MissingPackages(Exception):
    """Debian packages are needed that this host does not have."""

    def __init__(self, packages: set[str], why: str = "") -> None:
        self.packages = frozenset(packages)
        names = " ".join(sorted(packages))
        super().__init__(
            f"Debian packages are missing: {names}. Install them: apt-get install {names}{f' ({why})' if why else ''}"
        )


@dataclass(frozen=True)
class Kernel:
    """One installed or unpacked kernel package."""

    version: str
    image: Path
    modules: Path


@dataclass(frozen=True)
class Sources:
    """Everything the build reads from the host."""

    kernel: Kernel
    busybox: Path
    tools: dict[str, Path]
    programs: dict[str, Path]


def default_packages_dir() -> Path:
    """Return the folder for unpacked packages: `pileus/debian` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pileus" / "debian"


def locate(packages_dir: Path | None, progress: Progress) -> Sources:
    """Find every file the build needs, downloading what need not be installed.

    :raises MissingPackages: naming all packages that are missing.
    """
    tools = {name: find_program(name) for name in TOOLS}
    programs = {name: find_program(name) for name in GUEST_PROGRAMS}
    missing = {TOOLS[name] for name, path in tools.items() if path is None}
    missing |= {GUEST_PROGRAMS[name] for name, path in programs.items() if path is None}
    if not MBR_FILE.exists():
        missing.add("syslinux-common")
    if missing:
        raise MissingPackages(missing)
    kernel, busybox = fetch(packages_dir, progress)
    return Sources(
        kernel=kernel,
        busybox=busybox,
        tools={name: path for name, path in tools.items() if path},
        programs={name: path for name, path in programs.items() if path},
    )


def find_program(name: str) -> Path | None:
    """Return the program's path; an ordinary user's PATH often lacks the sbin folders."""
    found = shutil.which(name, path=os.pathsep.join(SEARCH_PATH))
    return Path(found) if found else None


def fetch(packages_dir: Path | None, progress: Progress) -> tuple[Kernel, Path]:
    """Return the kernel and the static busybox, downloading and unpacking their packages if need be.

    :raises MissingPackages: when apt cannot download them.
    """
    cache = packages_dir or default_packages_dir()
    kernel = find_kernel(Path("/")) or find_kernel(cache)
    if kernel is None:
        unpack(kernel_package(), cache, progress)
        kernel = find_kernel(cache)
    busybox = find_busybox(Path("/")) or find_busybox(cache)
    if busybox is None:
        unpack(BUSYBOX_PACKAGE, cache, progress)
        busybox = find_busybox(cache)
    if kernel is None or busybox is None:
        raise MissingPackages(
            {KERNEL_PACKAGE if kernel is None else BUSYBOX_PACKAGE}, "the package does not hold what was expected"
        )
    return kernel, busybox


def fetch_novnc(packages_dir: Path | None, progress: Progress) -> Path:
    """Return the folder of noVNC's pages, downloading and unpacking its package if need be.

    :raises MissingPackages: when apt cannot download it.
    """
    cache = packages_dir or default_packages_dir()
    found = find_novnc(cache)
    if found is None:
        unpack(NOVNC_PACKAGE, cache, progress)
        found = find_novnc(cache)
    if found is None:
        raise MissingPackages({NOVNC_PACKAGE}, "the package does not hold what was expected")
    return found


def find_novnc(cache: Path | None = None) -> Path | None:
    """Return the folder of noVNC's pages, installed or in the cache."""
    folders = (Path("/usr/share/novnc"), (cache or default_packages_dir()) / "usr/share/novnc")
    return next((folder for folder in folders if (folder / "vnc_lite.html").is_file()), None)


def find_kernel(root: Path) -> Kernel | None:
    """Return the newest readable cloud kernel below `root` that has its modules beside it."""
    found = []
    for image in root.glob("boot/vmlinuz-*-cloud-amd64"):
        version = image.name.removeprefix("vmlinuz-")
        modules = root / "lib/modules" / version / "kernel"
        if modules.is_dir() and os.access(image, os.R_OK):
            found.append(Kernel(version, image, modules))
    return max(found, key=lambda kernel: [int(digits) for digits in re.findall(r"\d+", kernel.version)], default=None)


def find_busybox(root: Path) -> Path | None:
    """Return busybox below `root` if it is the static one."""
    path = root / "bin/busybox"
    return path if path.exists() and b"/lib64/ld-linux" not in path.read_bytes() else None


def kernel_package() -> str:
    """Return the name of the package that the metapackage of the cloud kernel stands for.

    :raises MissingPackages: when apt does not know it.
    """
    answer = subprocess.run(["apt-cache", "depends", KERNEL_PACKAGE], capture_output=True, text=True, check=False)
    match = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", answer.stdout)
    if not match:
        raise MissingPackages({KERNEL_PACKAGE}, "apt does not know it: run apt-get update")
    return match[1]


def unpack(package: str, into: Path, progress: Progress) -> None:
    """Download a package with apt and unpack it, without installing it.

    :raises MissingPackages: when that fails, with apt's reason.
    """
    progress(f"downloading {package}")
    downloads = into / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "download", package],
            cwd=downloads, check=True, capture_output=True, text=True,
        )  # fmt: skip
        for archive in downloads.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(into)], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise MissingPackages({package}, reason.strip().splitlines()[-1]) from error
    finally:
        shutil.rmtree(downloads, ignore_errors=True)
