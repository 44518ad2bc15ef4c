"""Kernel modules: which ones the guest has, what they depend on, and the index files modprobe reads.

Dependencies and aliases are read from each module's own `.modinfo`, so that a kernel package which was unpacked and never
installed (no depmod run) serves as well. Signatures are cut off: checking them costs an emulated guest seconds, and the guest
does not ask for them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

# Loaded by the initramfs: whatever a root disk may hang on.
DISK_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ata_piix")
# In the root file system: loaded by the device's own alias, or by name.
OTHER_MODULES = (
    "virtio_net", "virtio_rng", "virtio_balloon", "virtio_console", "virtio_input", "qemu_fw_cfg", "button", "evdev",
    "isofs", "sr_mod", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1", "8021q", "loop", "tun",
)  # fmt: skip
SIGNATURE_MARK = b"~Module signature appended~\n"
SIGNATURE_INFO_BYTES = 12


@dataclass(frozen=True)
class Module:
    """One module: its name with underscores, the file's content, what it needs and which devices it serves."""

    name: str
    content: bytes
    depends: tuple[str, ...]
    aliases: tuple[str, ...]


def closure(folder: Path, names: tuple[str, ...]) -> list[Module]:
    """Return the modules and all they depend on, each after its dependencies; names unknown to this kernel are built in.

    :param folder: the `kernel` folder of the kernel's modules.
    """
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    done: dict[str, Module] = {}

    def add(name: str) -> None:
        if name in done or name not in files:
            return
        module = read(name, files[name])
        for needed in module.depends:
            add(needed)
        done[name] = module

    for wanted in names:
        add(wanted.replace("-", "_"))
    return list(done.values())


def read(name: str, path: Path) -> Module:
    """Read one module file."""
    content = without_signature(path.read_bytes())
    depends = re.search(rb"\0depends=([^\0]*)\0", content)
    return Module(
        name=name,
        content=content,
        depends=tuple(depends[1].decode().replace("-", "_").split(",")) if depends and depends[1] else (),
        aliases=tuple(alias.decode() for alias in re.findall(rb"\0alias=([^\0]+)", content)),
    )


def without_signature(content: bytes) -> bytes:
    """Cut off an appended signature.

    Its form is Linux' include/linux/module_signature.h: the signature, 12 bytes that end with its big-endian length, the mark.
    """
    if not content.endswith(SIGNATURE_MARK):
        return content
    info_end = len(content) - len(SIGNATURE_MARK)
    length = int.from_bytes(content[info_end - 4 : info_end], "big")
    return content[: info_end - SIGNATURE_INFO_BYTES - length]


def index(modules: list[Module]) -> dict[str, str]:
    """Return the text index files for modprobe, by name."""
    needs: dict[str, set[str]] = {}
    lines = []
    for position, module in enumerate(modules):
        needs[module.name] = set(module.depends).union(*(needs.get(name, set()) for name in module.depends))
        # modprobe loads from right to left, so the deepest stands last
        chain = [before.name for before in reversed(modules[:position]) if before.name in needs[module.name]]
        lines.append(f"{module.name}.ko:{''.join(f' {name}.ko' for name in chain)}\n")
    return {
        "modules.dep": "".join(lines),
        "modules.alias": "".join(f"alias {alias} {m.name}\n" for m in modules for alias in m.aliases),
        "modules.symbols": "",
    }
