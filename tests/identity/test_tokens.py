"""Logging in, and what becomes of tokens."""

import pytest

from pileus.identity.service import bootstrap


def admin_password(lab):
    return bootstrap.read_passwords(lab.cloud.settings)["admin"]


def log_in(lab, scope=None, user="admin", password=None, **query):
    password = password or bootstrap.read_passwords(lab.cloud.settings).get(user, "secret")
    auth = {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": {"id": "default"}, "password": password}},
        }
    }
    if scope:
        auth["scope"] = scope
    return lab.anonymous.post("/identity/v3/auth/tokens", json={"auth": auth}, params=query)


ADMIN = {"project": {"name": "admin", "domain": {"name": "Default"}}}


def test_password_gives_a_project_token(lab):
    answer = log_in(lab, ADMIN)
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert token["project"]["name"] == "admin"
    assert [r["name"] for r in token["roles"]] == ["admin", "manager", "member", "reader"]
    assert {s["type"] for s in token["catalog"]} >= {"identity", "compute", "image", "network", "placement"}
    assert len(answer.headers["X-Subject-Token"]) <= 255
