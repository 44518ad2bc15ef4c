"""What is left when a process dies in the midst of an upload or import, and what the next one makes of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pileus.image import stores
from pileus.image.files import Workspace
from pileus.image.service import data
from pileus.image.tasks.sweep import sweep
from pileus.kernel import ids

from .conftest import OCTETS

AT = "/image/v2/images"

DYING = """
import os, signal, sys
sys.path[:0] = [{root!r}]
from pathlib import Path
from tests.conftest import make_lab
from pileus.image.service import data
lab = make_lab(Path({state!r}))
upload = data.begin_upload(lab.ctx("demo"), {image!r}, None, stage={stage!r})
upload.sink.take([b"x" * 100000])
if {late!r}:
    upload.sink.finish()
    data._put(upload)
print("writing", flush=True)
sys.stdin.read()
"""


def begin_and_die(lab, image_id: str, stage: bool = False, late: bool = False, meanwhile=lambda: None) -> None:
    """Have another process begin an upload and be killed."""
    root, state = str(Path(__file__).parents[2]), lab.cloud.settings.state_dir
    script = DYING.format(root=root, state=state, image=image_id, stage=stage, late=late)
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"writing\n"
    meanwhile()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


@pytest.mark.parametrize("stage", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_an_upload_whose_process_dies(lab, make, files, stage, late):
    image = make(None)
    client = lab.client("demo")
    status = "uploading" if stage else "saving"

    def still_there():
        sweep(lab.cloud)  # touches nothing that lives
        assert client.get(f"{AT}/{image['id']}").json()["status"] == status
        assert files() != []

    begin_and_die(lab, image["id"], stage, late, still_there)
    assert client.get(f"{AT}/{image['id']}").json()["status"] == status
    sweep(lab.cloud)
    assert client.get(f"{AT}/{image['id']}").json()["status"] == "queued"
    assert files() == []
    assert client.put(f"{AT}/{image['id']}/file", content=b"again", headers=OCTETS).status_code == 204


def test_what_is_staged_or_alive_is_left_alone(lab, make, files):
    staged, active, living = make(None), make(), make(None)
    lab.client("demo").put(f"{AT}/{staged['id']}/stage", content=b"x", headers=OCTETS)
    upload = data.begin_upload(lab.ctx("demo"), living["id"], None)
    before = files()
    sweep(lab.cloud)
    assert files() == before
    states = {image["id"]: image["status"] for image in lab.client("demo").get(AT).json()["images"]}
    assert states == {staged["id"]: "uploading", active["id"]: "active", living["id"]: "saving"}
    data.abandon_upload(upload)
    data.abandon_upload(upload)
    assert lab.client("demo").get(f"{AT}/{living['id']}").json()["status"] == "queued"


def test_files_without_an_image_go(lab, make, files):
    image = make()
    workspace, folder = lab.cloud.part(Workspace), Path(lab.cloud.settings.state_dir) / "images"
    (folder / ids.uuid()).write_bytes(b"left by a delete that died")
    (folder / "filling" / ids.uuid()).write_bytes(b"too")
    workspace.staged_path(ids.uuid()).write_bytes(b"too")
    workspace.cached_path(ids.uuid()).write_bytes(b"too")
    workspace.upload_path(ids.uuid(), ids.uuid()).write_bytes(b"too")
    (folder / "README").write_text("not ours")
    sweep(lab.cloud)
    assert files() == sorted([image["id"], "README"])


def test_names_that_are_no_ids_are_no_paths(lab):
    workspace, backend = lab.cloud.part(Workspace), stores.default(lab.cloud).backend
    for name in ("../x", "", "a" * 36 + "\n", ".", "/etc/passwd"):
        with pytest.raises(ValueError, match="is no id"):
            workspace.staged_path(name)
        with pytest.raises(ValueError, match="is no id"):
            backend.url(name, ids.uuid())
        with pytest.raises(ValueError, match="is no id"):
            backend.local_path(f"file:///images/{name}\n")
