"""What calls name is at hand where they are done: fetched before, sent back after, kept as long as guests need it."""

from dataclasses import replace

import pytest

from pileus.agent.files import LEAVING, Files, folders
from pileus.agent.own import OwnHypervisor
from pileus.certificates import Authority, Identity
from pileus.compute.driver import DiskSpec, DriverError, GuestSpec
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.compute.moving import Luggage, Parcel
from pileus.kernel.peers import PeerServer
from pileus.kernel.wire import Call
from pileus.volume.driver import Source, VolumeDriverError, VolumeSpec

ONE, TWO = "0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a11", "0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a12"


class Host:
    """A second host of the same cloud."""

    def __init__(self, scene, state_dir):
        self.scene, self.hypervisor = scene, FakeHypervisor()
        self.files = Files(scene.identity, state_dir, "https://host2:1")

    def ask(self, method, **arguments):
        call = Call("hypervisor", "host2", method, arguments, origin=f"https://127.0.0.1:{self.scene.server.port}")
        return self.files.around(call, arguments, lambda given: getattr(self.hypervisor, method)(**given))


class Scene:
    """A process of the control plane with files, and a host's drivers behind `Files`."""

    def __init__(self, tmp_path):
        self.there, self.here, self.hypervisor = tmp_path / "control", tmp_path / "host", FakeHypervisor()
        authority = Authority(tmp_path / "ca")
        authority.ensure()
        self.identity = Identity(tmp_path / "tls")
        authority.issue(self.identity, "host1")
        self.server = PeerServer(self.identity, ("127.0.0.1", 0), folders(self.there))
        self.files = Files(self.identity, self.here, "https://host1:1")

    def ask(self, method, **arguments):
        call = Call("hypervisor", "host1", method, arguments, origin=f"https://127.0.0.1:{self.server.port}")
        return self.files.around(call, arguments, lambda given: getattr(self.hypervisor, method)(**given))

    def base(self, name, content=b"image"):
        path = self.there / "bases" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)

    def boot(self, id, source):
        self.ask("ensure", spec=GuestSpec(id, "guest", 1, 64, (DiskSpec("root", "image", 1, source=source),)))


@pytest.fixture
def scene(tmp_path):
    found = Scene(tmp_path)
    found.server.start()
    yield found
    found.server.close()


def test_an_image_is_fetched_once_and_kept_for_guests(scene):
    source = scene.base("image.qcow2")
    scene.boot(ONE, source)
    kept = scene.here / "bases" / "image.qcow2"
    assert scene.hypervisor.guests[ONE].spec.disks[0].source == str(kept)
    assert kept.read_bytes() == b"image"
    (scene.there / "bases" / "image.qcow2").unlink()  # the image was deleted; guests of it go on
    scene.boot(ONE, source)
    scene.boot(TWO, source)
    scene.ask("destroy", guest_id=ONE)
    assert kept.exists()
    scene.ask("destroy", guest_id=TWO)
    scene.ask("destroy", guest_id=TWO)
    assert not kept.exists()


def test_an_image_that_is_not_there(scene):
    scene.base("another.qcow2")
    with pytest.raises(DriverError, match="cannot be had"):
        scene.boot(ONE, str(scene.there / "bases" / "image.qcow2"))
    assert ONE not in scene.hypervisor.guests
    assert not (scene.here / "bases" / "image.qcow2").exists()


@pytest.mark.parametrize("path", ["/etc/shadow", "fernet-keys/0", "../bases"])
def test_files_of_other_folders_are_refused(scene, path):
    with pytest.raises(DriverError, match="none of the folders"):
        scene.boot(ONE, path)


def test_a_snapshot_arrives_where_it_was_wanted(scene):
    scene.boot(ONE, scene.base("image.qcow2"))
    target = scene.there / "snapshots" / "image.qcow2"
    scene.ask("capture", guest_id=ONE, target_path=str(target), disk_format="qcow2")
    assert target.stat().st_size > 0
    assert not any((scene.here / "made").iterdir())
    with pytest.raises(DriverError):
        scene.ask("capture", guest_id=TWO, target_path=str(target.with_name("none.qcow2")), disk_format="qcow2")
    assert not target.with_name("none.qcow2").exists()


def test_a_volume_is_filled_with_an_image(scene):
    path = scene.there / "volumes" / ".work" / "v1.image"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    seen = []

    def ensure(given):
        with open(given["spec"].source.path, "rb") as file:
            seen.append(file.read())

    call = Call("volume", "host1@file", "ensure", {}, origin=f"https://127.0.0.1:{scene.server.port}")
    scene.files.around(call, {"spec": VolumeSpec("v1", 1, Source("image", path=str(path)))}, ensure)
    assert seen == [b"content"]
    assert not any((scene.here / "made").iterdir())
    path.unlink()
    with pytest.raises(VolumeDriverError):
        scene.files.around(call, {"spec": VolumeSpec("v1", 1, Source("image", path=str(path)))}, ensure)


