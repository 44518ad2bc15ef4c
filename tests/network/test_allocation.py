"""That no two ports ever get the same address, whoever asks at the same time; and that a full subnet says so."""

import ipaddress
from concurrent.futures import ThreadPoolExecutor

from pileus.kernel.errors import Conflict
from pileus.network import addressing
from pileus.network.schemas.clean import attributes_of
from pileus.network.schemas.requests import NetworkCreate, PortCreate, SubnetCreate
from pileus.network.service import networks, ports, subnets


def _network(ctx, cidr):
    network = networks.create(ctx, [attributes_of(NetworkCreate())])[0]
    subnets.create(ctx, [attributes_of(SubnetCreate(network_id=network.id, ip_version=4, cidr=cidr))])
    return network


def _create(ctx, network):
    try:
        return ports.create(ctx, [attributes_of(PortCreate(network_id=network.id))])[0].fixed_ips[0].ip_address
    except Conflict as error:
        return error.kind


def test_32_creators_share_a_small_subnet(lab):
    ctx = lab.ctx("demo")
    network = _network(ctx, "10.0.0.0/26")  # 62 addresses: the gateway, DHCP, 60 for ports
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda _: _create(ctx, network), range(70)))
    given = [ip for ip in found if ip != "IpAddressGenerationFailure"]
    assert len(given) == len(set(given)) == 60
    assert all(ipaddress.ip_address(ip) in ipaddress.ip_network("10.0.0.0/26") for ip in given)


def test_a_large_subnet_is_not_scanned(lab):
    ctx = lab.ctx("demo")
    network = _network(ctx, "10.0.0.0/8")
    assert len({_create(ctx, network) for _ in range(20)}) == 20


def test_the_arithmetic():
    net = addressing.network("10.0.0.0/29")
    pools = addressing.default_pools(net, "10.0.0.3")
    assert addressing.size(pools) == 5
    assert [addressing.show(addressing.nth(pools, n), 4)[-1] for n in range(5)] == list("12456")
    assert addressing.free([(1, 3)], {1, 2}) == 3
    assert addressing.free([(1, 3)], {1, 2, 3}) is None
    assert addressing.eui64(addressing.network("2001:db8::/64"), "fa:16:3e:00:00:01") == "2001:db8::f816:3eff:fe00:1"
    assert addressing.canonical_mac("FA-16-3E-00-00-01") == "fa:16:3e:00:00:01"
