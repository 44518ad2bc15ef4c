"""What security groups build upon beside rules: groups of addresses, and the rules that new groups get."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from pileus.kernel.db import metadata
from pileus.network.tables.columns import ADDRESS, TEXT, dated, owned

address_groups = Table(
    "address_groups", metadata, *owned(),
    Column("shared", Boolean, nullable=False),
    *dated(),
)  # fmt: skip

address_group_members = Table(
    "address_group_members", metadata,
    Column("group_id", String(36), ForeignKey("address_groups.id"), primary_key=True),
    Column("address", ADDRESS, primary_key=True, doc="a prefix"),
)  # fmt: skip

default_rules = Table(
    "default_security_group_rules", metadata,
    Column("id", String(36), primary_key=True),
    Column("description", TEXT, nullable=False),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(4), nullable=False),
    Column("protocol", String(40)),
    Column("port_range_min", Integer),
    Column("port_range_max", Integer),
    Column("remote_ip_prefix", ADDRESS),
    Column("remote_group_id", String(36), doc="PARENT: the group that the rule is made in"),
    Column("remote_address_group_id", String(36)),
    Column("used_in_default_sg", Boolean, nullable=False),
    Column("used_in_non_default_sg", Boolean, nullable=False),
    *dated(),
)  # fmt: skip
