"""Imports of made-up pages, as short to write as the tables of counts that they are checked against."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Any

from ingestion_assets.events.loading import LoadResult, load_pages
from ingestion_assets.events.model import Event, Moment, Page, RejectedRecord, RejectReason
from ingestion_assets.ledger.import_jobs import ImportJob
from resources.postgres.database import Database
from tests.ledger.invariants import assert_books_balance

ZONE = "America/Toronto"
FIRST = date(2026, 11, 16)
LAST = date(2026, 11, 30)
"""Three weeks, by their Mondays."""
W1, W2, W3 = FIRST, FIRST + timedelta(days=7), LAST
_UNSET: Any = object()


def event(source_id: str, day: date | None = W1, *, title: str = "Concert", **payload: Any) -> Event:
    """An event that says `payload`; two of them are equal to the loader when their payloads are."""
    start = None if day is None else Moment(day, time(20), ZONE)
    said = {"id": source_id, "day": None if day is None else day.isoformat(), **payload}
    return Event(source_id=source_id, title=title, start=start, payload=said)


def rejected(source_id: str | None = None, day: date | None = None, **fields: Any) -> RejectedRecord:
    """A record that its parser refused."""
    values = {"reason": RejectReason.MISSING_TITLE, "detail": "the record has no title", "payload": {"id": source_id}}
    return RejectedRecord(**{**values, "source_id": source_id, "day": day, **fields})


def page(*records: Event | RejectedRecord, incomplete: str | None = None) -> Page:
    return Page(records=records, incomplete=incomplete)


@dataclass
class Importer:
    """Imports one source again and again; each import is checked for balanced books."""

    database: Database
    source: str = "feed"
    weeks: tuple[date, date] = (FIRST, LAST)
    today: date = FIRST
    volatile: Sequence[str] = ()
    version: int = 1
    seed: int = 0
    _runs: itertools.count[int] = field(default_factory=itertools.count)

    def __call__(
        self,
        *pages: Page | Iterable[Event | RejectedRecord],
        weeks: tuple[date, date] | None = None,
        today: date | None = None,
        accept: bool = False,
        run_id: str | None = None,
        watch: Callable[[ImportJob], None] = lambda _job: None,
    ) -> LoadResult:
        """Import `pages` (or plain lists of records) as a run of its own, or as a retry of `run_id`."""
        made = [each if isinstance(each, Page) else Page(records=tuple(each)) for each in pages]
        job = ImportJob(
            self.database,
            source=self.source,
            run_id=run_id or f"{self.source}-{next(self._runs)}",
            partition_start=(weeks or self.weeks)[0],
            partition_end=(weeks or self.weeks)[1],
            wait=0,
        )
        with job:
            watch(job)
            result = load_pages(
                made,
                job,
                volatile_paths=self.volatile,
                record_version=self.version,
                seed=self.seed,
                weeks=weeks or self.weeks,
                today=today or self.today,
                accept_withdrawals=accept,
            )
        assert_books_balance(self.database)
        return result

    def rows(self) -> dict[str, dict[str, Any]]:
        """The stored events by id."""
        rows = self.database.fetch_all("SELECT * FROM raw_events WHERE source = %(source)s", {"source": self.source})
        return {row["source_id"]: row for row in rows}

    def rejections(self) -> list[dict[str, Any]]:
        return self.database.fetch_all(
            "SELECT reason, source_id, detail, payload, week FROM rejected_records WHERE source = %(source)s ORDER BY id",
            {"source": self.source},
        )


def counts(result: LoadResult) -> tuple[int, int, int, int]:
    """created, updated, skipped, errors."""
    c = result.counts
    return c.created, c.updated, c.skipped, c.errors
