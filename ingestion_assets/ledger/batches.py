"""Batches of documents: what was handed in, by whom, how far it is, and what happened to it.

`pending → processing → ready | ready_partial | failed | cancelled | quota_exceeded`; the last five are final. Each step
leaves an event, numbered without gaps, and the last one is terminal: the database allows one. Belongs here: the ledger.
Which runs to ask for is decided in `sensors/batches.py`, what a batch becomes in `ingestion_assets/study/`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from resources.errors import PermanentError

if TYPE_CHECKING:
    from psycopg import Connection

CHANNEL = "study_batches"
"""Notified with the batch's id whenever it gets an event."""
MAX_LAUNCHES = 3
"""Runs for one batch before it counts as failed: a document that kills its run would be tried for ever."""


class BatchState(StrEnum):
    """Where a batch is."""

    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    READY_PARTIAL = "ready_partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUOTA_EXCEEDED = "quota_exceeded"

    @property
    def is_final(self) -> bool:
        """Nothing happens any more."""
        return self not in {BatchState.PENDING, BatchState.PROCESSING}


_PROGRESS_EVENTS = (
    "ingestion:received",
    "ingestion:rejected",
    "ingestion:validated",
    "extraction:started",
    "extraction:document_done",
    "extraction:document_failed",
    "analysis:started",
    "analysis:progress",
    "analysis:retrying",
    "quality:checked",
    "collection:ready",
)
_LAST_EVENT = {
    BatchState.READY: "pipeline:completed",
    BatchState.READY_PARTIAL: "pipeline:partial",
    BatchState.FAILED: "pipeline:error",
    BatchState.CANCELLED: "pipeline:cancelled",
    BatchState.QUOTA_EXCEEDED: "pipeline:quota_exceeded",
}
EVENTS = (*_PROGRESS_EVENTS, *_LAST_EVENT.values())
"""Everything that may happen to a batch, about in the order in which it does."""


class BatchConflictError(PermanentError):
    """The same key was used for something else."""


class NothingToRetryError(PermanentError):
    """All that was asked of the collection is done."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file of a new batch, whole."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the bytes, hexadecimal."""
        return sha256(self.content).hexdigest()

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file of a new batch whose bytes are in the store already (`ledger/uploads.py`)."""

    name: str
    file_id: uuid.UUID
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One row of the ledger."""

    id: uuid.UUID
    collection_id: str
    user_id: str | None
    origin: str
    state: BatchState
    stage: str
    progress: Mapping[str, Any]
    run_id: str | None
    launches: int
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    deadline_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEvent:
    """One thing that happened, as a server-sent event tells it."""

    sequence: int
    type: str
    payload: Mapping[str, Any]
    terminal: bool
    at: datetime


_COLUMNS = (
    "id, collection_id, user_id, origin, state, stage, progress, run_id, launches, error_code, error_message, created_at,"
    " started_at, deadline_at, finished_at"
)


def _batch(row: Sequence[Any]) -> Batch:
    return Batch(
        id=row[0],
        collection_id=row[1],
        user_id=row[2],
        origin=row[3],
        state=BatchState(row[4]),
        stage=row[5],
        progress=row[6],
        run_id=row[7],
        launches=row[8],
        error_code=row[9],
        error_message=row[10],
        created_at=row[11],
        started_at=row[12],
        deadline_at=row[13],
        finished_at=row[14],
    )


def fingerprint(files: Sequence[NewFile | ReceivedFile], options: Mapping[str, Any]) -> str:
    """What was asked for: equal for equal files, names and options."""
    digest = sha256(json.dumps(options, sort_keys=True).encode())
    for file in files:
        digest.update(json.dumps([file.name, file.sha256]).encode())
    return digest.hexdigest()


