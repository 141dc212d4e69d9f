"""What must hold of ledger and tables after anything that happened: counts add up, nothing is lost, nothing is open.

One function, called at the end of every test that loads: also those that kill, pause and cut connections.
"""

from __future__ import annotations

from resources.postgres.database import Database

_JOBS = """
SELECT j.id, j.source, j.status, j.nb_fetched, j.nb_created, j.nb_updated, j.nb_skipped, j.nb_errors,
       (SELECT coalesce(sum(value::int), 0) FROM jsonb_each_text(j.errors)) AS by_reason,
       coalesce(p.created, 0) AS p_created, coalesce(p.updated, 0) AS p_updated, coalesce(p.skipped, 0) AS p_skipped,
       coalesce(p.errors, 0) AS p_errors, coalesce(p.outside, 0) AS outside,
       (SELECT count(*) FROM raw_events r WHERE r.source = j.source AND r.first_job = j.id) AS rows_created,
       (SELECT count(*) FROM raw_events r
        WHERE r.source = j.source AND r.last_change_job = j.id AND r.first_job <> j.id) AS rows_updated,
       (SELECT count(*) FROM rejected_records x WHERE x.job_id = j.id) AS rows_rejected,
       j.id = max(j.id) OVER (PARTITION BY j.source) AS latest
FROM import_jobs j LEFT JOIN LATERAL (
    SELECT sum(nb_created) AS created, sum(nb_updated) AS updated, sum(nb_skipped) AS skipped, sum(nb_errors) AS errors,
           count(*) FILTER (WHERE week NOT BETWEEN j.partition_start AND j.partition_end) AS outside
    FROM import_job_partitions WHERE job_id = j.id) p ON true
ORDER BY j.id
"""


def assert_books_balance(database: Database, *, running: int = 0) -> None:
    """Every count of every raw import equals what the tables hold; `running` jobs are open."""
    jobs = database.fetch_all(_JOBS)
    assert sum(job["status"] == "RUNNING" for job in jobs) == running
    for job in jobs:
        parts = tuple(job[f"nb_{name}"] for name in ("created", "updated", "skipped", "errors"))
        assert job["nb_fetched"] == sum(parts), job
        assert tuple(job[f"p_{name}"] for name in ("created", "updated", "skipped", "errors")) == parts, job
        assert job["outside"] == 0, job
        assert job["nb_created"] == job["rows_created"], job
        assert job["nb_errors"] == job["rows_rejected"] == job["by_reason"], job
        # A later import takes over the rows that it changes itself.
        assert job["rows_updated"] <= job["nb_updated"], job
        if job["latest"]:
            assert job["nb_updated"] == job["rows_updated"], job
    for row in database.fetch_all(
        "SELECT r.source, count(*) AS n, count(s.source_id) AS seen FROM raw_events r"
        " LEFT JOIN raw_events_seen s USING (source, source_id) GROUP BY r.source"
    ):
        assert row["n"] == row["seen"], "every row says who saw it last"
        assert row["n"] == sum(job["nb_created"] for job in jobs if job["source"] == row["source"])