def test_consoles_are_reached_through_the_host(scene):
    scene.boot(ONE, scene.base("image.qcow2"))
    scene.hypervisor.guests[ONE].vnc = "/run/vnc"
    state = scene.ask("observe", guest_id=ONE)
    assert (state.vnc, state.serial) == (f"https://host1:1/streams/{ONE}/vnc", "")
    assert scene.ask("observe_all")[ONE] == state
    assert scene.ask("observe", guest_id=TWO) is None


def test_a_guest_that_is_off_goes_from_host_to_host(scene, tmp_path):
    source = scene.base("image.qcow2")
    scene.boot(ONE, source)
    spec = GuestSpec(ONE, "guest", 1, 64, (DiskSpec("root", "image", 1, source=source),), power="off")
    with pytest.raises(DriverError, match="runs"):
        scene.ask("pack", guest_id=ONE, ticket="t1", directory="/etc")
    scene.ask("ensure", spec=spec)
    scene.hypervisor.guests[ONE].content = "what it wrote"
    here = PeerServer(scene.identity, ("127.0.0.1", 0), {LEAVING: scene.here / LEAVING}, takes=False)
    here.start()
    there = Host(scene, tmp_path / "other")
    try:
        luggage = scene.ask("pack", guest_id=ONE, ticket="t1", directory="/etc")
        assert (luggage.directory, luggage.origin) == ("", "https://host1:1")
        luggage = replace(luggage, origin=f"https://127.0.0.1:{here.port}")
        for _ in range(2):
            there.ask("unpack", spec=spec, luggage=luggage)
    finally:
        here.close()
    guest = there.hypervisor.guests[ONE]
    assert (guest.content, guest.spec.disks[0].source) == ("what it wrote", str(tmp_path / "other" / "bases" / "image.qcow2"))
    assert list((tmp_path / "other" / "arriving").iterdir()) == []
    scene.ask("destroy", guest_id=ONE)
    assert list((scene.here / LEAVING).iterdir()) == []


def test_a_guest_that_stays_is_open_to_hosts_no_longer(scene):
    spec = GuestSpec(ONE, "guest", 1, 64, (DiskSpec("root", "image", 1, source=scene.base("image.qcow2")),), power="off")
    scene.ask("ensure", spec=spec)
    scene.ask("pack", guest_id=ONE, ticket="t1", directory="")
    assert len(list((scene.here / LEAVING).iterdir())) == 1
    scene.ask("ensure", spec=replace(spec, power="on"))
    assert list((scene.here / LEAVING).iterdir()) == []


@pytest.mark.parametrize(("ticket", "name"), [("../t", "disks"), ("t", "../disks"), ("t", "a/b"), ("", "disks")])
def test_luggage_with_names_that_are_none(scene, ticket, name):
    spec = GuestSpec(ONE, "guest", 1, 64, (), power="off")
    bad = Luggage(ONE, ticket, "", (Parcel(name, 1),), "https://127.0.0.1:1")
    with pytest.raises(DriverError, match="no name"):
        scene.ask("unpack", spec=spec, luggage=bad)
    assert not scene.hypervisor.guests


def test_a_host_that_does_not_hand_over(scene):
    spec = GuestSpec(ONE, "guest", 1, 64, (), power="off")
    with pytest.raises(DriverError, match="cannot be had"):
        scene.ask("unpack", spec=spec, luggage=Luggage(ONE, "t", "", (Parcel("disks", 1),), "https://127.0.0.1:1"))
    assert not scene.hypervisor.guests


def test_a_hypervisor_of_the_control_plane_hands_guests_over_too(scene, tmp_path):
    """One host's driver is in this process, the other is an agent; both ways."""
    own, state_dir = FakeHypervisor(), tmp_path / "own"
    served = PeerServer(scene.identity, ("127.0.0.1", 0), {LEAVING: state_dir / LEAVING})
    served.start()
    try:
        here = OwnHypervisor(own, Files(scene.identity, state_dir, f"https://127.0.0.1:{served.port}"))
        spec = GuestSpec(ONE, "guest", 1, 64, (), power="off")
        here.ensure(spec)
        own.guests[ONE].content = "there and back"
        scene.ask("unpack", spec=spec, luggage=here.pack(ONE, "t1", "/etc"))
        assert scene.hypervisor.guests[ONE].content == "there and back"
        here.destroy(ONE)
        assert (here.observe(ONE), list((state_dir / LEAVING).iterdir())) == (None, [])
        luggage = scene.ask("pack", guest_id=ONE, ticket="t2", directory="")
        agent = PeerServer(scene.identity, ("127.0.0.1", 0), {LEAVING: scene.here / LEAVING}, takes=False)
        agent.start()
        try:
            here.unpack(spec, replace(luggage, origin=f"https://127.0.0.1:{agent.port}"))
        finally:
            agent.close()
        assert own.guests[ONE].content == "there and back"
        assert not (state_dir / "arriving" / ONE).exists()
    finally:
        served.close()
