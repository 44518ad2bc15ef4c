"""The guest image boots, finds out who it is, and lets people in. Each test boots a guest, so each looks at much."""

import json
import time
from pathlib import Path

import pytest

from pileus.guest import Facts
from tests.guest.conftest import METADATA_NETWORK, MetadataServer, start, write_config_drive

pytestmark = [pytest.mark.host, pytest.mark.timeout(180)]

USER_DATA = "#!/bin/sh\necho run >> /root/runs\n"
SERVER_ID = "5e3f0f6c-3c5c-4f7a-9d0e-1a2b3c4d5e6f"


def meta_data(key: Path) -> str:
    public = key.with_suffix(".pub").read_text()
    return json.dumps(
        {
            "uuid": SERVER_ID,
            "hostname": "first.novalocal",
            "meta": {"hostname": "not-this", "uuid": "nor-this", "note": "ssh-rsa no key"},
            "keys": [{"name": "mine", "type": "ssh", "data": public}],
            "public_keys": {"mine": public},
        }
    )


def test_with_config_drive(image: Facts, key: Path, tmp_path: Path) -> None:
    drive = tmp_path / "config.iso"
    write_config_drive(drive, {"openstack/latest/meta_data.json": meta_data(key), "openstack/latest/user_data": USER_DATA})
    drive_arguments = [
        "-drive", f"if=none,id=config,file={drive},format=raw,readonly=on", "-device", "virtio-blk-pci,drive=config",
    ]  # fmt: skip
    guest = start(image, key, tmp_path, *drive_arguments)
    try:
        guest.wait_for("GUEST: sshd up=")
        assert "GUEST: dhcp eth0 10.0.2.15/24 up=" in guest.console()
        assert f"metadata source=configdrive hostname=first id={SERVER_ID} keys=1 up=" in guest.console()

        # who one is, and what one may do
        assert guest.ssh("hostname; id -un; pwd") == "first\ncirros\n/home/cirros"
        assert guest.ssh("id -un", user="root") == "root"
        assert guest.ssh("sudo -n sh -c 'id -un; echo $HOME'; sudo -u cirros id -un; sudo -i pwd") == "root\n/root\ncirros\n/root"
        assert guest.ssh("busybox sh -c 'id -u'; id -u") == "1000\n1000"
        secret = guest.ssh("cat /etc/shadow 2>&1 || echo refused")
        assert secret.endswith("refused")

        # login with the well-known password
        ask = tmp_path / "ask"
        ask.write_text("#!/bin/sh\necho gocubsgo\n")
        ask.chmod(0o755)
        by_password = ["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]
        prompting = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        assert guest.ssh("id -un", options=by_password, env=prompting) == "cirros"

        # the root file system fills the disk
        size_kib = int(guest.ssh("df -k / | tail -n 1 | awk '{print $2}'"))
        assert size_kib > 270 * 1024

        # what the tests of others use
        assert guest.ssh("ping -c1 -w5 -s56 10.0.2.2 >/dev/null && echo pong") == "pong"
        disks = guest.ssh("lsblk -lb --nodeps -n -o NAME").split()
        assert disks == ["vda", "vdb"]
        assert guest.ssh("blkid -t LABEL=config-2 -o device") == "/dev/vdb"
        guest.ssh("sudo sh -c 'truncate -s 8M /tmp/d; mkfs -t ext4 -q /tmp/d; mount -o loop /tmp/d /mnt; umount /mnt'")
        guest.ssh("sudo sh -c 'mkfs -t vfat /tmp/d; mount -o loop /tmp/d /mnt; umount /mnt'")
        guest.ssh("which ip udhcpc nc wget curl ssh md5sum top uptime ps dd")
        assert guest.ssh("sudo /bin/kill -0 $(cat /var/run/udhcpc.eth0.pid) && echo alive") == "alive"

        # a card and a disk plugged in while it runs
        guest.qmp("netdev_add", type="user", id="n1", net="10.7.0.0/24")
        guest.qmp("device_add", driver="virtio-net-pci", netdev="n1", id="card1")
        guest.wait_for("GUEST: dhcp eth1 10.7.0.15/24")
        assert guest.ssh("ip route show default | head -n 1").startswith("default via 10.0.2.2 dev eth0")

        guest.wait_for("GUEST: user-data rc=0")
        assert guest.ssh("sudo cat /root/runs") == "run"
        host_key = guest.ssh("sudo md5sum /etc/dropbear/dropbear_ed25519_host_key")

        # the power button, then the same instance once more: nothing that is done once is done again
        pressed = time.monotonic()
        guest.qmp("system_powerdown")
        guest.process.wait(10)
        assert time.monotonic() - pressed < 5
        guest.stop()
        guest = start(image, key, tmp_path, *drive_arguments)
        guest.wait_for("GUEST: sshd up=")
        assert guest.ssh("sudo cat /root/runs; sudo md5sum /etc/dropbear/dropbear_ed25519_host_key") == f"run\n{host_key}"
    finally:
        guest.stop()


def test_with_metadata_service(image: Facts, key: Path, tmp_path: Path, metadata_server: MetadataServer) -> None:
    """The OpenStack form first; then, as a new instance on the same disk, the EC2 form."""
    forward = f"{METADATA_NETWORK},guestfwd=tcp:169.254.169.254:80-cmd:busybox nc 127.0.0.1 {metadata_server.port}"
    metadata_server.answers |= {"/openstack/latest/meta_data.json": meta_data(key), "/openstack/latest/user_data": USER_DATA}
    guest = start(image, key, tmp_path, network=forward)
    try:
        guest.wait_for(f"metadata source=openstack hostname=first id={SERVER_ID} keys=1 up=")
        guest.wait_for("GUEST: user-data rc=0")
        host_key = guest.ssh("hostname; sudo md5sum /etc/dropbear/dropbear_ed25519_host_key")
        assert host_key.startswith("first\n")
        answer = guest.ssh("curl -s http://169.254.169.254/openstack/latest/meta_data.json")
        assert json.loads(answer)["uuid"] == SERVER_ID
    finally:
        guest.stop()

    metadata_server.answers.clear()
    metadata_server.answers |= {
        "/latest/meta-data/instance-id": "i-0000002a",
        "/latest/meta-data/hostname": "second.novalocal",
        "/latest/meta-data/public-keys/0/openssh-key": key.with_suffix(".pub").read_text(),
    }
    guest = start(image, key, tmp_path, network=forward)
    try:
        guest.wait_for("metadata source=ec2 hostname=second id=i-0000002a keys=1 up=")
        guest.wait_for("GUEST: sshd up=")
        other = guest.ssh("hostname; sudo md5sum /etc/dropbear/dropbear_ed25519_host_key")
        assert other.startswith("second\n")
        assert other != host_key.replace("first", "second"), "a new instance has host keys of its own"
    finally:
        guest.stop()


def test_config_drive_on_ide_and_boot_without_boot_loader(image: Facts, key: Path, tmp_path: Path) -> None:
    drive = tmp_path / "config.iso"
    write_config_drive(drive, {"openstack/latest/meta_data.json": meta_data(key)})
    folder = image.path.parent
    guest = start(
        image, key, tmp_path,
        "-drive", f"if=ide,media=cdrom,file={drive},format=raw,readonly=on",
        "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd"), "-append", image.kernel_arguments,
    )  # fmt: skip
    try:
        guest.wait_for("metadata source=configdrive hostname=first")
        guest.wait_for("GUEST: sshd up=")
        assert guest.ssh("id -un") == "cirros"
    finally:
        guest.stop()
