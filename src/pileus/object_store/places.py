"""Nodes of a ring, and where an update has to go."""

import msgspec


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One device of a ring, and the server that holds it."""

    id: int
    ip: str = "127.0.0.1"
    port: int = 0
    device: str = "d0"
    region: int = 1
    zone: int = 1
    weight: float = 1.0
    replication_ip: str = ""
    replication_port: int = 0
    meta: str = ""


class Target(msgspec.Struct, frozen=True):
    """Where an update has to go: a node that keeps a partition of the index."""

    node: Node
    partition: int