def create_batch(
    connection: Connection[Any],
    files: Sequence[NewFile | ReceivedFile],
    *,
    title: str,
    options: Mapping[str, Any] | None = None,
    user_id: str | None = None,
    origin: str = "api",
    origin_key: str | None = None,
    collection_id: str | None = None,
) -> tuple[Batch, bool]:
    """Store files, collection and batch in the caller's transaction. Returns the batch and whether it is new.

    The same `origin_key` of the same user is the same batch. Raises `BatchConflictError` when it came with other files,
    options or title. `options` are `language`, `cards`, `questions`, `difficulty`.
    """
    asked = dict(options or {})
    print_ = fingerprint(files, asked)
    if origin_key is not None:
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"batch {origin} {user_id} {origin_key}",)
        )
        known = connection.execute(
            "SELECT fingerprint, (SELECT title FROM study_collections WHERE id = collection_id),"  # noqa: S608
            f" {_COLUMNS} FROM study_batches WHERE origin = %s AND user_id IS NOT DISTINCT FROM %s AND origin_key = %s",
            (origin, user_id, origin_key),
        ).fetchone()
        if known is not None:
            if known[:2] != (print_, title):
                raise BatchConflictError("this key was used for other files, options or title: use a new one")
            return _batch(known[2:]), False
    collection_id = collection_id or uuid.uuid4().hex
    connection.execute(
        "INSERT INTO study_collections (id, user_id, title, options) VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
        (collection_id, user_id, title, json.dumps(asked)),
    )
    [first] = connection.execute(
        "SELECT coalesce(max(position) + 1, 0) FROM study_documents WHERE collection_id = %s", (collection_id,)
    ).fetchone() or (0,)
    for position, file in enumerate(files, first):
        digest = file.sha256
        content, file_id = (b"", file.file_id) if isinstance(file, ReceivedFile) else (file.content, None)
        name = file.name.replace("\x00", "").encode("utf-8", "replace").decode()
        connection.execute(
            "INSERT INTO study_documents (collection_id, position, document_id, name, sha256, content, file_id, size)"
            " VALUES (%s, %s, %s, %s, %s, %b, %s, %s)",
            (collection_id, position, digest[:16], name, digest, content, file_id, file.size),
        )
    row = connection.execute(
        "INSERT INTO study_batches (user_id, collection_id, origin, origin_key, fingerprint) VALUES (%s, %s, %s, %s, %s)"  # noqa: S608
        f" RETURNING {_COLUMNS}",
        (user_id, collection_id, origin, origin_key, print_),
    ).fetchone()
    assert row is not None, "INSERT returns its row"  # noqa: S101
    batch = _batch(row)
    add_event(connection, batch.id, "ingestion:received", {"documents": len(files)})
    return batch, True


