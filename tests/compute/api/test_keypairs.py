"""/v2.1/os-keypairs over HTTP."""

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.compute.catalog import DEMO, compute

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqxhkYC5eNBIbaT6vyEKgyjNfxu2HZAR8Ec0VyKjvJm ann@desk"


def create(lab, version="2.1", persona="demo", **changes):
    body = {"keypair": {"name": "k", "public_key": PUBLIC, **changes}}
    return compute(lab, persona, version, "POST", "/os-keypairs", {"keypair": {k: v for k, v in body["keypair"].items() if v}})


def test_a_key_is_imported(lab):
    made = create(lab)
    assert made.status_code == 200
    assert made.json()["keypair"] == {
        "name": "k", "public_key": PUBLIC, "user_id": DEMO,
        "fingerprint": made.json()["keypair"]["fingerprint"],
    }  # fmt: skip
    assert len(made.json()["keypair"]["fingerprint"]) == 47
    shown = compute(lab, "demo", "2.1", "GET", "/os-keypairs/k").json()["keypair"]
    assert set(shown) == {
        "name", "public_key", "fingerprint", "user_id", "id", "created_at", "deleted", "deleted_at", "updated_at",
    }  # fmt: skip
    assert create(lab).status_code == 409


def test_a_key_is_made(lab):
    made = create(lab, "2.2", public_key=None).json()["keypair"]
    assert made["type"] == "ssh"
    assert made["public_key"].startswith("ssh-rsa ")
    key = load_pem_private_key(made["private_key"].encode(), None)
    assert key.key_size == 2048
    assert "private_key" not in compute(lab, "demo", "2.2", "GET", "/os-keypairs/k").json()["keypair"]


def test_a_certificate_is_made_and_imported(lab):
    made = create(lab, "2.2", public_key=None, type="x509").json()["keypair"]
    assert made["public_key"].startswith("-----BEGIN CERTIFICATE-----")
    again = create(lab, "2.2", name="k2", type="x509", public_key=made["public_key"]).json()["keypair"]
    assert again["fingerprint"] == made["fingerprint"]
    assert create(lab, "2.2", name="k3", type="x509").status_code == 400


@pytest.mark.parametrize(
    ("version", "change"),
    [
        ("2.1", {"name": "a/b"}), ("2.1", {"name": " a"}), ("2.1", {"name": "x" * 256}), ("2.1", {"type": "ssh"}),
        ("2.2", {"type": "dsa"}), ("2.9", {"user_id": "u"}), ("2.1", {"public_key": "ssh-rsa JUNK x"}),
        ("2.1", {"public_key": "x"}), ("2.1", {"public_key": PUBLIC.replace("ed25519", "rsa")}), ("2.91", {"name": "a@b.c"}),
        ("2.92", {"public_key": None}),
    ],
)  # fmt: skip
def test_what_is_no_key(lab, version, change):
    assert create(lab, version, **change).status_code == 400


def test_names_may_hold_more_since_2_92(lab):
    assert create(lab, "2.92", name="ann@desk.home").status_code == 201


def test_the_statuses_by_microversion(lab):
    assert create(lab, "2.2").status_code == 201
    assert compute(lab, "demo", "2.2", "DELETE", "/os-keypairs/k").status_code == 204
    create(lab)
    assert compute(lab, "demo", "2.1", "DELETE", "/os-keypairs/k").status_code == 202
    assert compute(lab, "demo", "2.1", "DELETE", "/os-keypairs/k").status_code == 404
    assert compute(lab, "demo", "2.1", "GET", "/os-keypairs/k").status_code == 404


def test_keys_are_each_users_own(lab):
    create(lab)
    assert compute(lab, "other", "2.1", "GET", "/os-keypairs/k").status_code == 404
    assert compute(lab, "manager", "2.10", "GET", f"/os-keypairs?user_id={DEMO}").status_code == 403
    assert compute(lab, "admin", "2.10", "GET", f"/os-keypairs/k?user_id={DEMO}").status_code == 200
    assert compute(lab, "admin", "2.9", "GET", f"/os-keypairs/k?user_id={DEMO}").status_code == 404
    assert create(lab, "2.10", "admin", name="gift", user_id=DEMO).json()["keypair"]["user_id"] == DEMO
    assert create(lab, "2.10", "other", name="gift2", user_id=DEMO).status_code == 403
    assert compute(lab, "admin", "2.10", "DELETE", f"/os-keypairs/gift?user_id={DEMO}").status_code == 204


def test_pages_since_2_35(lab):
    for name in ("c", "a", "b"):
        create(lab, name=name)
    first = compute(lab, "demo", "2.35", "GET", "/os-keypairs?limit=2").json()
    assert [each["keypair"]["name"] for each in first["keypairs"]] == ["a", "b"]
    assert first["keypairs_links"][0]["href"].endswith("/os-keypairs?limit=2&marker=b")
    rest = compute(lab, "demo", "2.35", "GET", "/os-keypairs?limit=2&marker=b").json()
    assert [each["keypair"]["name"] for each in rest["keypairs"]] == ["c"]
    assert "keypairs_links" not in rest
    assert compute(lab, "demo", "2.35", "GET", "/os-keypairs?marker=z").status_code == 400
    assert len(compute(lab, "demo", "2.34", "GET", "/os-keypairs?limit=1").json()["keypairs"]) == 3
    assert compute(lab, "demo", "2.75", "GET", "/os-keypairs?x=1").status_code == 400


def test_the_quota_of_keys(lab):
    compute(lab, "admin", "2.1", "PUT", "/os-quota-class-sets/default", {"quota_class_set": {"key_pairs": 1}})
    create(lab)
    refused = create(lab, name="second")
    assert refused.status_code == 403
    assert refused.json()["forbidden"]["message"] == "Quota exceeded, too many key pairs."


def test_keys_go_with_their_user(lab):
    create(lab)
    with lab.cloud.db.begin() as tx:
        lab.cloud.events.publish(tx, lab.cloud, "identity.user.deleted", {"id": DEMO, "user_id": DEMO})
    assert compute(lab, "demo", "2.1", "GET", "/os-keypairs").json() == {"keypairs": []}
