"""What the tests of images share: content of every kind, made here, good and hostile."""

import hashlib
import struct

import pytest

OCTETS = {"Content-Type": "application/octet-stream"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


def qcow2(size: int = 1 << 30, backing: str = "", data_file: bool = False, unknown_feature: bool = False) -> bytes:
    """The header of a version 3 qcow2, of 64 KiB."""
    features = (1 << 2 if data_file else 0) | (1 << 40 if unknown_feature else 0)
    backing_offset = 1024 if backing else 0
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, backing_offset, len(backing), 16, size, 0, 1, 0, 0, 0, 0, 0)
    head += struct.pack(">QQQII", features, 0, 0, 4, 104)
    content = bytearray(head.ljust(65536, b"\0"))
    content[1024 : 1024 + len(backing)] = backing.encode()
    return bytes(content)


def vmdk(extent: str = 'RW 20480 SPARSE "disk.vmdk"', kind: str = "monolithicSparse") -> bytes:
    """A sparse VMDK with a descriptor of one extent."""
    descriptor = f'# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="{kind}"\n{extent}\n'.encode()
    head = struct.pack("<4sIIQQQQIQQQB", b"KDMV", 1, 3, 20480, 128, 1, 20, 512, 21, 26, 128, 0)
    return head.ljust(512, b"\0") + descriptor.ljust(20 * 512, b"\0") + b"\0" * 65536


def iso() -> bytes:
    """The volume descriptor of a CD."""
    content = bytearray(b"\0" * 40 * 2048)
    content[32768:32774] = b"\x01CD001"
    content[32768 + 80 : 32768 + 84] = struct.pack("<I", 40)
    content[32768 + 128 : 32768 + 130] = struct.pack("<H", 2048)
    return bytes(content)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def make(lab):
    """Make an image, with content unless it is None."""

    def make_image(content: bytes | None = b"data", persona: str = "demo", **fields) -> dict:
        body = {"name": "x", "disk_format": "raw", "container_format": "bare", **fields}
        client = lab.client(persona)
        made = client.post("/image/v2/images", json=body)
        assert made.status_code == 201, made.text
        image = made.json()
        if content is not None:
            answer = client.put(f"/image/v2/images/{image['id']}/file", content=content, headers=OCTETS)
            assert answer.status_code == 204, answer.text
            image = client.get(f"/image/v2/images/{image['id']}").json()
        return image

    return make_image


@pytest.fixture
def files(lab):
    """The paths of all files of images, relative to their folder."""
    folder = lab.cloud.settings.state_dir + "/images"

    def list_files() -> list[str]:
        from pathlib import Path

        return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())

    return list_files
