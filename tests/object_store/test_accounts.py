"""Accounts over HTTP: figures, metadata, listings, quotas, who may do what."""

import json

import pytest

from tests.object_store.conftest import ACCOUNT, OTHER_ACCOUNT, make_shop


def test_a_new_account_is_shown_as_empty(swift):
    answer = swift("HEAD")
    assert answer.status_code == 204
    assert answer.headers["x-account-container-count"] == answer.headers["x-account-bytes-used"] == "0"
    assert answer.headers["x-trans-id"].startswith("tx")
    assert answer.headers["x-trans-id"] == answer.headers["x-openstack-request-id"]
    assert swift("GET").status_code == 204
    assert swift("GET", "?format=json").json() == []


def test_figures_count_what_is_there(swift):
    swift("PUT", "/a")
    swift("PUT", "/b")
    swift("PUT", "/a/x", b"12345")
    answer = swift("HEAD")
    figures = [answer.headers[f"x-account-{name}"] for name in ("container-count", "object-count", "bytes-used")]
    assert figures == ["2", "1", "5"]


def test_listings_have_three_forms(swift):
    for name in ("a", "b<", "c"):
        swift("PUT", f"/{name}")
    assert swift("GET").text == "a\nb<\nc\n"
    assert [row["name"] for row in swift("GET", "?format=json").json()] == ["a", "b<", "c"]
    assert set(swift("GET", "?format=json&limit=1").json()[0]) == {"name", "count", "bytes", "last_modified"}
    xml = swift("GET", Accept="application/xml")
    assert xml.headers["content-type"] == "application/xml; charset=utf-8"
    assert "<container><name>b&lt;</name><count>0</count>" in xml.text
    assert swift("GET", Accept="image/png").status_code == 406
    assert swift("GET", Accept="nonsense").status_code == 400


def test_listings_come_in_pages(swift):
    for name in ("a", "b", "c/", "d"):
        swift("PUT", f"/{name.strip('/')}")
    assert swift("GET", "?limit=2").text == "a\nb\n"
    assert swift("GET", "?marker=b").text == "c\nd\n"
    assert swift("GET", "?end_marker=c").text == "a\nb\n"
    assert swift("GET", "?reverse=on&limit=1").text == "d\n"
    assert swift("GET", "?prefix=d").text == "d\n"
    assert swift("GET", "?limit=0").status_code == 204
    too_many = swift("GET", "?limit=10001")
    assert (too_many.status_code, too_many.text) == (412, "Maximum limit is 10000")
    assert swift("GET", "?limit=nonsense").text == "a\nb\nc\nd\n"


def test_metadata_are_set_changed_and_removed(swift):
    assert swift("POST", X_Account_Meta_Color="blau", X_Account_Meta_Size="1").status_code == 204
    headers = swift("HEAD").headers
    assert headers["x-account-meta-color"] == "blau"
    assert headers["x-account-meta-size"] == "1"
    swift("POST", X_Account_Meta_Color="rot", X_Remove_Account_Meta_Size="x")
    headers = swift("HEAD").headers
    assert headers["x-account-meta-color"] == "rot"
    assert "x-account-meta-size" not in headers
    swift("POST", X_Account_Meta_Color="")
    assert "x-account-meta-color" not in swift("HEAD").headers


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"X-Account-Meta-": "x"}, "Metadata name cannot be empty"),
        ({"X-Account-Meta-" + "n" * 129: "x"}, "Metadata name too long"),
        ({"X-Account-Meta-N": "v" * 257}, "Metadata value longer than 256"),
        ({f"X-Account-Meta-{n}": "x" for n in range(91)}, "Too many metadata items; max 90"),
        ({f"X-Account-Meta-{n}": "x" * 256 for n in range(17)}, "Total metadata too large; max 4096"),
        ({"X-Other": "x" * 8193}, "Header value too long"),
    ],
)
def test_metadata_have_limits(swift, headers, text):
    answer = swift("POST", **headers)
    assert answer.status_code == 400
    assert text in answer.text


def test_metadata_have_limits_over_several_requests(swift):
    assert swift("POST", **{f"X-Account-Meta-A{n}": "x" for n in range(80)}).status_code == 204
    assert swift("POST", **{f"X-Account-Meta-B{n}": "x" for n in range(11)}).status_code == 400


@pytest.mark.parametrize(
    ("persona", "method", "status"),
    [
        ("demo", "GET", 204),
        ("reader", "GET", 204),
        ("reader", "POST", 403),
        ("nobody", "GET", 403),
        ("other", "GET", 403),
        ("admin", "GET", 403),
        ("system", "GET", 204),
        ("system", "POST", 403),
        ("reseller", "POST", 204),
        (None, "GET", 401),
        ("demo", "PUT", 403),
        ("demo", "DELETE", 403),
        ("demo", "PATCH", 405),
    ],
)
def test_who_may_do_what(shop, persona, method, status):
    assert shop.client(persona)(method).status_code == status


