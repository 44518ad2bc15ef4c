"""File systems and the disk that holds them, written without mounting anything and without root.

    | 1 MiB: partition table, boot code | FAT16 "BOOT": syslinux, kernel, initrd | ext4 "guest-root" |

The partition table is the old MBR one; the guest lets the second partition grow to the end of whatever disk it finds itself on.
"""

import os
import stat
import struct
import subprocess
from pathlib import Path

from pileus.guest.packages import MBR_FILE, Sources
from pileus.guest.tree import OWNERS, Owner

MIB = 2**20
SECTOR_BYTES = 512
BOOT_START_MIB = 1
ROOT_MIB = 24
# 2024-01-01, the time all files carry, so that the same packages make the same image
TIMESTAMP = 1704067200
ROOT_UUID = "50494c45-5553-4f6e-8765-67756573745f"
SYSLINUX_CONFIG = """\
DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
  KERNEL /vmlinuz
  INITRD /initrd
  APPEND {arguments}
"""
MBR_BOOTABLE, MBR_TYPE_FAT16, MBR_TYPE_LINUX = 0x80, 0x0E, 0x83


def run(command: list[str | Path], stdin: str | None = None) -> None:
    """Run a program of the host; its clock, where it asks, is `TIMESTAMP`.

    :raises RuntimeError: with its complaint, when it fails.
    """
    clock = {"SOURCE_DATE_EPOCH": str(TIMESTAMP), "E2FSPROGS_FAKE_TIME": str(TIMESTAMP), "MTOOLS_SKIP_CHECK": "1"}
    result = subprocess.run(
        [str(word) for word in command], input=stdin, capture_output=True, text=True, env=os.environ | clock, check=False
    )
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed with {result.returncode}: {(result.stderr or result.stdout).strip()}")


def make_ext4(image: Path, tree: Path, sources: Sources) -> None:
    """Write `tree` as an ext4 file system, everything owned by root but what `OWNERS` names."""
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (TIMESTAMP, TIMESTAMP), follow_symlinks=False)
    with image.open("wb") as file:
        file.truncate(ROOT_MIB * MIB)
    options = f"root_owner=0:0,lazy_itable_init=0,hash_seed={ROOT_UUID}"
    run(
        [sources.tools["mke2fs"], "-q", "-t", "ext4", "-L", "guest-root", "-U", ROOT_UUID, "-E", options,
         "-O", "^metadata_csum,^64bit,resize_inode", "-b", "4096", "-N", "8192", "-m", "0", "-d", tree, image]
    )  # fmt: skip
    commands = []
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        owner = OWNERS.get(name, Owner(0, 0))
        commands += [f"sif /{name} uid {owner.user_id}", f"sif /{name} gid {owner.group_id}", f"sif /{name} ctime @{TIMESTAMP}"]
        if not path.is_symlink():
            commands.append(f"sif /{name} mode {oct(stat.S_IFMT(path.lstat().st_mode) | stat.S_IMODE(path.lstat().st_mode))}")
    run([sources.tools["debugfs"], "-w", "-f", "-", image], stdin="\n".join(commands))


def make_boot(image: Path, files: dict[str, bytes], sources: Sources) -> int:
    """Write the FAT file system with syslinux, the kernel and its initial file system, and return its size in MiB."""
    # FAT16 begins at 4,085 clusters; at 4 sectors each that is 8 MiB, so 10 MiB is a safe least
    size_mib = max(10, sum(map(len, files.values())) // MIB + 2)
    with image.open("wb") as file:
        file.truncate(size_mib * MIB)
    run([sources.tools["mkfs.vfat"], "--invariant", "-F", "16", "-s", "4", "-n", "BOOT", image])
    folder = image.parent / "boot-files"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (TIMESTAMP, TIMESTAMP))
    run([sources.tools["mcopy"], "-m", "-i", image, *(folder / name for name in files), "::/"])
    run([sources.tools["syslinux"], "--install", image])
    return size_mib


def make_disk(raw: Path, boot: Path, root: Path, boot_mib: int) -> None:
    """Put boot code, partition table and both file systems together as one raw disk."""
    boot_sectors = boot_mib * MIB // SECTOR_BYTES
    start = BOOT_START_MIB * MIB // SECTOR_BYTES
    entries = [
        partition(MBR_BOOTABLE, MBR_TYPE_FAT16, start, boot_sectors),
        partition(0, MBR_TYPE_LINUX, start + boot_sectors, ROOT_MIB * MIB // SECTOR_BYTES),
    ]
    table = b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"
    code = MBR_FILE.read_bytes()[:440].ljust(440, b"\0")
    with raw.open("wb") as disk:
        disk.write(code + b"PILE\0\0" + table)
        disk.seek(BOOT_START_MIB * MIB)
        disk.write(boot.read_bytes())
        disk.write(root.read_bytes())


def partition(flag: int, kind: int, start_sector: int, sectors: int) -> bytes:
    """Return one entry of the partition table, without the old cylinder addresses."""
    no_cylinders = b"\xfe\xff\xff"
    return struct.pack("<B3sB3sII", flag, no_cylinders, kind, no_cylinders, start_sector, sectors)


def make_qcow2(raw: Path, out: Path, sources: Sources) -> None:
    """Compress the raw disk into a qcow2; `out` appears whole or not at all."""
    part = out.with_name(f".{out.name}.part")
    run([sources.tools["qemu-img"], "convert", "-O", "qcow2", "-c", "-m", "4", raw, part])
    part.replace(out)
