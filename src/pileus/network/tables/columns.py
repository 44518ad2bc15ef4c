"""The columns that the tables of many resources share."""

from sqlalchemy import Column, Double, ForeignKey, Integer, String

NAME, TEXT, ADDRESS = String(255), String(255), String(64)


def owned() -> tuple[Column[str], ...]:
    """The columns that every resource starts with."""
    return (
        Column("id", String(36), primary_key=True),
        Column("project_id", String(64), nullable=False, index=True),
        Column("name", NAME, nullable=False, default=""),
        Column("description", TEXT, nullable=False, default=""),
    )


def dated() -> tuple[Column[int] | Column[float], ...]:
    """The columns that every resource ends with."""
    return (
        Column("revision_number", Integer, nullable=False, default=0),
        Column("created_at", Double, nullable=False),
        Column("updated_at", Double, nullable=False),
    )


def inside(name: str, table: str, nullable: bool = False) -> Column[str]:
    """A reference to a thing that cannot go while this is there."""
    return Column(name, String(36), ForeignKey(f"{table}.id"), nullable=nullable, index=True)