def test_a_bad_token_is_no_token(shop):
    answer = shop.client(None, **{"X-Auth-Token": "nonsense"})("GET")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"]


def test_administrators_make_and_delete_accounts(shop):
    reseller = shop.client("reseller", "AUTH_new")
    assert reseller("PUT", X_Account_Meta_A="b").status_code == 201
    assert reseller("PUT").status_code == 202
    assert reseller("HEAD").headers["x-account-meta-a"] == "b"
    assert reseller("DELETE").status_code == 204
    assert reseller("PUT", account="AUTH_" + "x" * 300).status_code == 400


def test_quotas_are_set_by_administrators_only(shop, swift):
    assert swift("POST", X_Account_Meta_Quota_Bytes="10").status_code == 403
    reseller = shop.client("reseller")
    assert reseller("POST", X_Account_Meta_Quota_Bytes="many").status_code == 400
    assert reseller("POST", X_Account_Meta_Quota_Bytes="10").status_code == 204
    swift("PUT", "/c")
    assert swift("PUT", "/c/o", b"0123456789").status_code == 201
    over = swift("PUT", "/c/p", b"0")
    assert (over.status_code, over.text) == (413, "Upload exceeds quota.")
    assert reseller("POST", X_Remove_Account_Meta_Quota_Bytes="x").status_code == 204
    assert swift("PUT", "/c/p", b"0").status_code == 201


def test_quotas_of_the_newer_form(shop, swift):
    reseller = shop.client("reseller")
    assert reseller("POST", X_Account_Quota_Count="1").status_code == 204
    assert swift("HEAD").headers["x-account-quota-count"] == "1"
    swift("PUT", "/c")
    assert swift("PUT", "/c/o", b"0").status_code == 201
    assert swift("PUT", "/c/p", b"0").status_code == 413


def test_quotas_of_a_storage_policy(tmp_path):
    shop = make_shop(tmp_path, policies=2)
    swift, reseller = shop.client(), shop.client("reseller")
    assert swift("POST", **{"X-Account-Quota-Bytes-Policy-Policy-1": "5"}).status_code == 403
    assert reseller("POST", **{"X-Account-Quota-Bytes-Policy-Policy-1": "5"}).status_code == 204
    assert swift("HEAD").headers["x-account-quota-bytes-policy-policy-1"] == "5"
    for index in range(2):
        swift("PUT", f"/{index}", X_Storage_Policy=f"Policy-{index}")
    assert swift("PUT", "/0/o", b"0123456789").status_code == 201
    assert swift("PUT", "/1/o", b"01234").status_code == 201
    over = swift("PUT", "/1/p", b"0")
    assert (over.status_code, over.text) == (413, "Upload exceeds policy quota.")
    assert reseller("POST", **{"X-Remove-Account-Quota-Bytes-Policy-Policy-1": "x"}).status_code == 204
    assert swift("PUT", "/1/p", b"0").status_code == 201
    shop.app.close()


def test_access_lists_of_an_account(shop, swift):
    other = shop.client("other", ACCOUNT)
    swift("PUT", "/c")
    swift("PUT", "/c/o", b"secret")
    assert other("GET", "/c/o").status_code == 403
    user = "f" * 32
    swift("POST", X_Account_Access_Control=json.dumps({"read-only": [user]}))
    assert other("GET", "/c/o").status_code == 200
    assert other("GET").status_code == 200
    assert other("PUT", "/c/p", b"x").status_code == 403
    swift("POST", X_Account_Access_Control=json.dumps({"read-write": [user]}))
    assert other("PUT", "/c/p", b"x").status_code == 201
    assert other("PUT", "/d").status_code == 201
    assert other("POST", X_Account_Meta_A="b").status_code == 403
    assert "x-account-access-control" not in other("HEAD").headers
    assert json.loads(swift("HEAD").headers["x-account-access-control"]) == {"read-write": [user]}
    assert swift("POST", X_Account_Access_Control="[1]").status_code == 400
    swift("POST", X_Remove_Account_Access_Control="x")
    assert other("GET", "/c/o").status_code == 403


def test_bad_paths(shop, swift):
    get = lambda path: shop.client().get(f"/object-store{path}").status_code  # noqa: E731
    assert get("/v2/AUTH_x") == 412
    assert get("/v1/AUTH_%FF/c") == 412
    assert get("/v1/AUTH_x/%00") == 412
    assert get(f"/v1/{ACCOUNT}/c//o") == 404
    assert get(f"/v1.0/{ACCOUNT}") == 204
    assert shop.client("demo", OTHER_ACCOUNT)("GET").status_code == 403


def test_service_accounts_need_two_tokens(shop):
    token = json.dumps({"persona": "service"})
    client = shop.client("demo", ACCOUNT.replace("AUTH_", "SERVICE_"))
    assert client("GET").status_code == 403
    assert client("GET", X_Service_Token=token).status_code == 204
    assert client("PUT", "/c", X_Service_Token=token).status_code == 201
    assert shop.client("other", client.account)("GET", X_Service_Token=token).status_code == 403
