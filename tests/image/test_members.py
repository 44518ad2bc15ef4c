"""Sharing of images between projects."""

import pytest

AT = "/image/v2/images"
RED = "c" * 32


@pytest.fixture
def shared(make) -> str:
    return f"{AT}/{make()['id']}"


def test_an_image_is_offered_accepted_and_taken_back(lab, shared):
    owner, other = lab.client("demo"), lab.client("other")
    assert other.get(shared).status_code == 404
    offered = owner.post(f"{shared}/members", json={"member": RED})
    assert offered.status_code == 200
    assert offered.json() == {
        "image_id": shared.rpartition("/")[2], "member_id": RED, "status": "pending", "created_at": "2023-11-14T22:13:20Z",
        "updated_at": "2023-11-14T22:13:20Z", "schema": "/v2/schemas/member",
    }  # fmt: skip
    assert other.get(shared).status_code == 200
    assert other.get(AT).json()["images"] == []
    assert len(other.get(f"{AT}?member_status=pending&visibility=shared").json()["images"]) == 1
    assert other.put(f"{shared}/members/{RED}", json={"status": "accepted"}).json()["status"] == "accepted"
    assert len(other.get(AT).json()["images"]) == 1
    assert other.get(f"{shared}/file").content == b"data"
    assert other.put(f"{shared}/members/{RED}", json={"status": "rejected"}).status_code == 200
    assert other.get(AT).json()["images"] == []
    assert len(other.get(f"{AT}?member_status=all").json()["images"]) == 1
    assert owner.delete(f"{shared}/members/{RED}").status_code == 204
    assert owner.delete(f"{shared}/members/{RED}").status_code == 404
    assert other.get(shared).status_code == 404


def test_who_sees_and_changes_members(lab, shared):
    owner, other = lab.client("demo"), lab.client("other")
    for project in (RED, "9" * 32):
        owner.post(f"{shared}/members", json={"member": project})
    assert [m["member_id"] for m in owner.get(f"{shared}/members").json()["members"]] == ["9" * 32, RED]
    assert [m["member_id"] for m in other.get(f"{shared}/members").json()["members"]] == [RED]
    assert other.get(f"{shared}/members/{RED}").status_code == 200
    assert other.get(f"{shared}/members/{'9' * 32}").status_code == 404
    assert other.put(f"{shared}/members/{'9' * 32}", json={"status": "accepted"}).status_code == 404
    assert owner.put(f"{shared}/members/{RED}", json={"status": "accepted"}).status_code == 403
    assert other.post(f"{shared}/members", json={"member": "7" * 32}).status_code == 403
    assert other.delete(f"{shared}/members/{RED}").status_code == 403
    assert lab.client("reader").post(f"{shared}/members", json={"member": "7" * 32}).status_code == 403
    assert lab.client("other", roles=["reader"]).put(f"{shared}/members/{RED}", json={"status": "accepted"}).status_code == 403
    assert lab.client("admin").put(f"{shared}/members/{RED}", json={"status": "accepted"}).status_code == 200
    assert lab.client("other", project_id="5" * 32).get(f"{shared}/members").status_code == 404


def test_bad_requests(lab, shared, make):
    owner = lab.client("demo")
    for body in ({}, {"member": ""}, {"member": 5}, [], {"member": "x" * 256}):
        assert owner.post(f"{shared}/members", json=body).status_code == 400
    owner.post(f"{shared}/members", json={"member": RED})
    assert owner.post(f"{shared}/members", json={"member": RED}).status_code == 409
    for body in ({}, {"status": "maybe"}, {"status": 5}):
        assert lab.client("other").put(f"{shared}/members/{RED}", json=body).status_code == 400
    assert owner.get(f"{shared}/members/{'7' * 32}").status_code == 404
    private = f"{AT}/{make(visibility='private')['id']}"
    assert owner.post(f"{private}/members", json={"member": RED}).status_code == 403
    assert owner.get(f"{private}/members").status_code == 403
    assert owner.get(f"{private}/members/{RED}").status_code == 404


def test_there_is_a_limit(lab, shared):
    owner = lab.client("demo")
    for number in range(128):
        assert owner.post(f"{shared}/members", json={"member": f"{number:032}"}).status_code == 200
    assert owner.post(f"{shared}/members", json={"member": RED}).status_code == 413
