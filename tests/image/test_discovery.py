"""What the image API says of itself."""

import jsonschema


def test_versions(lab):
    answer = lab.anonymous.get("/image/")
    assert answer.status_code == 300
    found = answer.json()["versions"]
    assert found[0] == {"id": "v2.18", "status": "CURRENT", "links": [{"rel": "self", "href": "http://testserver/image/v2/"}]}
    assert found[-1]["id"] == "v2.0"
    assert lab.anonymous.get("/image/versions").status_code == 200
    assert lab.anonymous.get("/image/v2/images").status_code == 401
    assert lab.client("demo").get("/image/v2/nothing").status_code == 404


def test_schemas(lab, make):
    client = lab.client("demo")
    for name in ("image", "images", "member", "members", "task", "tasks"):
        assert client.get(f"/image/v2/schemas/{name}").json()["name"] == name
    assert client.get("/image/v2/schemas/other").status_code == 404
    image = client.get("/image/v2/schemas/image").json()
    assert image["additionalProperties"] == {"type": "string"}
    jsonschema.validate(make(colour="red", tags=["x"]), image)
    jsonschema.validate(client.get("/image/v2/images").json(), client.get("/image/v2/schemas/images").json())


def test_info(lab, make):
    client = lab.client("demo")
    make(b"x" * (3 << 20))
    make(None)
    assert client.get("/image/v2/info/import").json()["import-methods"]["value"] == [
        "glance-direct", "web-download", "glance-download", "copy-image",
    ]  # fmt: skip
    assert client.get("/image/v2/info/stores").json()["stores"][0]["id"] == "file"
    assert client.get("/image/v2/info/stores/detail").status_code == 403
    assert lab.client("admin").get("/image/v2/info/stores/detail").json()["stores"][0]["type"] == "file"
    usage = client.get("/image/v2/info/usage").json()["usage"]
    assert usage["image_size_total"] == {"usage": 3, "limit": -1}
    assert usage["image_count_total"]["usage"] == 2
    assert client.get("/image/v2/metadefs/namespaces").json()["namespaces"] == []
    assert client.get("/image/v2/metadefs/namespaces/x").status_code == 404
    assert client.get("/image/openapi.json").json()["openapi"] == "3.1.0"
