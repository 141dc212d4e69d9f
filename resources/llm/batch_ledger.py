"""What is remembered of batches between the process that submits and the one that collects.

A batch is written down before the provider has it, with what each `custom_id` stands for, and gets its id when it is
accepted, so that nothing that was paid for is forgotten. `claim` gives an ended batch to one collector at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from resources.llm.openai_batch import BatchState, BatchStatus

if TYPE_CHECKING:
    from psycopg import Connection


_ANNOUNCED = "submission:"
"""Before the name of a submission, in the place of an id that is not known yet."""
SUBMITTING = timedelta(minutes=10)
"""Longest that an upload takes; what is announced for longer lost its submitter."""


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

    @property
    def submission(self) -> str | None:
        """The name of a submission whose batch id is not known; None for all others."""
        return self.batch_id.removeprefix(_ANNOUNCED) if self.batch_id.startswith(_ANNOUNCED) else None


def record_announced(
    connection: Connection[Any], submission: str, *, provider: str, model: str, purpose: str, items: Mapping[str, Any]
) -> None:
    """Write down a batch that is about to be submitted. Commit before it is."""
    from psycopg.types.json import Jsonb

    connection.execute(
        "INSERT INTO llm_batches (batch_id, provider, model, purpose, state, requests, items) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (_ANNOUNCED + submission, provider, model, purpose, BatchState.VALIDATING, len(items), Jsonb(dict(items))),
    )


def record_found(connection: Connection[Any], submission: str, status: BatchStatus) -> None:
    """The provider has accepted the announced batch, under this id."""
    connection.execute(
        "UPDATE llm_batches SET batch_id = %s, state = %s WHERE batch_id = %s",
        (status.batch_id, status.state, _ANNOUNCED + submission),
    )


def forget_announced(connection: Connection[Any], submission: str) -> None:
    """The provider has not accepted the announced batch, and never will."""
    connection.execute("DELETE FROM llm_batches WHERE batch_id = %s", (_ANNOUNCED + submission,))


def open_batches(connection: Connection[Any], *, purpose: str) -> list[StoredBatch]:
    """Batches whose results are not in yet, those first that were asked about longest ago."""
    rows = connection.execute(
        "SELECT batch_id, provider, model, purpose, state, items, submitted_at FROM llm_batches "
        "WHERE ingested_at IS NULL AND purpose = %s ORDER BY coalesce(polled_at, submitted_at), batch_id",
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


def record_unanswered(connection: Connection[Any], batch_id: str) -> None:
    """The provider was asked how a batch stands, and did not say: the others come before it."""
    connection.execute("UPDATE llm_batches SET polled_at = now() WHERE batch_id = %s", (batch_id,))


def claim(connection: Connection[Any], batch_id: str) -> bool:
    """Lock a batch for its collector until the transaction ends; False when its rows are stored already.

    Store them and call `record_ingested` in the same transaction: then rows and mark come together, and a collector
    that dies leaves the batch to the next one.
    """
    return (
        connection.execute(
            "SELECT 1 FROM llm_batches WHERE batch_id = %s AND ingested_at IS NULL FOR UPDATE", (batch_id,)
        ).fetchone()
        is not None
    )


def record_ingested(connection: Connection[Any], batch_id: str) -> None:
    """The rows of a batch are stored."""
    connection.execute("UPDATE llm_batches SET ingested_at = now() WHERE batch_id = %s", (batch_id,))


def record_given_up(connection: Connection[Any], batch_id: str, *, text: str) -> None:
    """The provider does not have the batch: nobody asks about it any more."""
    connection.execute(
        "UPDATE llm_batches SET ingested_at = now(), error_text = %s WHERE batch_id = %s", (text, batch_id)
    )


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
