"""The row of a study collection: what was asked for, where it is, and when it goes on. SQL only.

What a collection is made of (documents, chunks, answers, items) is in `store`. Every function that writes takes the
connection of a transaction that its caller fences (`ImportJob.commit`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ingestion_assets.counts import Counts
from ingestion_assets.ledger.batches import add_event
from ingestion_assets.study.model import Difficulty, StudyOptions

if TYPE_CHECKING:
    from psycopg import Connection

    from ingestion_assets.ledger.import_jobs import ImportJob

PATIENCE = timedelta(days=7)
"""How long after its making a collection is still finished by itself. A bill that nobody pays for a week stays unpaid."""


def read_options(connection: Connection[Any], collection_id: str) -> StudyOptions | None:
    """What was asked for; None when there is no such collection."""
    row = connection.execute("SELECT title, options FROM study_collections WHERE id = %s", (collection_id,)).fetchone()
    if row is None:
        return None
    asked = row[1]
    return StudyOptions(
        title=row[0],
        collection_id=collection_id,
        language=asked.get("language"),
        cards=asked.get("cards"),
        questions=asked.get("questions"),
        difficulty=Difficulty(asked["difficulty"]) if asked.get("difficulty") else None,
    )


def options_json(options: StudyOptions) -> str:
    """What `read_options` reads back."""
    values = asdict(options)
    return json.dumps({name: values[name] for name in ("language", "cards", "questions", "difficulty")})


def owner(connection: Connection[Any], collection_id: str) -> str:
    """The user whose budget pays; empty for the platform's own collections."""
    row = connection.execute("SELECT user_id FROM study_collections WHERE id = %s", (collection_id,)).fetchone()
    return str(row[0]) if row and row[0] else ""


def read_usage(connection: Connection[Any], collection_id: str) -> dict[str, Any]:
    """What the last analysis cost and what its judge said; empty before the first."""
    row = connection.execute("SELECT usage FROM study_collections WHERE id = %s", (collection_id,)).fetchone()
    return dict(row[0]) if row else {}


def set_state(
    connection: Connection[Any],
    collection_id: str,
    state: str,
    *,
    partial: bool = False,
    errors: Sequence[Mapping[str, Any]] = (),
    report: Mapping[str, Any] | None = None,
    usage: Mapping[str, Any] | None = None,
    not_before: datetime | None = None,
) -> None:
    """Where a collection is. `report` and `usage` replace the stored ones when given.

    `not_before`: when what a quota put off is worth another try; None: nothing was put off.
    """
    connection.execute(
        "UPDATE study_collections SET state = %(state)s, partial = %(partial)s, errors = %(errors)s,"
        " report = coalesce(%(report)s, report), usage = coalesce(%(usage)s, usage), not_before = CASE WHEN"
        " %(not_before)s::timestamptz < created_at + %(patience)s THEN %(not_before)s END, changed_at = now()"
        " WHERE id = %(id)s",
        {
            "id": collection_id,
            "state": state,
            "partial": partial,
            "errors": json.dumps(list(errors)),
            "report": None if report is None else json.dumps(report),
            "usage": None if usage is None else json.dumps(usage),
            "not_before": not_before,
            "patience": PATIENCE,
        },
    )


def make_due(connection: Connection[Any]) -> int:
    """Let the collections that a provider's quota left partial go on at once; a user's own budget is none of its business.

    Returns how many those are.
    """
    return connection.execute(
        "UPDATE study_collections SET not_before = now() WHERE not_before > now()"
        " AND report -> 'quota' ->> 'quota_scope' = 'provider'"
    ).rowcount


def reopen_deferred(connection: Connection[Any], *, limit: int = 20) -> list[tuple[str, uuid.UUID]]:
    """Give each collection whose quota is back a new batch. Returns collections and batches.

    What was answered is kept, so the batch's run asks only about the rest. A collection whose last batch was cancelled, or
    that has an open one, is left alone.
    """
    due = connection.execute(
        "SELECT c.id, c.user_id, b.id, coalesce(b.origin, 'command') FROM study_collections c LEFT JOIN LATERAL ("
        " SELECT id, origin, state, finished_at FROM study_batches WHERE collection_id = c.id"
        " ORDER BY sequence DESC LIMIT 1) AS b ON true"
        " WHERE c.not_before <= now() AND c.state IN ('ready', 'quota_exceeded')"
        " AND (b.id IS NULL OR (b.finished_at IS NOT NULL AND b.state <> 'cancelled'))"
        " ORDER BY c.not_before, c.id LIMIT %s FOR UPDATE OF c SKIP LOCKED",
        (limit,),
    ).fetchall()
    reopened = []
    for collection_id, user_id, last, origin in due:
        connection.execute("UPDATE study_collections SET not_before = NULL WHERE id = %s", (collection_id,))
        row = connection.execute(
            "INSERT INTO study_batches (user_id, collection_id, origin) VALUES (%s, %s, %s) RETURNING id",
            (user_id, collection_id, origin),
        ).fetchone()
        assert row is not None, "INSERT returns its row"  # noqa: S101
        told = {"retry_of": str(last)} if last else {}
        add_event(connection, row[0], "ingestion:received", {**told, "reason": "quota_back"})
        reopened.append((collection_id, row[0]))
    return reopened


def add_study_counts(connection: Connection[Any], job: ImportJob, counts: Counts) -> None:
    """Add counts to the step's ledger row, in its own transaction."""
    connection.execute(
        "UPDATE import_jobs SET nb_created = nb_created + %s, nb_updated = nb_updated + %s, nb_skipped = nb_skipped + %s,"
        " nb_errors = nb_errors + %s WHERE id = %s",
        (counts.created, counts.updated, counts.skipped, counts.errors, job.job_id),
    )
