"""What projects may have of images, by identity's unified limits."""

import pytest

from .conftest import OCTETS

AT, LIMITS, REGISTERED = "/image/v2/images", "/identity/v3/limits", "/identity/v3/registered_limits"
BLUE = "b" * 32
NAMES = ("image_size_total", "image_stage_total", "image_count_total", "image_count_uploading")
MIB = b"x" * (1 << 20)


@pytest.fixture
def admin(lab):
    return lab.client("system")


@pytest.fixture
def limit(lab, admin):
    """Register limits (10 of each), and set those of the project."""
    from pileus.identity.store import rows
    from pileus.identity.store.records import Project

    with lab.cloud.db.begin() as tx:
        rows.add(tx, Project(BLUE, "blue", "default", "default"), "project", BLUE)
    service = admin.get("/identity/v3/services?type=image").json()["services"][0]["id"]
    wanted = [{"service_id": service, "region_id": "RegionOne", "resource_name": name, "default_limit": 10} for name in NAMES]
    assert admin.post(REGISTERED, json={"registered_limits": wanted}).status_code == 201
    made = {}

    def set_limit(name: str, value: int) -> None:
        if name in made:
            body = {"limit": {"resource_limit": value}}
            assert admin.patch(f"{LIMITS}/{made[name]}", json=body).status_code == 200
            return
        body = {"service_id": service, "region_id": "RegionOne", "project_id": BLUE}
        body |= {"resource_name": name, "resource_limit": value}
        answer = admin.post(LIMITS, json={"limits": [body]})
        assert answer.status_code == 201, answer.text
        made[name] = answer.json()["limits"][0]["id"]

    return set_limit


def put(lab, image, what="file", content=MIB):
    return lab.client("demo").put(f"{AT}/{image['id']}/{what}", content=content, headers=OCTETS).status_code


def begin(lab, image):
    body = {"method": {"name": "glance-direct"}}
    return lab.client("demo").post(f"{AT}/{image['id']}/import", json=body).status_code


def test_the_number_of_images(lab, make, limit):
    limit("image_count_total", 1)
    first = make(None)
    answer = lab.client("demo").post(AT, json={})
    assert (answer.status_code, "image_count_total" in answer.text) == (413, True)
    limit("image_count_total", 2)
    make(None)
    assert lab.client("demo").post(AT, json={}).status_code == 413
    assert lab.client("demo").delete(f"{AT}/{first['id']}").status_code == 204
    make(None)
    assert lab.client("other").post(AT, json={}).status_code == 201


def test_the_default_holds_where_a_project_has_none_of_its_own(lab, make, limit):
    for _ in range(10):
        make(None)
    assert lab.client("demo").post(AT, json={}).status_code == 413


def test_the_size_of_images(lab, make, limit):
    limit("image_size_total", 1)
    one, two, three = make(None), make(None), make(None)
    assert (put(lab, one), put(lab, two), put(lab, three)) == (204, 204, 413)
    assert lab.client("demo").get(f"{AT}/{three['id']}").json()["status"] == "queued"
    assert lab.client("demo").delete(f"{AT}/{one['id']}").status_code == 204
    assert put(lab, three) == 204


def test_the_size_of_what_is_staged(lab, make, limit):
    limit("image_stage_total", 1)
    one, two, three = make(None), make(None), make(None)
    assert (put(lab, one, "stage"), put(lab, two, "stage"), put(lab, three, "stage")) == (204, 204, 413)
    assert put(lab, three) == 204


def test_uploads_under_way(lab, make, limit):
    limit("image_count_uploading", 1)
    one, two = make(None), make(None)
    assert (put(lab, one, "stage"), put(lab, two, "stage"), put(lab, two)) == (204, 413, 413)
    assert begin(lab, one) == 202
    lab.settle()
    assert put(lab, two) == 204


def test_an_import_into_a_full_project(lab, make, limit):
    one, two = make(None), make(None)
    assert (put(lab, one, "stage"), put(lab, two, content=MIB * 3)) == (204, 204)
    limit("image_size_total", 2)
    assert begin(lab, one) == 413
    limit("image_size_total", 3)
    assert begin(lab, one) == 202


def test_usage_is_told_with_its_limits(lab, make, limit):
    limit("image_size_total", 7)
    put(lab, make(None), content=MIB * 2)
    found = lab.client("demo").get("/image/v2/info/usage").json()["usage"]
    assert found["image_size_total"] == {"usage": 2, "limit": 7}
    assert found["image_count_total"] == {"usage": 1, "limit": 10}
