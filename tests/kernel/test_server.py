"""The front of the web application."""


def test_the_root_names_the_services(lab):
    answer = lab.anonymous.get("/")
    assert answer.status_code == 200
    assert answer.json()["name"] == "Pileus"
    assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_an_unknown_path(lab):
    assert lab.anonymous.get("/nowhere").status_code == 404


def test_an_unknown_path_is_in_no_version(lab):
    answer = lab.anonymous.get("/compute/v2.1/nowhere")
    assert answer.status_code == 404
    assert not {"openstack-api-version", "x-openstack-nova-api-version", "vary"} & set(answer.headers)
    assert lab.anonymous.post("/health").status_code == 405


def test_metrics(lab):
    lab.anonymous.get("/health")
    assert b"pileus_http_requests_total" in lab.anonymous.get("/metrics").content


def test_nul_is_refused_everywhere(lab):
    client = lab.client("admin")
    assert client.get("/identity/v3/users/a%00b").status_code == 404
    assert client.get("/identity/v3/users?name=a%00b").status_code == 400
    assert client.post("/identity/v3/projects", json={"project": {"name": "a\0b"}}).status_code == 400
