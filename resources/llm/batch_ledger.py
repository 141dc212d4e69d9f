"""What is remembered of batches between the process that submits and the one that collects.

A batch is written down as soon as the provider has it, with what each `custom_id` stands for, so that nothing that was paid
for is forgotten. `claim_ended` hands each ended batch to one collector at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from resources.llm.openai_batch import BatchState, BatchStatus

if TYPE_CHECKING:
    from psycopg import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """A batch under way, or ended and not yet collected."""

    batch_id: str
    provider: str
    model: str
    purpose: str
    state: BatchState
    items: dict[str, Any]
    """custom_id -> what the submitter needs to place the answer."""
    submitted_at: datetime


def record_submitted(
    connection: Connection[Any], status: BatchStatus, *, provider: str, purpose: str, items: Mapping[str, Any]
) -> None:
    """Write down a batch that the provider has accepted. Commit before submitting the next one."""
    from psycopg.types.json import Jsonb

    connection.execute(
        "INSERT INTO llm_batches (batch_id, provider, model, purpose, state, requests, items) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (batch_id) DO NOTHING",
        (status.batch_id, provider, status.model, purpose, status.state, len(items), Jsonb(dict(items))),
    )


def open_batches(connection: Connection[Any], *, purpose: str) -> list[StoredBatch]:
    """Batches whose results are not in yet, oldest first."""
    rows = connection.execute(
        "SELECT batch_id, provider, model, purpose, state, items, submitted_at FROM llm_batches "
        "WHERE ingested_at IS NULL AND purpose = %s ORDER BY submitted_at, batch_id",
        (purpose,),
    ).fetchall()
    return [_stored(row) for row in rows]


def record_polled(connection: Connection[Any], status: BatchStatus) -> None:
    """Write down how a batch stands."""
    connection.execute(
        "UPDATE llm_batches SET state = %s, polled_at = now(), error_text = %s, "
        "finished_at = CASE WHEN %s THEN coalesce(finished_at, now()) END WHERE batch_id = %s",
        (status.state, status.error_text, status.state.ended, status.batch_id),
    )


def claim_ended(connection: Connection[Any], *, purpose: str) -> StoredBatch | None:
    """An ended batch to collect, locked until the transaction ends; None when there is none that is free.

    Store its rows and call `record_ingested` in the same transaction: then rows and mark come together, and a
    collector that dies leaves the batch to the next one.
    """
    row = connection.execute(
        "SELECT batch_id, provider, model, purpose, state, items, submitted_at FROM llm_batches "
        "WHERE ingested_at IS NULL AND finished_at IS NOT NULL AND purpose = %s "
        "ORDER BY submitted_at, batch_id LIMIT 1 FOR UPDATE SKIP LOCKED",
        (purpose,),
    ).fetchone()
    return None if row is None else _stored(row)


def record_ingested(connection: Connection[Any], batch_id: str) -> None:
    """The rows of a batch are stored."""
    connection.execute("UPDATE llm_batches SET ingested_at = now() WHERE batch_id = %s", (batch_id,))


def _stored(row: tuple[Any, ...]) -> StoredBatch:
    batch_id, provider, model, purpose, state, items, submitted_at = row
    return StoredBatch(
        batch_id=batch_id,
        provider=provider,
        model=model,
        purpose=purpose,
        state=BatchState(state),
        items=items,
        submitted_at=submitted_at,
    )