def read_batch(connection: Connection[Any], batch_id: uuid.UUID, *, user_id: str | None = None) -> Batch | None:
    """A batch, or None: also when `user_id` is given and it is somebody else's."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM study_batches WHERE id = %(id)s"  # noqa: S608
        " AND (%(user)s::text IS NULL OR user_id = %(user)s)",
        {"id": batch_id, "user": user_id},
    ).fetchone()
    return _batch(row) if row else None


def open_batches(connection: Connection[Any], *, collection_id: str | None = None, limit: int = 200) -> list[Batch]:
    """Batches that are not final: those that wait for a run, or all of one collection.

    In the order of arrival, those from the inbox last: hundreds of folders do not hide what a person handed in.
    """
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM study_batches WHERE finished_at IS NULL"  # noqa: S608
        # A batch that a run was just asked for is held back from the sensor, not from that run.
        " AND (collection_id = %(collection)s OR (%(collection)s::text IS NULL AND not_before <= now()))"
        " ORDER BY origin = 'inbox', sequence LIMIT %(limit)s",
        {"collection": collection_id, "limit": limit},
    ).fetchall()
    return [_batch(row) for row in rows]


def add_event(
    connection: Connection[Any],
    batch_id: uuid.UUID,
    type_: str,
    payload: Mapping[str, Any] | None = None,
    *,
    terminal: bool = False,
) -> int:
    """Append an event and wake who listens. Returns its number. Nothing is added after the terminal one (returns 0)."""
    connection.execute("SELECT FROM study_batches WHERE id = %s FOR UPDATE", (batch_id,))
    row = connection.execute(
        "INSERT INTO study_batch_events (batch_id, sequence, type, payload, terminal)"
        " SELECT %(id)s, coalesce(max(sequence), 0) + 1, %(type)s, %(payload)s, %(terminal)s FROM study_batch_events"
        " WHERE batch_id = %(id)s HAVING NOT coalesce(bool_or(terminal), false) RETURNING sequence",
        {"id": batch_id, "type": type_, "payload": json.dumps(payload or {}), "terminal": terminal},
    ).fetchone()
    if row is None:
        return 0
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(batch_id)))
    return int(row[0])


def events_after(connection: Connection[Any], batch_id: uuid.UUID, after: int = 0) -> list[BatchEvent]:
    """Events with a number above `after`: one query replays a stream from its Last-Event-ID."""
    rows = connection.execute(
        "SELECT sequence, type, payload, terminal, at FROM study_batch_events WHERE batch_id = %s AND sequence > %s"
        " ORDER BY sequence",
        (batch_id, after),
    ).fetchall()
    return [BatchEvent(sequence=r[0], type=r[1], payload=r[2], terminal=r[3], at=r[4]) for r in rows]


def mark_launched(connection: Connection[Any], batch_id: uuid.UUID, launch: int = 1) -> bool:
    """Remember that a batch's run is asked for, for the `launch`th time. False when the batch is final already.

    Held back for a minute: by then Dagster has made the run, or the request was lost.
    """
    return (
        connection.execute(
            "UPDATE study_batches SET launches = %s, not_before = now() + interval '60 seconds'"
            " WHERE id = %s AND finished_at IS NULL",
            (launch, batch_id),
        ).rowcount
        == 1
    )


def begin(connection: Connection[Any], batch_id: uuid.UUID, run_id: str, *, seconds: float | None) -> bool:
    """A run takes the batch up. False when it is final already (cancelled meanwhile).

    After `seconds` Dagster ends the run: the batch's deadline, until another run takes it up. None: it has no such limit.
    """
    return (
        connection.execute(
            "UPDATE study_batches SET state = 'processing', stage = 'extraction', run_id = %(run)s,"
            " started_at = coalesce(started_at, now()), deadline_at = now() + make_interval(secs => %(seconds)s)"
            " WHERE id = %(id)s AND finished_at IS NULL",
            {"id": batch_id, "run": run_id, "seconds": seconds},
        ).rowcount
        == 1
    )


def report(
    connection: Connection[Any],
    batch_id: uuid.UUID,
    type_: str,
    *,
    stage: str,
    progress: Mapping[str, Any],
    once: bool = False,
) -> None:
    """How far it is, on the row and as an event. `once`: not when an earlier attempt of the run has told it."""
    if once and _was_told(connection, batch_id, type_):
        return
    changed = connection.execute(
        "UPDATE study_batches SET stage = %s, progress = progress || %s::jsonb WHERE id = %s AND finished_at IS NULL",
        (stage, json.dumps(dict(progress)), batch_id),
    )
    if changed.rowcount:
        add_event(connection, batch_id, type_, progress)


def _was_told(connection: Connection[Any], batch_id: uuid.UUID, type_: str) -> bool:
    told = connection.execute(
        "SELECT FROM study_batch_events WHERE batch_id = %s AND type = %s LIMIT 1", (batch_id, type_)
    )
    return told.fetchone() is not None


def finish(
    connection: Connection[Any],
    batch_id: uuid.UUID,
    state: BatchState,
    *,
    code: str | None = None,
    message: str | None = None,
    payload: Mapping[str, Any] | None = None,
) -> bool:
    """End a batch with its one terminal event. False when it had ended before: a final state does not change."""
    ended = connection.execute(
        "UPDATE study_batches SET state = %s, stage = 'finished', finished_at = now(), error_code = %s, error_message = %s"
        " WHERE id = %s AND finished_at IS NULL",
        (str(state), code, message, batch_id),
    )
    if ended.rowcount == 0:
        return False
    told = {**(payload or {}), **({"code": code, "message": message} if code else {})}
    add_event(connection, batch_id, _LAST_EVENT[state], told, terminal=True)
    return True


def cancel(connection: Connection[Any], batch_id: uuid.UUID, *, user_id: str | None = None) -> bool:
    """Cancel a batch that is not final. Its run stops before its next question."""
    batch = read_batch(connection, batch_id, user_id=user_id)
    return batch is not None and finish(connection, batch.id, BatchState.CANCELLED)


def retry(connection: Connection[Any], batch_id: uuid.UUID, *, user_id: str | None = None) -> Batch | None:
    """A new batch for the same collection; what was done is not paid for again. None while one of its is under way.

    Raises `NothingToRetryError` when the collection is whole: its run would only cost, and a retry takes no quota.
    """
    batch = read_batch(connection, batch_id, user_id=user_id)
    if batch is None or not batch.state.is_final:
        return None
    # Those who ask at the same time wait here for each other, and so does the sensor that goes on after a quota, which has
    # nothing left to do: otherwise both would find no open batch.
    connection.execute("UPDATE study_collections SET not_before = NULL WHERE id = %s", (batch.collection_id,))
    if open_batches(connection, collection_id=batch.collection_id):
        return None
    if _is_whole(connection, batch.collection_id):
        raise NothingToRetryError("every document is done, and nothing is missing from the collection")
    # Failed files get another try; what can only fail again does so at once.
    connection.execute(
        "UPDATE study_documents SET status = 'pending', code = NULL WHERE collection_id = %s AND status = 'failed'",
        (batch.collection_id,),
    )
    row = connection.execute(
        "INSERT INTO study_batches (user_id, collection_id, origin) VALUES (%s, %s, %s)"  # noqa: S608
        f" RETURNING {_COLUMNS}",
        (batch.user_id, batch.collection_id, batch.origin),
    ).fetchone()
    assert row is not None, "INSERT returns its row"  # noqa: S101
    again = _batch(row)
    add_event(connection, again.id, "ingestion:received", {"retry_of": str(batch_id)})
    return again


def _is_whole(connection: Connection[Any], collection_id: str) -> bool:
    """Made without a gap, of documents none of which failed or waits. One that is partial may get more from another try."""
    row = connection.execute(
        "SELECT state = 'ready' AND NOT partial AND NOT EXISTS (SELECT FROM study_documents WHERE collection_id = c.id"
        " AND status IN ('pending', 'failed')) FROM study_collections c WHERE id = %s",
        (collection_id,),
    ).fetchone()
    return row is not None and row[0]
