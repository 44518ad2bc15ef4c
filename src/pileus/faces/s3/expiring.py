"""Lifecycle, acted on: from time to time every bucket with rules is gone through, and what is due is deleted."""

import asyncio
import logging
from collections import Counter
from typing import Any

from pileus.faces.s3 import lifecycle, tags
from pileus.faces.s3.lifecycle import Rule
from pileus.kernel.clock import from_iso
from pileus.kernel.context import Cloud, cloud_itself
from pileus.kernel.errors import Fault
from pileus.object_store.backend import Unreachable
from pileus.object_store.caller import Caller
from pileus.object_store.indexes import ContainerInfo, Listing, ObjectEntry
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access, buckets, direct, parts, reading, version_ids, versions
from pileus.object_store.state import ObjectStore
from pileus.object_store.timestamps import Timestamp

log = logging.getLogger(__name__)

PAGE = 1000


class Sweep:
    """One pass over one bucket."""

    def __init__(self, cloud: Cloud, info: ContainerInfo, rules: list[Rule]) -> None:
        self.cloud, self.info, self.rules = cloud, info, rules
        self.store = cloud.part(ObjectStore)
        self.day_seconds = cloud.settings.s3_day_seconds
        self.now = cloud.clock.now()
        self.counts: Counter[str] = Counter()

    def request(self, name: str = "", **changes: Any) -> Request:
        """Return a request about an object of the bucket, on behalf of the cloud itself."""
        vouched = f"{self.info.account}/{self.info.container}"
        made = Request(self.cloud, self.store, "DELETE", self.info.account, self.info.container, name, vouched=vouched)
        made.caller, made.at = Caller(), self.store.next_timestamp(self.cloud.clock)
        for key, value in changes.items():
            setattr(made, key, value)
        return made

    async def run(self) -> Counter[str]:
        """Delete what is due."""
        live = [rule for rule in self.rules if rule.enabled]
        if any(rule.days or rule.date for rule in live):
            await self._expire()
        if direct.keeps_versions(self.info) and any(rule.noncurrent_days or rule.drop_markers or rule.days for rule in live):
            await self._expire_versions()
        if any(rule.abort_days for rule in live):
            await self._abort()
        return self.counts

    async def _expire(self) -> None:
        marker = ""
        while True:
            page = Listing(marker=marker, limit=PAGE)
            answer = await self.store.placement.container(self.info.account, self.info.container, page)
            for entry in answer.entries:
                marker = entry.name
                if isinstance(entry, ObjectEntry) and self._may_be_due(entry):
                    await self._guarded(self._expire_one(entry.name))
            if len(answer.entries) < PAGE:
                return

    def _may_be_due(self, entry: ObjectEntry) -> bool:
        """Tell whether any rule could mean an object, as far as the listing tells."""
        return any(
            rule.enabled and entry.name.startswith(rule.prefix) and self._is_due(rule, entry.modified_at) for rule in self.rules
        )

    def _is_due(self, rule: Rule, made_at: Timestamp) -> bool:
        when = rule.due(made_at.seconds, self.day_seconds)
        return when is not None and when <= self.now

    async def _expire_one(self, name: str) -> None:
        req = self.request(name)
        found = await reading.open_content(self.request(name, method="HEAD"), self.info, name, head=True)
        if found is None:
            return
        given = tags.decode(found.sysmeta.get(tags.STORED, ""))
        for rule in self.rules:
            if rule.fits(name, found.size_bytes, given) and self._is_due(rule, found.metadata.data_at):
                await direct.delete(req, self.info)
                self.counts["expired"] += 1
                return

    async def _expire_versions(self) -> None:
        """Go through all versions, name by name, the newest first."""
        rows: list[dict[str, Any]] = []
        async for row in self._versions():
            if rows and rows[0]["name"] != row["name"]:
                await self._guarded(self._judge(rows))
                rows = []
            rows.append(row)
        if rows:
            await self._guarded(self._judge(rows))

    async def _versions(self) -> Any:
        marker, id_marker = "", ""
        while True:
            query = {"version_marker": id_marker} if id_marker else {}
            page = Listing(limit=PAGE, marker=marker)
            listed = await version_ids.listing(self.request(method="GET", query=query), self.info, page)
            for row in listed:
                yield row
                marker, id_marker = row["name"], row["version_id"]
            if len(listed) < PAGE:
                return

    async def _judge(self, rows: list[dict[str, Any]]) -> None:
        """Delete what is due of the versions of one object."""
        name, kept = rows[0]["name"], 0
        left = len(rows)
        for newer, row in zip([None, *rows[:-1]], rows, strict=True):
            if newer is None:
                continue
            kept += 1
            since = _moment(newer)
            for rule in self.rules:
                if not rule.noncurrent_days or kept <= rule.newer:
                    continue
                due = lifecycle.after(since, rule.noncurrent_days, self.day_seconds)
                if due <= self.now and rule.fits(name, int(row["bytes"]), await self._tags(name, row, rule)):
                    shown = version_ids.NULL if row.get("null") else row["version_id"]
                    if await self._guarded(direct.delete(self.request(name), self.info, shown)):
                        self.counts["noncurrent"] += 1
                        left -= 1
                    break
        if left == 1 and rows[0]["content_type"] == versions.MARKER_TYPE:
            await self._drop_marker(rows[0])

    async def _drop_marker(self, row: dict[str, Any]) -> None:
        """Delete a marker of deletion that is all that is left of an object."""
        for rule in self.rules:
            due = rule.drop_markers or (rule.days and lifecycle.after(_moment(row), rule.days, self.day_seconds) <= self.now)
            if due and rule.fits(row["name"], 0, {}):
                shown = version_ids.NULL if row.get("null") else row["version_id"]
                await direct.delete(self.request(row["name"]), self.info, shown)
                self.counts["markers"] += 1
                return

    async def _tags(self, name: str, row: dict[str, Any], rule: Rule) -> dict[str, str]:
        if not rule.tags or row["content_type"] == versions.MARKER_TYPE:
            return {}
        shown = version_ids.NULL if row.get("null") else row["version_id"]
        found = await direct.open_object(self.request(name, method="HEAD"), self.info, shown, head=True)
        return tags.decode(found.content.sysmeta.get(tags.STORED, ""))

    async def _abort(self) -> None:
        for upload in await parts.uploads(self.request(method="GET"), self.info):
            for rule in self.rules:
                due = lifecycle.after(upload.begun_at.seconds, rule.abort_days, self.day_seconds)
                if rule.abort_days and rule.fits(upload.key, 0, {}) and due <= self.now:
                    await self._guarded(parts.abort(self.request(upload.key), self.info, upload))
                    self.counts["uploads"] += 1
                    break

    async def _guarded(self, work: Any) -> bool:
        """Do one thing; what object lock keeps, or a device that is away, stops nothing else."""
        try:
            await work
        except (Refused, Unreachable) as reason:
            self.counts["kept"] += 1
            log.debug("kept in %s: %s", self.info.container, reason)
            return False
        return True


def _moment(row: dict[str, Any]) -> float:
    """Return when a version was made."""
    return Timestamp.parse(row["version_id"]).seconds if row["version_id"] != version_ids.NULL else from_iso(row["last_modified"])


async def sweep(cloud: Cloud) -> Counter[str]:
    """Go through every bucket, and return how much was done of what."""
    store, total = cloud.part(ObjectStore), Counter[str]()
    req = Request(cloud, store, "GET", caller=Caller(ctx=cloud_itself(cloud)), at=store.next_timestamp(cloud.clock))
    async for name in buckets.names(req):
        try:
            owner = await buckets.owner_of(req, name, fresh=True)
            info = await access.container_info(req, owner, name, fresh=True) if owner else None
            rules = lifecycle.decode(buckets.setting(info, lifecycle.SETTING)) if info else []
            if info is not None and rules:
                total += await Sweep(cloud, info, rules).run()
        except (Fault, Unreachable):
            log.exception("lifecycle of bucket %s stopped", name)
    return total


def run(cloud: Cloud) -> None:
    """Make a pass.  For the loop."""
    asyncio.run(sweep(cloud))
