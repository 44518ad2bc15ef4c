"""The counts of the meters, where operators read figures: beside those of requests."""

from collections.abc import Mapping

from prometheus_client import Gauge

_BYTES = Gauge("pileus_network_meter_bytes", "Traffic that a metering label counted at a router", ("router", "label"))
_PACKETS = Gauge("pileus_network_meter_packets", "Packets that a metering label counted at a router", ("router", "label"))


def note(counts: Mapping[tuple[str, str], tuple[int, int]]) -> None:
    """Take in what hosts counted: packets and bytes, by router and label."""
    for (router_id, label_id), (packets, size_bytes) in counts.items():
        _PACKETS.labels(router_id, label_id).set(packets)
        _BYTES.labels(router_id, label_id).set(size_bytes)
