"""Pages of records into PostgreSQL, with exact counts and as few bytes as the changes need.

A batch is one transaction of three steps: ids and hashes go first, only payloads that are new or changed follow by
COPY, and one statement classifies and writes. Rows, counts by week and the ledger row commit together, so a crash
keeps what was written and its counts. An unchanged pass writes to `raw_events_seen` alone.

Belongs here: the load path. Who may write is `ledger.import_jobs`; what a record means is `sources/`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import starmap
from typing import TYPE_CHECKING, Any, LiteralString

from ingestion_assets.counts import Counts
from ingestion_assets.events import loading_statements as statements
from ingestion_assets.events.admission import MAX_ID_BYTES, admit, storable_text
from ingestion_assets.events.copy_rows import blocks, key_row
from ingestion_assets.events.garbage import rare_collections
from ingestion_assets.events.hashing import Canonicaliser
from ingestion_assets.events.load_batch import Batch, Rejected, first_line, reason_of, refusals, stored_id
from ingestion_assets.events.model import Event, FetchWarning, Page, RejectedRecord, Unread, week_of
from ingestion_assets.events.withdrawal import Withdrawal, withdraw
from ingestion_assets.ledger.import_jobs import AttemptSupersededError, ImportJob
from ingestion_assets.ledger.step_counts import add_counts, read_counts
from resources.postgres.database import DatabaseUnavailableError
from resources.redaction import redact

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger(__name__)

BATCH_RECORDS = 2000
"""Records of one transaction: large enough that round trips do not count, small enough that memory stays flat."""
BATCH_BYTES = 8 * 1024 * 1024
COMMIT_EVERY = 30.0
"""Seconds after which a batch is committed however small it is: a service that lets us have a page a minute makes progress
too, and an import without progress for an hour is taken for stuck."""
MAX_WARNINGS = 200
"""Warnings that the ledger keeps of one fetch."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The outcome of one import, read back from the ledger, not from memory."""

    job_id: int
    counts: Counts
    by_week: Mapping[date, Counts]
    withdrawal: Withdrawal
    warnings: Sequence[FetchWarning]
    outside_window: int
    undated: int
    pages: int


