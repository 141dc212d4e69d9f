"""Counts of a step into its ledger row and the rows of its partitions, in the step's own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from ingestion_assets.counts import Counts
from resources.postgres.database import Database

if TYPE_CHECKING:
    from psycopg import Connection

    from ingestion_assets.ledger.import_jobs import ImportJob

_COUNT = """
WITH batch AS (
    SELECT * FROM unnest(%(weeks)s::date[], %(created)s::int[], %(updated)s::int[], %(skipped)s::int[],
                         %(errors)s::int[]) AS b (week, created, updated, skipped, errors)),
partitions AS (
    INSERT INTO import_job_partitions AS p (job_id, week, nb_created, nb_updated, nb_skipped, nb_errors)
    SELECT %(job)s, week, created, updated, skipped, errors FROM batch
    ON CONFLICT (job_id, week) DO UPDATE SET nb_created = p.nb_created + EXCLUDED.nb_created,
        nb_updated = p.nb_updated + EXCLUDED.nb_updated, nb_skipped = p.nb_skipped + EXCLUDED.nb_skipped,
        nb_errors = p.nb_errors + EXCLUDED.nb_errors),
total AS (
    SELECT coalesce(sum(created), 0) AS created, coalesce(sum(updated), 0) AS updated,
           coalesce(sum(skipped), 0) AS skipped, coalesce(sum(errors), 0) AS errors FROM batch)
UPDATE import_jobs j SET nb_created = nb_created + total.created, nb_updated = nb_updated + total.updated,
    nb_skipped = nb_skipped + total.skipped, nb_errors = nb_errors + total.errors,
    errors = (SELECT coalesce(jsonb_object_agg(reason, n), '{}') FROM (
        SELECT reason, sum(n) AS n FROM (
            SELECT key AS reason, value::int AS n FROM jsonb_each_text(j.errors)
            UNION ALL SELECT key, value::int FROM jsonb_each_text(%(reasons)s::jsonb)) AS both_sides
        GROUP BY reason) AS merged)
FROM total WHERE j.id = %(job)s
"""


def add_counts(connection: Connection[Any], job: ImportJob, counts: Mapping[date, Counts]) -> None:
    """Add one committed batch, by week. In a transaction of `ImportJob.commit`, with the rows."""
    weeks = list(counts)
    connection.execute(
        _COUNT,
        {
            "job": job.job_id,
            "weeks": weeks,
            "created": [counts[week].created for week in weeks],
            "updated": [counts[week].updated for week in weeks],
            "skipped": [counts[week].skipped for week in weeks],
            "errors": [counts[week].errors for week in weeks],
            "reasons": orjson.dumps(sum(counts.values(), Counts()).by_reason).decode(),
        },
    )


def read_counts(database: Database, job_id: int) -> tuple[Counts, dict[date, Counts]]:
    """What the ledger says of a job: in all, and by week. Patient: the work is done, and a restart of the server in this
    moment must not fail it. Raises `DatabaseUnavailableError` as `Session.transact` does.
    """
    with database.session() as session:
        return session.transact(partial(_read_counts, job_id=job_id))


def _read_counts(connection: Connection[Any], *, job_id: int) -> tuple[Counts, dict[date, Counts]]:
    [(created, updated, skipped, errors, by_reason)] = connection.execute(
        "SELECT nb_created, nb_updated, nb_skipped, nb_errors, errors FROM import_jobs WHERE id = %s", (job_id,)
    ).fetchall()
    weeks = connection.execute(
        "SELECT week, nb_created, nb_updated, nb_skipped, nb_errors FROM import_job_partitions WHERE job_id = %s"
        " ORDER BY week",
        (job_id,),
    ).fetchall()
    total = Counts(created=created, updated=updated, skipped=skipped, errors=errors, by_reason=by_reason)
    return total, {week: Counts(created=c, updated=u, skipped=s, errors=e) for week, c, u, s, e in weeks}
