"""What the guest image builder writes, and what it says when it cannot."""

import json
import subprocess
from pathlib import Path

import pytest

from pileus.guest import Facts, MissingPackages, packages
from pileus.guest.__main__ import main
from pileus.guest.cpio import archive, file, folder, link
from pileus.guest.modules import Module, index, without_signature


@pytest.mark.host
def test_image_is_a_small_qcow2(image: Facts) -> None:
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", str(image.path)]))
    assert info["format"] == "qcow2"
    assert "backing-filename" not in info
    assert info["virtual-size"] == image.virtual_size_bytes
    assert image.size_bytes == image.path.stat().st_size < 40 * 2**20
    assert (image.path.parent / "vmlinuz").exists()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(packages, "SEARCH_PATH", ("/usr/bin/nowhere",))
    with pytest.raises(MissingPackages) as caught:
        packages.locate(tmp_path, progress=print)
    assert {"dropbear-bin", "syslinux", "mtools", "qemu-utils"} <= caught.value.packages
    assert "apt-get install" in str(caught.value)
    assert main(["build", str(tmp_path / "out.qcow2")]) == 1
    assert "dropbear-bin" in capsys.readouterr().err
    assert not (tmp_path / "out.qcow2").exists()


def test_newest_readable_kernel_with_modules(tmp_path: Path) -> None:
    assert packages.find_kernel(tmp_path) is None
    (tmp_path / "boot").mkdir()
    for version in ("6.1.0-9-cloud-amd64", "6.1.0-10-cloud-amd64", "6.1.0-11-cloud-amd64"):
        (tmp_path / "boot" / f"vmlinuz-{version}").touch()
        if "-11-" not in version:  # no modules: not a whole kernel
            (tmp_path / "lib/modules" / version / "kernel").mkdir(parents=True)
    kernel = packages.find_kernel(tmp_path)
    assert kernel is not None
    assert kernel.version == "6.1.0-10-cloud-amd64"


def test_cpio_archive_unpacks(tmp_path: Path) -> None:
    data = archive([folder("d"), file("d/run", b"#!/bin/sh\n", 0o755), link("d/link", "run")])
    subprocess.run(["busybox", "cpio", "-idm"], input=data, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "d/run").read_bytes() == b"#!/bin/sh\n"
    assert (tmp_path / "d/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "d/link").readlink() == Path("run")


def test_module_index_lists_the_deepest_dependency_last() -> None:
    lines = index(
        [
            Module("ring", b"", (), ()),
            Module("pci", b"", ("ring",), ("pci:v1*",)),
            Module("disk", b"", ("pci", "ring"), ("virtio:d2*",)),
        ]
    )
    assert lines["modules.dep"] == "ring.ko:\npci.ko: ring.ko\ndisk.ko: pci.ko ring.ko\n"
    assert lines["modules.alias"] == "alias pci:v1* pci\nalias virtio:d2* disk\n"


def test_signature_is_cut_off() -> None:
    signed = b"ELF" + b"signature" + bytes(8) + (9).to_bytes(4, "big") + b"~Module signature appended~\n"
    assert without_signature(signed) == b"ELF"
    assert without_signature(b"ELF") == b"ELF"
