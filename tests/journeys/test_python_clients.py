"""What users and operators do with the official Python clients, each in its own words, on a cloud of fake hosts.

glanceclient, neutronclient, novaclient and keystoneclient by the calls that other programs make of them; placement by the
plugin of the CLI, run in this process.
"""

import io

import pytest
from glanceclient import exc as glance_errors
from glanceclient.v2.client import Client as Glance
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session
from keystoneclient.v3.client import Client as Keystone
from neutronclient.common import exceptions as neutron_errors
from neutronclient.v2_0.client import Client as Neutron
from novaclient import exceptions as nova_errors
from novaclient.client import Client as make_nova
from openstackclient.shell import OpenStackShell

from tests.journeys.conftest import IMAGE, until
from tests.journeys.test_volume_clients import OpenStack, fake  # noqa: F401  (a fixture)

pytestmark = [
    pytest.mark.host, pytest.mark.xdist_group("fake-cloud"), pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.filterwarnings("ignore:The ClientCache class"),
]  # fmt: skip


@pytest.fixture
def session(fake):  # noqa: F811
    def of(project="demo"):
        given = fake.openrc(project)
        return Session(Password(
            auth_url=given["OS_AUTH_URL"], username=given["OS_USERNAME"], password=given["OS_PASSWORD"],
            project_name=given["OS_PROJECT_NAME"], user_domain_name="Default", project_domain_name="Default",
        ))  # fmt: skip

    return of


def test_an_image_is_made_filled_tagged_shared_and_removed_with_glanceclient(session):
    glance, admin = Glance("2", session=session()), Glance("2", session=session("admin"))
    image = glance.images.create(name="journey", disk_format="raw", container_format="bare", visibility="shared", min_ram=64)
    content = b"content" * 1000
    glance.images.upload(image.id, io.BytesIO(content))
    assert glance.images.get(image.id).status == "active"
    assert b"".join(glance.images.data(image.id)) == content
    glance.image_tags.update(image.id, "blue")
    glance.images.update(image.id, remove_props=None, os_distro="none", min_disk=1)
    assert [each.id for each in glance.images.list(filters={"tag": ["blue"], "os_distro": "none"})] == [image.id]
    with pytest.raises(glance_errors.HTTPNotFound):
        glance.images.get("no-such-image")
    other = admin.http_client.get_project_id() if hasattr(admin.http_client, "get_project_id") else "f" * 32
    glance.image_members.create(image.id, other)
    assert [each.member_id for each in glance.image_members.list(image.id)] == [other]
    glance.image_members.delete(image.id, other)
    assert glance.schemas.get("image").name == "image"
    glance.images.delete(image.id)
    with pytest.raises(glance_errors.HTTPNotFound):
        glance.images.get(image.id)


def test_namespaces_of_properties_are_kept_with_glanceclient(session):
    glance = Glance("2", session=session("admin"))
    glance.metadefs_namespace.create(namespace="Journey", visibility="public")
    glance.metadefs_property.create("Journey", name="speed", title="Speed", type="integer")
    assert [each.name for each in glance.metadefs_property.list("Journey")] == ["speed"]
    glance.metadefs_tag.create("Journey", "fast")
    assert [each.name for each in glance.metadefs_tag.list("Journey")] == ["fast"]
    glance.metadefs_namespace.delete("Journey")


def test_a_network_a_router_and_an_address_are_wired_with_neutronclient(session):
    neutron = Neutron(session=session())
    outside = neutron.list_networks(**{"router:external": True})["networks"][0]["id"]
    network = neutron.create_network({"network": {"name": "wired"}})["network"]["id"]
    subnet = neutron.create_subnet({"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.77.0.0/24"}})["subnet"]["id"]
    router = neutron.create_router({"router": {"name": "wired", "external_gateway_info": {"network_id": outside}}})["router"][
        "id"
    ]
    neutron.add_interface_router(router, {"subnet_id": subnet})
    group = neutron.create_security_group({"security_group": {"name": "wired"}})["security_group"]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    neutron.create_security_group_rule({"security_group_rule": rule})
    with pytest.raises(neutron_errors.Conflict):
        neutron.create_security_group_rule({"security_group_rule": rule})
    port = neutron.create_port({"port": {"network_id": network, "security_groups": [group]}})["port"]
    wanted = {"floatingip": {"floating_network_id": outside, "port_id": port["id"]}}
    address = neutron.create_floatingip(wanted)["floatingip"]
    assert address["fixed_ip_address"] == port["fixed_ips"][0]["ip_address"]
    neutron.replace_tag("networks", network, {"tags": ["one"]})
    neutron.add_tag("networks", network, "two")
    assert [each["id"] for each in neutron.list_networks(tags="one,two")["networks"]] == [network]
    with pytest.raises(neutron_errors.NetworkInUseClient):
        neutron.delete_network(network)
    assert neutron.show_quota_details(neutron.show_network(network)["network"]["project_id"])["quota"]["router"]["used"] >= 1
    neutron.delete_floatingip(address["id"])
    neutron.delete_port(port["id"])
    neutron.remove_interface_router(router, {"subnet_id": subnet})
    neutron.delete_router(router)
    neutron.delete_network(network)
    neutron.delete_security_group(group)
    with pytest.raises(neutron_errors.NotFound):
        neutron.show_network(network)


