"""What rules out a host, and which of the others comes first."""

import time
from dataclasses import replace

import pytest

from pileus.compute.scheduler import HostState, Request, Room, select
from pileus.compute.spec_match import matches, version_matches

HOST = HostState("host1", Room(8, 0, 0, 4.0), Room(4096), Room(100))
SMALL = Request(1, 512, 1)


@pytest.mark.parametrize(
    ("change", "request_change", "reason"),
    [
        ({"disabled": True, "disabled_reason": "new fans"}, {}, "disabled: new fans"),
        ({"up": False}, {}, "down"),
        ({}, {"zone": "z"}, "in zone nova, not z"),
        ({}, {"only": frozenset({"host2"})}, "is not the host asked for"),
        ({}, {"avoid": frozenset({"host1"})}, "failed to take the server before"),
        ({"memory_mib": Room(4096, 3584)}, {"memory_mib": 2048}, "not enough memory (2048 MiB wanted, 512 MiB free of 4096 MiB)"),
        ({}, {"vcpus": 9}, "not enough vCPUs (9 wanted, 32 free of 32)"),
        ({}, {"disk_gib": 101}, "not enough disk (101 GiB wanted, 100 GiB free of 100 GiB)"),
        ({}, {"extra_specs": {"resources:CUSTOM_X": "1"}}, "not enough CUSTOM_X (1 wanted, 0 free of 0)"),
        ({}, {"extra_specs": {"trait:HW_CPU_X86_AVX": "required"}}, "lacks the trait HW_CPU_X86_AVX"),
        (
            {"traits": frozenset({"CUSTOM_SLOW"})},
            {"extra_specs": {"trait:CUSTOM_SLOW": "forbidden"}},
            "has the forbidden trait CUSTOM_SLOW",
        ),
        ({}, {"extra_specs": {"aggregate_instance_extra_specs:ssd": "true"}}, "no aggregate has ssd=true"),
        ({}, {"extra_specs": {"capabilities:vcpus_total": ">= 9"}}, "does not meet the extra spec capabilities:vcpus_total=>= 9"),
        ({}, {"extra_specs": {"ssd": "true"}}, "does not meet the extra spec ssd=true"),
        ({}, {"image_properties": {"hw_architecture": "aarch64"}}, "is x86_64, the image wants aarch64"),
        ({}, {"image_properties": {"img_hv_type": "xen"}}, "runs QEMU, the image wants xen"),
        ({}, {"image_properties": {"hw_vm_mode": "xen"}}, "has no machines of kind xen"),
        (
            {"aggregates": ({"os_distro": "debian, ubuntu"},)},
            {"image_properties": {"os_distro": "arch"}},
            "an aggregate takes only images with os_distro=debian, ubuntu",
        ),
        ({}, {"same_hosts": frozenset({"host2"})}, "is not the host of the servers to be with (same_host)"),
        (
            {},
            {"different_hosts": frozenset({"host1"})},
            "is the host of a server to be apart from (different_host)",
        ),
        ({}, {"policy": "affinity", "group_hosts": {"host2": 1}}, "the server group is on another host (affinity)"),
        (
            {},
            {"policy": "anti-affinity", "group_hosts": {"host1": 1}},
            "has 1 of the server group already, 1 allowed (anti-affinity)",
        ),
    ],
)
def test_what_rules_out_a_host(change, request_change, reason):
    choice = select([replace(HOST, **change)], replace(SMALL, **request_change))
    assert choice.hosts == ()
    assert choice.rejected == {"host1": reason}
    assert choice.explain() == f"No valid host was found. host1: {reason}."


@pytest.mark.parametrize(
    ("change", "request_change"),
    [
        ({}, {}),
        ({"aggregates": ({"ssd": "true"},)}, {"extra_specs": {"aggregate_instance_extra_specs:ssd": "true"}}),
        ({"aggregates": ({"ssd": "true"},)}, {"extra_specs": {"ssd": "true"}}),
        ({}, {"extra_specs": {"hw:cpu_policy": "shared", "hide_hypervisor_id": "true"}}),
        ({"others": {"CUSTOM_X": Room(2)}}, {"extra_specs": {"resources:CUSTOM_X": "2"}}),
        ({}, {"extra_specs": {"resources:MEMORY_MB": "0"}, "memory_mib": 9999}),
        ({}, {"image_properties": {"hw_architecture": "x86_64", "img_hv_type": "qemu", "hw_vm_mode": "hvm"}}),
        ({}, {"policy": "affinity", "group_hosts": {"host1": 3}}),
        ({}, {"policy": "anti-affinity", "group_hosts": {"host1": 1}, "max_server_per_host": 2}),
        ({}, {"same_hosts": frozenset({"host1"}), "different_hosts": frozenset({"host2"})}),
    ],
)
def test_what_lets_a_host_be(change, request_change):
    assert select([replace(HOST, **change)], replace(SMALL, **request_change)).hosts


def test_the_emptier_host_is_first_and_equals_go_by_name():
    full = replace(HOST, name="a", memory_mib=Room(4096, 2048))
    found = select([full, replace(HOST, name="c"), replace(HOST, name="b")], SMALL).hosts
    assert [host.name for host in found] == ["b", "c", "a"]


def test_soft_policies_prefer_but_do_not_insist():
    hosts = [HOST, replace(HOST, name="host2", memory_mib=Room(4096, 2048))]
    together = replace(SMALL, policy="soft-affinity", group_hosts={"host2": 1})
    apart = replace(SMALL, policy="soft-anti-affinity", group_hosts={"host1": 1})
    assert select(hosts, together).hosts[0].name == "host2"
    assert select(hosts, apart).hosts[0].name == "host2"
    assert len(select(hosts, apart).hosts) == 2


def test_five_hundred_hosts_take_little_time():
    hosts = [replace(HOST, name=f"h{n}", vcpus=Room(64, n % 60), aggregates=({"a": "b"},)) for n in range(500)]
    request = replace(SMALL, zone="nova", policy="anti-affinity", group_hosts={"h1": 1}, image_properties={"os": "x"})
    best_seconds = 1.0
    for _ in range(5):
        start = time.perf_counter()
        assert len(select(hosts, request).hosts) == 499
        best_seconds = min(best_seconds, time.perf_counter() - start)
    assert best_seconds < 0.005


@pytest.mark.parametrize(
    ("seen", "wanted", "outcome"),
    [
        ("5", ">= 4", True), ("3", ">= 4", False), ("x", ">= 4", False), ("4", "= 4", True), ("12311321", "<in> 11", True),
        ("abc", "s== abc", True), ("abc", "s!= abc", False), ("b", "s> a", True), ("aes mmx", "<all-in> aes mmx", True),
        ("b", "<or> a <or> b", True), ("c", "<or> a <or> b", False), ("true", "true", True), ("", "true", False),
    ],
)  # fmt: skip
def test_how_extra_specs_are_compared(seen, wanted, outcome):
    assert matches(seen, wanted) is outcome


def test_versions_of_hypervisors():
    assert version_matches(7_002_000, ">=6.0,<8")
    assert not version_matches(7_002_000, "7.1")
    assert not version_matches(7_002_000, "new")
