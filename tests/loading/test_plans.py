"""What a batch costs does not depend on how much its source has already, whatever PostgreSQL believes about it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from psycopg import Connection

from ingestion_assets.events import loading_statements as statements
from resources.postgres.database import Database

_ROWS = """
INSERT INTO raw_events (source, source_id, content_hash, record_version, week, local_date, precision, status, title, event,
    payload, first_job, last_change_job)
SELECT %(source)s, 'id' || g, decode(md5(g::text), 'hex'), 1, date '2026-11-16', date '2026-11-16', 'date', 'scheduled',
    't', '{}', jsonb_build_object('text', repeat(md5(g::text), 45)), 1, 1 FROM generate_series(1, 10000) g
"""
_SEEN = """
INSERT INTO raw_events_seen (source, source_id, last_job, last_attempt)
SELECT source, source_id, 1, 1 FROM raw_events WHERE source = %(source)s
"""
PARAMETERS = {"source": "new", "version": 1, "job": 2, "attempt": 1, "first": "2026-11-16", "last": "2026-11-16"}


def _fill(connection: Connection[Any], analysed: str) -> None:
    for table in ("raw_events", "raw_events_seen"):
        connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)".encode())
    for source in ("known", "new"):
        connection.execute(_ROWS, {"source": source})
        connection.execute(_SEEN, {"source": source})
        if source == "known" and analysed != "never":
            connection.execute("ANALYZE raw_events, raw_events_seen")


def _rows_read(plan: str) -> float:
    reads = re.findall(r"Scan (?:using \w+ )?on raw_events \w+ .*\(actual rows=([\d.]+) loops=(\d+)\)", plan)
    assert reads, plan
    return max(float(rows) * int(loops) for rows, loops in reads)


@pytest.mark.parametrize("analysed", ["another source only", "never"])
def test_what_lies_outside_the_window_is_looked_up_by_its_ids(fresh_database: Database, analysed: str) -> None:
    """By weeks, each page of ids cost the square of what the source has there: seconds for 50,000."""
    with fresh_database.connect(role="plans", autocommit=True) as connection:
        _fill(connection, analysed)
        parameters = PARAMETERS | {"ids": [f"id{number}" for number in range(1000)]}
        query = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT TEXT) {statements.STORED_INSIDE}"
        plan = "\n".join(line for (line,) in connection.execute(query.encode(), parameters))
    assert _rows_read(plan) <= 1_000, plan
    assert "Rows Removed by Join Filter" not in plan, plan
    assert "Index Cond: (source = 'new'" not in plan, plan


@pytest.mark.parametrize("statement", ["TODO", "WRITE"])
@pytest.mark.parametrize("analysed", ["another source only", "never"])
def test_a_batch_of_a_source_without_statistics_asks_for_its_own_records_only(
    fresh_database: Database, statement: str, analysed: str
) -> None:
    """PostgreSQL expected no rows of such a source, and read and sorted all of them once for every 2,000 records."""
    with fresh_database.connect(role="plans", autocommit=True) as connection:
        _fill(connection, analysed)
        with connection.transaction():
            connection.execute(statements.STAGE)
            connection.execute(
                "INSERT INTO stage_keys SELECT g, 'id' || g, decode(md5(g::text), 'hex'), date '2026-11-16'"
                " FROM generate_series(8001, 10000) g"
            )
            query = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT TEXT) {getattr(statements, statement)}"
            plan = "\n".join(line for (line,) in connection.execute(query.encode(), PARAMETERS))
    assert _rows_read(plan) <= 2_000, plan
    # The narrow table may be read as a whole while it is small, but never a source of it by its name alone.
    assert "Index Cond: (source = 'new'" not in plan
