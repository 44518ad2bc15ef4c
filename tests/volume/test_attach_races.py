"""Of several who want the same thing of a volume at once, one gets it, and nothing is left half done."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from pileus.volume.service import guests
from pileus.volume.tasks import attachments as work
from tests.volume.test_attach_actions import ATTACH, act, status
from tests.volume.test_attachments import (
    CONNECTOR,
    OTHER_SERVER,
    SERVER,
    client,
    complete,
    connections,
    create,
    made,
    make_volume,
    volume,
)
from tests.volume.test_guests import reserve

RACERS = 4


def race(*functions):
    """Run functions at once; return what each returned, or raised."""
    barrier = Barrier(len(functions))

    def run(function):
        barrier.wait()
        try:
            return function()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


def test_reserve_against_reserve(lab):
    id = make_volume(lab)
    answers = race(*[lambda: act(lab, id, "os-reserve").status_code] * RACERS)
    assert sorted(answers) == [202, 400, 400, 400]
    assert status(lab, id) == "attaching"


def test_attachment_against_attachment(lab):
    id = make_volume(lab)
    answers = race(*[lambda: create(client(lab), id, connector=CONNECTOR).status_code] * RACERS)
    assert sorted(answers) == [200, 400, 400, 400]
    assert len(connections(lab, id)) == 1


def test_server_against_server(lab):
    id = make_volume(lab)
    answers = race(lambda: reserve(lab, id, SERVER), lambda: reserve(lab, id, OTHER_SERVER))
    assert sorted(isinstance(answer, str) for answer in answers) == [False, True]


def test_attach_against_attach(lab):
    id = make_volume(lab)
    others = [{**ATTACH, "instance_uuid": f"{n}" * 8 + "-1111-4111-8111-111111111111"} for n in range(1, RACERS + 1)]
    answers = race(*[lambda body=body: act(lab, id, "os-attach", body).status_code for body in others])
    assert sorted(answers) == [202, 400, 400, 400]
    assert len(volume(lab, id)["attachments"]) == 1


def test_detach_against_detach(lab):
    id = make_volume(lab)
    kept = made(client(lab), id, connector=CONNECTOR)["id"]
    complete(client(lab), kept)
    answers = race(*[lambda: client(lab).delete(f"/volume/v3/attachments/{kept}").status_code] * RACERS)
    assert sorted(answers) == [200, 404, 404, 404]
    assert (status(lab, id), connections(lab, id)) == ("available", {})


@pytest.mark.parametrize("turn", range(3))
def test_attach_against_deletion_of_the_volume(lab, turn):
    id = make_volume(lab)
    answers = race(
        lambda: create(client(lab), id, connector=CONNECTOR).status_code,
        lambda: client(lab).delete(f"/volume/v3/volumes/{id}").status_code,
    )
    assert answers in ([200, 400], [400, 202], [404, 202]), answers
    lab.settle()
    if answers[0] == 200:
        assert status(lab, id) == "attaching"
    else:
        assert client(lab).get(f"/volume/v3/volumes/{id}").status_code == 404
        assert id not in lab.volumes.volumes


@pytest.mark.parametrize("turn", range(3))
def test_completion_against_deletion_of_the_attachment(lab, turn):
    id = make_volume(lab)
    kept = made(client(lab), id, connector=CONNECTOR)["id"]
    answers = race(
        lambda: complete(client(lab), kept).status_code,
        lambda: client(lab).delete(f"/volume/v3/attachments/{kept}").status_code,
    )
    assert answers[0] in (204, 404, 409)
    assert answers[1] == 200
    assert (status(lab, id), connections(lab, id)) == ("available", {})


@pytest.mark.parametrize("turn", range(3))
def test_a_server_that_is_late_against_the_clock(lab, turn):
    id = make_volume(lab)
    kept = reserve(lab, id)
    guests.connect(lab.cloud, kept, "host1")
    lab.clock.advance(lab.cloud.settings.volume_attach_timeout_seconds + 1)

    def attached():
        with lab.cloud.db.begin() as tx:
            guests.attached(tx, lab.cloud, kept, "/dev/vdb")

    said, _ = race(attached, lambda: work.sweep(lab.cloud))
    if said is None:
        assert status(lab, id) == "in-use"
        assert list(connections(lab, id)) == [kept]
    else:
        assert (status(lab, id), connections(lab, id)) == ("available", {})
