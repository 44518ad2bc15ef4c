"""What the load driver's figures are compared with: a real OpenStack on the same kind of machine, and what Pileus is to reach.

A line: label, figure of cloudbench.py, field, OpenStack's value, the target; less is better unless `more` is set.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One line of the table."""

    label: str
    figure: str
    field: str
    openstack: float
    target: float
    more: bool = False


CPU, WALL = "server_cpu_ms_per_op", "seconds"

TARGETS = (
    Target("token from token, 8 at once (CPU ms)", "identity.token_rescope.c8", CPU, 5.2, 0.7),
    Target("token validation, hot (CPU ms)", "identity.validate_hot.c8", CPU, 4.9, 0.4),
    Target("token by password (CPU ms)", "identity.token_password.c1", CPU, 260, 260),
    Target("server list, empty (CPU ms)", "compute.list_0.c8", CPU, 19, 1.5),
    Target("server list detail, 1,000 (CPU ms)", "compute.list_1000", CPU, 3995, 60),
    Target("server list detail, 1,000 (wall ms)", "compute.list_1000", "p50_ms", 3819, 80),
    Target("server create, answer to POST (CPU ms)", "compute.burst_50.post", CPU, 1089, 15),
    Target("one server, POST to ACTIVE (wall ms)", "compute.boot_one", "p50_ms", 1099, 50),
    Target("50 servers to ACTIVE (wall s)", "compute.burst_50", WALL, 36, 1.5),
    Target("50 servers deleted (wall s)", "compute.delete_50", WALL, 15, 0.8),
    Target("200 servers to ACTIVE (wall s)", "compute.burst_200", WALL, 336, 6),
    Target("200 servers deleted (wall s)", "compute.delete_200", WALL, 143, 3),
    Target("port create (CPU ms)", "network.port_create.c1", CPU, 108, 6),
    Target("security group rule create (CPU ms)", "network.sg_rule_create.c1", CPU, 101, 4),
    Target("list 1,000 ports (CPU ms)", "network.list_ports_1000", CPU, 356, 40),
    Target("image record create (CPU ms)", "image.create_record.c8", CPU, 14, 2),
    Target("image show (CPU ms)", "image.show.c8", CPU, 3.7, 0.6),
    Target("image list 500 (CPU ms)", "image.list_500", CPU, 142, 12),
    Target("image upload 1 GiB (MB/s)", "image.upload", "MBps", 152, 450, more=True),
    Target("image download 1 GiB (MB/s)", "image.download", "MBps", 2089, 2475, more=True),
    Target("50 volumes to available (wall s)", "volume.create_50", WALL, 7.3, 1),
    Target("volume list 50 (CPU ms)", "volume.list_50.c8", CPU, 27, 3),
    Target("object PUT 1 KiB, 32 at once (CPU ms)", "object.put_1k.c32", CPU, 7.2, 1.2),
    Target("object GET 1 KiB, 32 at once (CPU ms)", "object.get_1k.c32", CPU, 4.1, 0.5),
    Target("object PUT 256 MiB (MB/s)", "object.put_256m", "MBps", 197, 500, more=True),
    Target("object GET 256 MiB (MB/s)", "object.get_256m", "MBps", 398, 1500, more=True),
    Target("container listing of 10,000 (CPU ms)", "object.list_10000", CPU, 210, 25),
    Target("idle memory of the process (MiB)", "idle", "memory_mib", 4221, 150),
    Target("cold start, second run (wall s)", "start", WALL, 62, 2),
)