def test_a_server_lives_and_goes_with_novaclient(session):
    nova, admin = (make_nova("2.90", session=session(user)) for user in ("demo", "admin"))
    image = until(lambda: next((one for one in Glance("2", session=session()).images.list() if one.name == IMAGE), None))
    until(lambda: Glance("2", session=session()).images.get(image.id).status == "active")
    network = Neutron(session=session()).list_networks(name="private")["networks"][0]["id"]
    key = nova.keypairs.create("journey", key_type="ssh", public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== x")
    flavor = nova.flavors.find(name="m1.nano")
    server = nova.servers.create(
        "journey", image.id, flavor, key_name=key.name, meta={"a": "b"}, nics=[{"net-id": network}], description="d"
    )
    until(lambda: nova.servers.get(server.id).status == "ACTIVE")
    assert nova.servers.get(server.id).metadata == {"a": "b"}
    nova.servers.set_meta(server, {"c": "d"})
    nova.servers.add_tag(server, "blue")
    assert [one.id for one in nova.servers.list(search_opts={"tags": "blue"})] == [server.id]
    nova.servers.stop(server)
    until(lambda: nova.servers.get(server.id).status == "SHUTOFF")
    with pytest.raises(nova_errors.Conflict):
        nova.servers.stop(server)
    nova.servers.start(server)
    until(lambda: nova.servers.get(server.id).status == "ACTIVE")
    nova.servers.lock(server, reason="mine")
    assert nova.servers.get(server.id).locked_reason == "mine"
    nova.servers.unlock(server)
    assert {each.action for each in nova.instance_action.list(server)} >= {"create", "stop", "start", "lock"}
    assert nova.servers.get_console_output(server) is not None
    assert [each.net_id for each in nova.servers.interface_list(server)] == [network]
    group = nova.server_groups.create("journey", "anti-affinity")
    assert nova.server_groups.get(group.id).policy == "anti-affinity"
    nova.server_groups.delete(group.id)
    assert nova.limits.get().to_dict()["absolute"]["totalInstancesUsed"] >= 1
    assert admin.hypervisors.list(detailed=True)[0].state == "up"
    assert admin.services.list(binary="nova-compute")[0].status == "enabled"
    with pytest.raises(nova_errors.Forbidden):
        nova.hypervisors.list()
    nova.servers.delete(server)
    until(lambda: server.id not in [one.id for one in nova.servers.list()])
    nova.keypairs.delete(key)


def test_people_and_rights_are_kept_with_keystoneclient(session):
    keystone = Keystone(session=session("admin"))
    project = keystone.projects.create("journey", domain="default", description="d")
    user = keystone.users.create("journeyer", domain="default", password="pass-for-a-journey", default_project=project)
    member = keystone.roles.find(name="member")
    keystone.roles.grant(member, user=user, project=project)
    assert [one.role["id"] for one in keystone.role_assignments.list(user=user)] == [member.id]
    assert [one.id for one in keystone.projects.list(user=user)] == [project.id]
    group = keystone.groups.create("journeyers", domain="default")
    keystone.users.add_to_group(user, group)
    assert [one.id for one in keystone.users.list(group=group)] == [user.id]
    keystone.projects.add_tag(project, "blue")
    assert keystone.projects.list_tags(project) == ["blue"]
    for thing, manager in ((group, keystone.groups), (user, keystone.users), (project, keystone.projects)):
        manager.delete(thing)


@pytest.fixture
def placement(fake, monkeypatch):  # noqa: F811
    users = {user: fake.openrc(user) for user in ("demo", "admin")}
    run = OpenStack(monkeypatch, users, lambda words: OpenStackShell().run(["--os-placement-api-version", "1.29", *words]))
    return lambda *words, **more: run.ask(*words, user="admin", **more)


def test_an_operator_keeps_stock_with_the_placement_plugin(placement):
    made = placement("resource", "provider", "create", "shelf")
    placement("resource", "class", "list")
    inventory = placement(
        "resource", "provider", "inventory", "set", made["uuid"], "--resource", "VCPU=8", "--resource", "DISK_GB=50"
    )
    assert {each["resource_class"]: each["total"] for each in inventory} == {"VCPU": 8, "DISK_GB": 50}
    placement("resource", "provider", "trait", "set", made["uuid"], "--trait", "HW_CPU_X86_AVX2")
    found = placement("allocation", "candidate", "list", "--resource", "VCPU=6", "--required", "HW_CPU_X86_AVX2")
    assert [each["resource provider"] for each in found] == [made["uuid"]]
    consumer = "11111111-2222-4333-8444-555555555555"
    owner = ("--project-id", "p", "--user-id", "u")
    taken = ("--allocation", f"rp={made['uuid']},VCPU=2")
    placement("resource", "provider", "allocation", "set", consumer, *taken, *owner)
    usage = placement("resource", "provider", "usage", "show", made["uuid"])
    assert {each["resource_class"]: each["usage"] for each in usage}["VCPU"] == 2
