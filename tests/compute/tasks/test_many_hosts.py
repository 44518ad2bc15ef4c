"""Many compute hosts: passes that look at some of them at a time, and places that are found at the same time."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import update

from pileus.compute.drivers.fake import RESOURCES
from pileus.compute.service import hosts
from pileus.compute.store import hosts as hosts_store
from pileus.compute.store import servers as servers_store
from pileus.compute.tables.hosts import hosts as hosts_table
from pileus.compute.tables.servers import servers as servers_table
from pileus.compute.tasks import placing, watch
from tests import engines
from tests.compute.servers_lab import prepare
from tests.conftest import make_lab

HOSTS = 60
AT_ONCE = 8


@pytest.fixture
def many(template_state, tmp_path):
    """A cloud of sixty hosts."""
    state_dir = tmp_path / "state"
    shutil.copytree(template_state, state_dir)
    lab = make_lab(state_dir, hosts=HOSTS)
    yield lab
    lab.app.close()
    lab.cloud.db.dispose()
    engines.drop(state_dir)


def up(lab):
    with lab.cloud.db.read() as tx:
        return {host.name for host in hosts_store.list_hosts(tx) if host.is_up(lab.clock.now())}


def known(lab):
    for _ in range(1 + HOSTS // hosts.HOSTS_A_PASS):
        hosts.refresh(lab.cloud)
    return lab


def ask_for(lab, made, count):
    """Have servers that are on no host yet."""
    answer = made.post(networks="none", min_count=count)
    assert answer.status_code == 202, answer.text
    with lab.cloud.db.read() as tx:
        ids = [row.id for row in tx.execute(servers_table.select().where(servers_table.c.deleted_at.is_(None)))]
        return [servers_store.get(tx, id) for id in ids]


def test_hosts_that_are_there_stay_up_though_only_some_are_asked_at_a_time(many):
    hosts.refresh(many.cloud)
    assert len(up(many)) == hosts.HOSTS_A_PASS
    known(many)
    for _ in range(10):
        many.clock.advance(20)
        hosts.refresh(many.cloud)
        assert len(up(many)) == HOSTS


def test_a_host_that_cannot_say_what_it_has_is_down_after_a_minute(many):
    known(many)
    many.hypervisors["host7"].fail_next("resources", times=1000)
    for _ in range(12):
        many.clock.advance(10)
        hosts.refresh(many.cloud)
    assert set(many.hypervisors) - up(many) == {"host7"}
    many.hypervisors["host7"].fail_next("resources", times=1)
    for _ in range(3):
        many.clock.advance(10)
        hosts.refresh(many.cloud)
    assert len(up(many)) == HOSTS


def test_what_no_news_told_of_is_seen_when_the_turn_comes(many):
    known(many)
    made = prepare(many)
    servers = ask_for(many, made, 1)
    many.settle()
    with many.cloud.db.read() as tx:
        server = servers_store.get(tx, servers[0].id)
    many.hypervisors[server.host]._callbacks = ()
    many.hypervisors[server.host].crash(server.id)
    for _ in range(1 + HOSTS // watch.HOSTS_A_PASS):
        watch.watch(many.cloud)
    with many.cloud.db.read() as tx:
        assert servers_store.get(tx, server.id).vm_state == "stopped"


def test_places_that_are_found_at_once_are_each_others_no_more(many):
    """As many servers as there is room for, each in a transaction of its own, all at the same time: one for each host."""
    for name in list(many.hypervisors)[AT_ONCE:]:
        many.cloud.bus._hosts.pop(name)
    small = replace(RESOURCES, vcpus=1, memory_mib=1024)
    for name in list(many.hypervisors)[:AT_ONCE]:
        many.hypervisors[name].host = small
    known(many)
    with many.cloud.db.begin() as tx:
        tx.execute(update(hosts_table).values(memory_reserved_mib=0, vcpus_ratio=1.0, memory_ratio=1.0))
    made = prepare(many)
    servers = ask_for(many, made, AT_ONCE)

    def claim(server):
        def work(tx):
            place = placing.claim(tx, many.cloud, server, {})
            if place.host:
                servers_store.change(tx, server.id, host=place.host)
            return place

        return many.cloud.db.repeat(work)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        places = list(pool.map(claim, servers))
    assert sorted(place.host for place in places) == sorted(list(many.hypervisors)[:AT_ONCE])
    more = ask_for(many, made, 1)
    late = claim(next(server for server in more if server.host is None and server.id not in {s.id for s in servers}))
    assert not late.host
    assert "not enough vCPUs" in late.why


def test_members_of_a_group_that_are_apart_stay_so_when_placed_at_once(many):
    known(many)
    made = prepare(many)
    client = many.client("demo", headers={"X-OpenStack-Nova-API-Version": "2.64"})
    group = client.post("/compute/v2.1/os-server-groups", json={"server_group": {"name": "g", "policy": "anti-affinity"}})
    assert group.status_code == 200, group.text
    group_id = group.json()["server_group"]["id"]
    servers = ask_for(many, made, AT_ONCE)
    with many.cloud.db.begin() as tx:
        tx.execute(update(servers_table).values(server_group_id=group_id))
    with many.cloud.db.read() as tx:
        members = [servers_store.get(tx, server.id) for server in servers]

    def claim(server):
        def work(tx):
            place = placing.claim(tx, many.cloud, server, {})
            servers_store.change(tx, server.id, host=place.host)
            return place.host

        return many.cloud.db.repeat(work)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert len(set(pool.map(claim, members))) == AT_ONCE
