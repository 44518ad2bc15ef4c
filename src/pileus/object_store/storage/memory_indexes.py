"""Containers and accounts in memory, for the tests of a proxy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from pileus.object_store.backend import AccountServer, Unreachable, Written
from pileus.object_store.indexes import (
    AccountAnswer,
    AccountInfo,
    ContainerAnswer,
    ContainerEntry,
    ContainerInfo,
    ContainerPut,
    ContainerRow,
    Listing,
    ObjectEntry,
    ObjectRow,
    PolicyUse,
    ShardRange,
    Subdir,
)
from pileus.object_store.places import Node, Target
from pileus.object_store.storage.listing import Row, Span, collect
from pileus.object_store.storage.merging import (
    Stamped,
    live_headers,
    merge_container_rows,
    merge_headers,
    merge_object_rows,
    modified_at,
    stamp_headers,
)
from pileus.object_store.timestamps import ZERO, Timestamp

ReachAccounts = Callable[[Node], AccountServer]


def _seek(names: list[str], span: Span) -> list[Row]:
    found = [name for name in sorted(names, reverse=span.reverse) if span.holds(name)]
    return [(name,) for name in found[: span.limit]]


@dataclass
class MemoryContainer:
    """One container."""

    policy: int
    put_at: Timestamp
    created_at: Timestamp
    changed_at: Timestamp
    delete_at: Timestamp = ZERO
    metadata: Stamped = field(default_factory=dict)
    rows: dict[str, ObjectRow] = field(default_factory=dict)

    def live(self) -> dict[str, ObjectRow]:
        """Return the rows of what is there."""
        return {name: row for name, row in self.rows.items() if not row.deleted}

    @property
    def deleted(self) -> bool:
        """Whether it is gone."""
        return self.delete_at >= self.put_at and not self.live()


@dataclass
class MemoryContainers:
    """The containers of one device."""

    check: Callable[[], None]
    reach_accounts: ReachAccounts
    now: Callable[[], float]
    kept: dict[tuple[str, str], MemoryContainer] = field(default_factory=dict)
    targets: dict[tuple[str, str], tuple[Target, ...]] = field(default_factory=dict)

    def _info(self, account: str, container: str, found: MemoryContainer) -> ContainerInfo:
        live = found.live().values()
        return ContainerInfo(
            account=account,
            container=container,
            object_count=len(live),
            bytes_used=sum(row.size_bytes for row in live),
            policy=found.policy,
            put_at=found.put_at,
            delete_at=found.delete_at,
            created_at=found.created_at,
            changed_at=found.changed_at,
            metadata=live_headers(found.metadata),
        )

    async def head(self, partition: int, account: str, container: str) -> ContainerAnswer:
        return await self.listing(partition, account, container, Listing(limit=0))

    async def listing(self, partition: int, account: str, container: str, listing: Listing) -> ContainerAnswer:
        self.check()
        found = self.kept.get((account, container))
        if found is None or found.deleted:
            return ContainerAnswer(HTTPStatus.NOT_FOUND, timestamp=found.delete_at if found else None)
        live = found.live()
        entries: list[ObjectEntry | Subdir] = []
        for row in collect(lambda span: _seek(list(live), span), listing):
            if isinstance(row, Subdir):
                entries.append(row)
            else:
                kept = live[row[0]]
                entries.append(ObjectEntry(kept.name, kept.size_bytes, kept.etag, kept.content_type, modified_at(kept).internal))
        return ContainerAnswer(HTTPStatus.OK, self._info(account, container, found), entries, found.put_at)

    async def put(self, partition: int, account: str, container: str, put: ContainerPut) -> Written:
        self.check()
        found = self.kept.get((account, container))
        created = found is None or found.deleted
        if found is None:
            policy = put.default_policy if put.policy is None else put.policy
            found = self.kept[account, container] = MemoryContainer(policy, put.timestamp, put.timestamp, put.timestamp)
        elif found.deleted:
            if found.delete_at >= put.timestamp:
                return Written(HTTPStatus.CONFLICT, found.delete_at)
            found.policy = put.default_policy if put.policy is None else put.policy
            found.created_at = found.changed_at = put.timestamp
            found.metadata = {}
        elif put.policy is not None and put.policy != found.policy:
            return Written(HTTPStatus.CONFLICT, found.put_at)
        found.put_at = max(found.put_at, put.timestamp)
        found.metadata = merge_headers(found.metadata, stamp_headers(put.metadata, put.timestamp))
        self.targets[account, container] = put.updates
        await self._report(account, container)
        return Written(HTTPStatus.CREATED if created else HTTPStatus.ACCEPTED, found.put_at)

    async def post(
        self, partition: int, account: str, container: str, timestamp: Timestamp, metadata: Mapping[str, str]
    ) -> Written:
        self.check()
        found = self.kept.get((account, container))
        if found is None or found.deleted:
            return Written(HTTPStatus.NOT_FOUND)
        found.metadata = merge_headers(found.metadata, stamp_headers(metadata, timestamp))
        return Written(HTTPStatus.NO_CONTENT, timestamp)

    async def delete(
        self, partition: int, account: str, container: str, timestamp: Timestamp, updates: tuple[Target, ...] = ()
    ) -> Written:
        self.check()
        found = self.kept.get((account, container))
        if found is None or found.deleted:
            return Written(HTTPStatus.NOT_FOUND, found.delete_at if found else None)
        if found.live() or found.put_at >= timestamp:
            return Written(HTTPStatus.CONFLICT, found.put_at)
        found.delete_at = found.changed_at = timestamp
        self.targets[account, container] = updates
        await self._report(account, container)
        return Written(HTTPStatus.NO_CONTENT, timestamp)

    async def update(self, partition: int, account: str, container: str, rows: Sequence[ObjectRow]) -> Written:
        self.check()
        found = self.kept.get((account, container))
        if found is None or found.deleted:
            return Written(HTTPStatus.NOT_FOUND)
        for row in rows:
            old = found.rows.get(row.name)
            found.rows[row.name] = merge_object_rows(old, row) if old else row
        await self._report(account, container)
        return Written(HTTPStatus.CREATED)

    async def take_shards(self, partition: int, account: str, container: str, ranges: Sequence[ShardRange]) -> Written:
        self.check()
        return Written(HTTPStatus.NOT_FOUND)

    async def _report(self, account: str, container: str) -> None:
        found = self.kept[account, container]
        info = self._info(account, container, found)
        row = ContainerRow(
            name=container,
            put_at=found.put_at,
            delete_at=found.delete_at,
            object_count=info.object_count,
            bytes_used=info.bytes_used,
            policy=found.policy,
            figures_at=Timestamp.of(self.now()),
        )
        for target in self.targets.get((account, container), ()):
            try:
                await self.reach_accounts(target.node).update(target.partition, account, [row])
            except Unreachable:
                continue


@dataclass
class MemoryAccount:
    """One account."""

    put_at: Timestamp
    created_at: Timestamp
    delete_at: Timestamp = ZERO
    deleted: bool = False
    metadata: Stamped = field(default_factory=dict)
    rows: dict[str, ContainerRow] = field(default_factory=dict)


@dataclass
class MemoryAccounts:
    """The accounts of one device."""

    check: Callable[[], None]
    now: Callable[[], float]
    kept: dict[str, MemoryAccount] = field(default_factory=dict)

    def _info(self, account: str, found: MemoryAccount) -> AccountInfo:
        live = [row for row in found.rows.values() if not row.deleted]
        by_policy: dict[int, PolicyUse] = {}
        for row in live:
            use = by_policy.get(row.policy, PolicyUse())
            by_policy[row.policy] = PolicyUse(
                use.container_count + 1, use.object_count + row.object_count, use.bytes_used + row.bytes_used
            )
        return AccountInfo(
            account=account,
            container_count=len(live),
            object_count=sum(row.object_count for row in live),
            bytes_used=sum(row.bytes_used for row in live),
            put_at=found.put_at,
            delete_at=found.delete_at,
            created_at=found.created_at,
            metadata=live_headers(found.metadata),
            by_policy=by_policy,
            deleted=found.deleted,
        )

    async def head(self, partition: int, account: str) -> AccountAnswer:
        return await self.listing(partition, account, Listing(limit=0))

    async def listing(self, partition: int, account: str, listing: Listing) -> AccountAnswer:
        self.check()
        found = self.kept.get(account)
        if found is None or found.deleted:
            return AccountAnswer(HTTPStatus.GONE if found else HTTPStatus.NOT_FOUND, timestamp=found.delete_at if found else None)
        live = {name: row for name, row in found.rows.items() if not row.deleted}
        entries: list[ContainerEntry | Subdir] = []
        for row in collect(lambda span: _seek(list(live), span), listing):
            if isinstance(row, Subdir):
                entries.append(row)
            else:
                kept = live[row[0]]
                entries.append(ContainerEntry(kept.name, kept.object_count, kept.bytes_used, kept.put_at, kept.policy))
        return AccountAnswer(HTTPStatus.OK, self._info(account, found), entries, found.put_at)

    async def put(self, partition: int, account: str, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        self.check()
        found = self.kept.get(account)
        if found is not None and found.deleted:
            return Written(HTTPStatus.FORBIDDEN, found.delete_at)
        created = found is None
        found = found or self.kept.setdefault(account, MemoryAccount(timestamp, timestamp))
        found.put_at = max(found.put_at, timestamp)
        found.metadata = merge_headers(found.metadata, stamp_headers(metadata, timestamp))
        return Written(HTTPStatus.CREATED if created else HTTPStatus.ACCEPTED, timestamp)

    async def post(self, partition: int, account: str, timestamp: Timestamp, metadata: Mapping[str, str]) -> Written:
        self.check()
        found = self.kept.get(account)
        if found is None or found.deleted:
            return Written(HTTPStatus.NOT_FOUND)
        found.metadata = merge_headers(found.metadata, stamp_headers(metadata, timestamp))
        return Written(HTTPStatus.NO_CONTENT, timestamp)

    async def delete(self, partition: int, account: str, timestamp: Timestamp) -> Written:
        self.check()
        found = self.kept.get(account)
        if found is None or found.deleted:
            return Written(HTTPStatus.NOT_FOUND)
        found.delete_at, found.deleted = timestamp, True
        return Written(HTTPStatus.NO_CONTENT, timestamp)

    async def update(self, partition: int, account: str, rows: Sequence[ContainerRow]) -> Written:
        self.check()
        found = self.kept.get(account)
        if found is None or found.deleted:
            return Written(HTTPStatus.NOT_FOUND)
        for row in rows:
            old = found.rows.get(row.name)
            found.rows[row.name] = merge_container_rows(old, row) if old else row
        return Written(HTTPStatus.CREATED)
