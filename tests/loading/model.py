"""The loader as a few dictionaries: what its tables and counts must be after any sequence of imports."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ingestion_assets.events.model import Event, RejectedRecord, week_of
from ingestion_assets.events.withdrawal import ALWAYS_ALLOWED, GUARD

Record = Event | RejectedRecord


@dataclass
class Row:
    payload: Any
    version: int
    day: date | None
    first_job: str
    change_job: str
    withdrawn: bool = False


@dataclass
class Job:
    """The ledger row of one run."""

    attempt: int = 0
    weeks: dict[date, Counter[str]] = field(default_factory=dict)
    withdrawn: int = 0

    def count(self, week: date, outcome: str) -> None:
        self.weeks.setdefault(week, Counter())[outcome] += 1

    def total(self) -> Counter[str]:
        return sum(self.weeks.values(), Counter())


@dataclass
class Model:
    """One source."""

    first: date
    last: date
    rows: dict[str, Row] = field(default_factory=dict)
    seen: dict[str, tuple[str, int]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)

    def begin(self, run: str) -> None:
        job = self.jobs.setdefault(run, Job())
        job.attempt += 1
        for counter in job.weeks.values():  # what is fetched again is counted again
            del counter["skipped"], counter["errors"]

    def load(
        self,
        run: str,
        pages: Iterable[Sequence[Record]],
        *,
        batch: int,
        version: int,
        apart: bool,
        break_after: int | None,
    ) -> bool:
        """Store the pages in batches of `batch`; False when the fetch broke after `break_after` records.

        `apart`: the source keeps the records of other weeks apart.
        """
        came = list(itertools.islice((record for page in pages for record in page), break_after))
        outside = [record for record in came if apart and self.is_outside(record)]
        self._store_in_batches(run, [record for record in came if record not in outside], batch, version)
        if break_after is not None:
            return False
        moved = [record for record in outside if self._is_known_inside(run, record.source_id)]
        self._store_in_batches(run, moved, batch, version)
        return True

    def is_outside(self, record: Record) -> bool:
        day = record.day if isinstance(record, RejectedRecord) else record.start and record.start.date
        return day is not None and not self.first <= week_of(day) <= self.last

    def _is_known_inside(self, run: str, source_id: str | None) -> bool:
        row = self.rows.get(source_id or "")
        inside = row is not None and row.day is not None and self.first <= week_of(row.day) <= self.last
        return inside and self.seen[source_id or ""][0] != run

    def _store_in_batches(self, run: str, records: Sequence[Record], batch: int, version: int) -> None:
        for start in range(0, len(records), batch):
            self._store(run, records[start : start + batch], version)

    def _partition(self, day: date | None) -> date:
        week = self.first if day is None else week_of(day)
        return week if self.first <= week <= self.last else self.first

    def _store(self, run: str, batch: Sequence[Record], version: int) -> None:
        job = self.jobs[run]
        now = (run, job.attempt)
        firsts: dict[str, Event] = {}
        for record in batch:
            if isinstance(record, Event):
                firsts.setdefault(record.source_id, record)
        for record in batch:
            if isinstance(record, RejectedRecord):
                job.count(self._partition(record.day), "errors")
                continue
            week = self._partition(None if record.start is None else record.start.date)
            if firsts[record.source_id] is not record or self.seen.get(record.source_id) == now:
                job.count(week, "skipped")
                continue
            outcome = self._write(run, record, version)
            if outcome is not None:
                job.count(week, outcome)
            self.seen[record.source_id] = now
        for record in batch:
            # Listed, but not read: an event of this id is still no repeat.
            if isinstance(record, RejectedRecord) and self.seen.get(record.source_id or "", now) != now:
                self.seen[record.source_id or ""] = (run, 0)

    def _write(self, run: str, event: Event, version: int) -> str | None:
        day = None if event.start is None else event.start.date
        row = self.rows.get(event.source_id)
        if row is None:
            self.rows[event.source_id] = Row(event.payload, version, day, run, run)
            return "created"
        ours = run in (row.first_job, row.change_job)
        changed = (row.payload, row.version) != (event.payload, version) or row.withdrawn
        if changed:
            self.rows[event.source_id] = Row(event.payload, version, day, row.first_job, run)
        if ours:
            return None
        return "updated" if changed else "skipped"

    def finish(self, run: str, *, today: date, listed: int, incomplete: bool, accept: bool) -> None:
        candidates = {
            key: row
            for key, row in self.rows.items()
            if row.day is not None and row.day >= today and self.first <= week_of(row.day) <= self.last
            if not row.withdrawn
        }
        missing = [key for key in candidates if self.seen[key][0] != run]
        known = sum(row.first_job != run for row in candidates.values())
        few = len(missing) <= (max(GUARD * known, ALWAYS_ALLOWED) if listed else GUARD * known)
        if missing and not incomplete and (accept or few):
            for key in missing:
                self.rows[key].withdrawn = True
            self.jobs[run].withdrawn = len(missing)
