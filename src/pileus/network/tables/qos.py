"""Quality of service: policies and the rules of each."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from pileus.kernel.db import metadata
from pileus.network.tables.columns import dated, inside, owned

qos_policies = Table(
    "qos_policies", metadata, *owned(),
    Column("shared", Boolean, nullable=False),
    *dated(),
)  # fmt: skip

qos_default_policies = Table(
    "qos_default_policies", metadata,
    Column("project_id", String(64), primary_key=True),
    Column("policy_id", String(36), ForeignKey("qos_policies.id"), nullable=False, index=True),
)  # fmt: skip

qos_rules = Table(
    "qos_rules", metadata,
    Column("id", String(36), primary_key=True),
    inside("qos_policy_id", "qos_policies"),
    Column("kind", String(32), nullable=False, doc="bandwidth_limit, dscp_marking or minimum_bandwidth"),
    Column("direction", String(8), nullable=False, doc="as a guest sees it"),
    Column("max_kbps", Integer),
    Column("max_burst_kbps", Integer),
    Column("min_kbps", Integer),
    Column("dscp_mark", Integer),
    *dated(),
)  # fmt: skip