def load_pages(
    pages: Iterable[Page],
    job: ImportJob,
    *,
    volatile_paths: Sequence[str],
    record_version: int,
    weeks: tuple[date, date],
    today: date,
    progress: Callable[[int, int], None] = lambda _pages, _records: None,
    accept_withdrawals: bool = False,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> LoadResult:
    """Store every page, then withdraw what a complete fetch no longer lists, and close the ledger row as SUCCESS.

    `weeks` are the first and the last partition of the run; `today` is the local date before which a vanished event is
    over rather than withdrawn; `seed` is that of the content hashes (`reading_seed`); `progress` is told pages and records;
    `clock` is in seconds. Raises what the source raises, after what it had fetched was stored, `AttemptSupersededError`
    when another attempt took over, and `DatabaseUnavailableError`; what was stored by then stays stored and counted.
    """
    loader = _Loader(job, Canonicaliser(volatile_paths, seed=seed), record_version, weeks)
    tally = _Tally()
    with rare_collections():
        _store_all(pages, loader, tally, progress, clock)
    withdrawal = loader.finish(tally, today=today, accept=accept_withdrawals)
    counts, by_week = read_counts(job.database, job.job_id)
    return LoadResult(
        job_id=job.job_id,
        counts=counts,
        by_week=by_week,
        withdrawal=withdrawal,
        warnings=tuple(tally.warnings),
        outside_window=tally.outside_window,
        undated=tally.undated,
        pages=tally.pages,
    )


def _store_all(
    pages: Iterable[Page],
    loader: _Loader,
    tally: _Tally,
    progress: Callable[[int, int], None],
    clock: Callable[[], float],
) -> None:
    """Batch after batch. Nothing of the last one outlives this: the next look for cycles would walk through it."""
    batch = Batch()
    committed = clock()
    moved: list[Event | RejectedRecord] = []

    def store() -> None:
        nonlocal batch, committed
        full, batch = batch, Batch()
        loader.store(full)
        committed = clock()

    for page in _stored_on_error(pages, store):
        tally.add(page)
        for record, written in zip(page.records, page.written or [None] * len(page.records), strict=True):
            loader.add(batch, record, written)
            if len(batch) >= BATCH_RECORDS or batch.size >= BATCH_BYTES:
                store()
        moved += loader.stored_inside(page.outside)
        progress(tally.pages, tally.records)
        if clock() - committed >= COMMIT_EVERY:  # pages without records are progress too
            store()
    if len(batch):
        store()
    # Last, because a service may list an id inside the window and outside of it: then it was not moved.
    for record in loader.stored_inside(moved):
        tally.add_moved()
        loader.add(batch, record)
        if len(batch) >= BATCH_RECORDS or batch.size >= BATCH_BYTES:
            store()
    if len(batch):
        store()


def _stored_on_error(pages: Iterable[Page], store: Callable[[], None]) -> Iterator[Page]:
    """The pages; when their source fails, what it had fetched is stored first: its retry may fail at the same page again.

    Only errors of the source come by here. Of the database's, none can be followed by a commit.
    """
    from psycopg import Error

    try:
        yield from pages
    except (Error, DatabaseUnavailableError, AttemptSupersededError):
        raise
    except Exception:
        store()
        raise


@dataclass(slots=True)
class _Tally:
    """What the pages said besides their records."""

    pages: int = 0
    records: int = 0
    undated: int = 0
    outside_window: int = 0
    warnings: list[FetchWarning] = field(default_factory=list)
    incomplete: str | None = None

    def add(self, page: Page) -> None:
        self.pages += 1
        self.records += len(page.records)
        self.undated += sum(isinstance(record, Event) and record.start is None for record in page.records)
        self.outside_window += page.outside_window
        # People read these in logs and metadata, and they may quote what a service said.
        self.warnings.extend(FetchWarning(warning.code, redact(warning.detail)) for warning in page.warnings)
        self.incomplete = self.incomplete or (redact(page.incomplete) if page.incomplete else None)

    def add_moved(self) -> None:
        """One record is of the fetch that its page had counted as outside the window."""
        self.records += 1
        self.outside_window -= 1


class _Loader:
    """Stores the batches of one attempt, in order. Not thread-safe."""

    def __init__(self, job: ImportJob, canonical: Canonicaliser, record_version: int, weeks: tuple[date, date]) -> None:
        self._job = job
        self._canonical = canonical
        self._record_version = record_version
        self._weeks = weeks

    # -- prepare -----------------------------------------------------------------------------------------------------

    def add(self, batch: Batch, record: Event | RejectedRecord, written: bytes | None = None) -> None:
        """Put a record into the batch, as a rejected one where the database could not hold it."""
        if isinstance(record, RejectedRecord):
            batch.reject(record)
            return
        admitted = admit(record, self._canonical)
        if isinstance(admitted, RejectedRecord):
            batch.reject(admitted)
            return
        content_hash, size = admitted
        week = None if record.start is None else week_of(record.start.date)
        batch.add(record, content_hash, size, week, written)

    def stored_inside(self, outside: Sequence[Event | RejectedRecord | Unread]) -> list[Event | RejectedRecord]:
        """The records of a page's `outside` whose event is known inside the window, where the fetch has not listed it.

        They are read as others are, and counted by the first week of the run: the event has its new date, and the old one
        is not left to be withdrawn. What lies outside and is not known inside belongs to the imports of its own weeks.
        """
        ids = [stored_id(record) for record in outside]
        wanted = [each for each in ids if each is not None]
        if not wanted:
            return []
        parameters = {
            "source": self._job.source,
            "job": self._job.job_id,
            "ids": wanted,
            "first": self._weeks[0],
            "last": self._weeks[1],
        }
        known = {
            row[0]
            for row in self._job.session.transact(
                lambda connection: connection.execute(statements.STORED_INSIDE, parameters).fetchall()
            )
        }
        inside = (record for record, source_id in zip(outside, ids, strict=True) if source_id in known)
        read = (record.read() if isinstance(record, Unread) else record for record in inside)
        return [record for record in read if record is not None]

    # -- store -------------------------------------------------------------------------------------------------------

    def store(self, batch: Batch) -> None:
        """Commit one batch, exactly once. A batch that the database refuses is halved until the bad record is found."""
        try:
            self._job.commit(lambda connection: self._write(connection, batch))
        except refusals() as error:
            if len(batch) > 1:
                for half in batch.halves():
                    self.store(half)
            elif batch.keys:
                self.store(self._refused_by_database(batch, error))
            elif batch.rejected[0].payload != "null":
                self.store(Batch(rejected=[Rejected(batch.rejected[0].record, "null")]))
            else:  # not even our diagnosis can be stored: a fault of the code, which going on would hide
                raise

    def _refused_by_database(self, batch: Batch, error: Exception) -> Batch:
        [(event, written)] = batch.events.values()
        refused = Batch()
        refused.reject(
            RejectedRecord(
                reason=reason_of(error),
                detail=f"PostgreSQL refused the record: {first_line(error)}",
                payload=event.payload if written is None else json.loads(written),
                source_id=event.source_id,
                day=None if event.start is None else event.start.date,
            ),
        )
        return refused

    def _write(self, connection: Connection[Any], batch: Batch) -> None:
        counts: dict[date, Counts] = {}
        if batch.keys:
            connection.execute(statements.STAGE)
            parameters = {
                "source": self._job.source,
                "version": self._record_version,
                "job": self._job.job_id,
                "attempt": self._job.attempt,
                "first": self._weeks[0],
                "last": self._weeks[1],
            }
            self._copy_keys(connection, batch)
            todo = [row[0] for row in connection.execute(statements.TODO, parameters)]
            self._copy_rows(connection, batch, todo)
            for week, created, updated, skipped in connection.execute(statements.WRITE, parameters):
                counts[week] = Counts(created=created, updated=updated, skipped=skipped)
            for week in self._repeats(batch):
                counts[week] = counts.get(week, Counts()) + Counts(skipped=1)
        self._insert_rejected(connection, batch, counts)
        add_counts(connection, self._job, counts)

    def _copy_keys(self, connection: Connection[Any], batch: Batch) -> None:
        _copy(connection, "COPY stage_keys FROM STDIN (FORMAT BINARY)", starmap(key_row, batch.keys))

    def _copy_rows(self, connection: Connection[Any], batch: Batch, todo: Sequence[int]) -> None:
        if todo:
            rows = (batch.row(ordinal) for ordinal in todo)
            _copy(connection, "COPY stage_rows FROM STDIN (FORMAT BINARY)", rows)

    def _insert_rejected(self, connection: Connection[Any], batch: Batch, counts: dict[date, Counts]) -> None:
        if not batch.rejected:
            return
        rows = []
        for rejected in batch.rejected:
            record = rejected.record
            week = self._partition_of(record.day)
            counts[week] = counts.get(week, Counts()) + Counts(errors=1, by_reason={record.reason.value: 1})
            rows.append(
                (
                    self._job.job_id,
                    self._job.source,
                    week,
                    storable_text(record.source_id, MAX_ID_BYTES),
                    record.reason.value,
                    storable_text(record.detail, 2000) or "",
                    rejected.payload,
                )
            )
        known = [source_id for rejected in batch.rejected if (source_id := stored_id(rejected.record)) is not None]
        parameters = {"source": self._job.source, "job": self._job.job_id, "attempt": self._job.attempt, "ids": known}
        connection.execute(statements.SEEN_REJECTED, parameters)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO rejected_records (job_id, source, week, source_id, reason, detail, payload)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb)",
                rows,
            )

    def _partition_of(self, day: date | None) -> date:
        """Every record is counted by one partition of the run; what has no date of it is counted by the first."""
        first, last = self._weeks
        week = first if day is None else week_of(day)
        return week if first <= week <= last else first

    def _repeats(self, batch: Batch) -> list[date]:
        """The partitions of the records whose id came before in the same batch: only the first one is written."""
        first: dict[str, int] = {}
        return [
            self._partition_of(week)
            for ordinal, source_id, _, week in batch.keys
            if first.setdefault(source_id, ordinal) != ordinal
        ]

    # -- finish ------------------------------------------------------------------------------------------------------

    def finish(self, tally: _Tally, *, today: date, accept: bool) -> Withdrawal:
        """Withdraw and close the ledger row, in one transaction."""

        def work(connection: Connection[Any]) -> Withdrawal:
            withdrawal = withdraw(
                connection,
                source=self._job.source,
                job_id=self._job.job_id,
                weeks=self._weeks,
                today=today,
                listed=tally.records + tally.outside_window,
                incomplete=tally.incomplete,
                accept=accept,
            )
            warnings = [FetchWarning("incomplete", tally.incomplete)] if tally.incomplete else []
            if withdrawal.refused and not tally.incomplete:
                warnings.append(FetchWarning("withdrawal_refused", withdrawal.refused))
            warnings += tally.warnings[:MAX_WARNINGS]
            # Added up: a step that is retried after its end goes on with its ledger row, and withdraws nothing twice.
            [total] = connection.execute(
                "UPDATE import_jobs SET nb_withdrawn = nb_withdrawn + %s, warnings = %s::jsonb WHERE id = %s"
                " RETURNING nb_withdrawn",
                (withdrawal.withdrawn, _warnings_json(warnings), self._job.job_id),
            ).fetchone() or (0,)
            self._job.succeed(connection)
            return replace(withdrawal, withdrawn=total)

        return self._job.commit(work)


def _copy(connection: Connection[Any], statement: LiteralString, rows: Iterable[bytes]) -> None:
    with connection.cursor().copy(statement) as copy:
        for block in blocks(rows):
            copy.write(block)


def _warnings_json(warnings: Sequence[FetchWarning]) -> str:
    return json.dumps([{"code": w.code, "detail": storable_text(w.detail, 2000)} for w in warnings])
