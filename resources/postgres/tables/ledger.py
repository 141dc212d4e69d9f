"""The ledger of import jobs and what outbound calls need to remember: response validators and request budgets."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, ExcludeConstraint

from resources.postgres.tables.base import metadata, moment, one_of

import_jobs = Table(
    "import_jobs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source", Text, nullable=False, comment="Source of raw events, or the asset that was written"),
    Column("status", Text, nullable=False),
    Column("run_id", Text, nullable=False, comment="Dagster run"),
    Column("attempt", Integer, nullable=False, server_default=text("1"), comment="Grows when the step is retried"),
    Column("attempt_token", Uuid, nullable=False, comment="Held by the only writer whose pages are accepted"),
    Column("partition_start", Date, comment="First week of the range"),
    Column("partition_end", Date, comment="Last week of the range, inclusive"),
    moment("started_at", now=True),
    moment("finished_at"),
    moment("heartbeat_at", now=True),
    moment("progress_at", now=True),
    Column("pages", Integer, nullable=False, server_default=text("0"), comment="Batches committed by this attempt"),
    Column("nb_created", Integer, nullable=False, server_default=text("0")),
    Column("nb_updated", Integer, nullable=False, server_default=text("0")),
    Column("nb_skipped", Integer, nullable=False, server_default=text("0")),
    Column("nb_errors", Integer, nullable=False, server_default=text("0")),
    Column(
        "nb_fetched",
        Integer,
        Computed("nb_created + nb_updated + nb_skipped + nb_errors", persisted=True),
        comment="Derived, so that the identity cannot drift",
    ),
    Column("nb_withdrawn", Integer, nullable=False, server_default=text("0")),
    Column("nb_refused", Integer, nullable=False, server_default=text("0"), comment="Late writes that were refused"),
    Column("errors", JSONB, nullable=False, server_default=text("'{}'"), comment="Rejected records by reason"),
    Column("warnings", JSONB, nullable=False, server_default=text("'[]'")),
    Column("error_code", Text),
    Column("error_text", Text),
    Column(
        "duration",
        Double,
        Computed("extract(epoch FROM finished_at - started_at)", persisted=True),
        comment="Seconds",
    ),
    CheckConstraint(one_of("status", "RUNNING", "SUCCESS", "ERROR"), name="status"),
    CheckConstraint("(status = 'RUNNING') = (finished_at IS NULL)", name="finished"),
    CheckConstraint("least(nb_created, nb_updated, nb_skipped, nb_errors) >= 0", name="counts"),
    Index(
        "uq_import_jobs_running",
        "source",
        unique=True,
        postgresql_where=text("status = 'RUNNING' AND source <> 'deduplicated_events'"),
    ),
    ExcludeConstraint(
        (text("daterange(partition_start, partition_end, '[]')"), "&&"),
        name="ex_import_jobs_weeks",
        using="gist",
        where=text("status = 'RUNNING' AND source = 'deduplicated_events'"),
    ),
    Index("uq_import_jobs_run", "source", "run_id", unique=True),
    Index("ix_import_jobs_started", "source", text("started_at DESC")),
    # Looked for at every tick, by watchers, and by the health report.
    Index("ix_import_jobs_running", "id", postgresql_where=text("status = 'RUNNING'")),
)
"""One row for each source and run. At most one of a source is RUNNING, and of the deduplication at most one of each
week: the database sees to that."""

import_totals = Table(
    "import_totals",
    metadata,
    Column("source", Text, primary_key=True, comment="The asset, without the collection"),
    Column("status", Text, primary_key=True),
    Column("imports", BigInteger, nullable=False, server_default=text("0")),
    Column("seconds", Double, nullable=False, server_default=text("0")),
    Column("nb_created", BigInteger, nullable=False, server_default=text("0")),
    Column("nb_updated", BigInteger, nullable=False, server_default=text("0")),
    Column("nb_skipped", BigInteger, nullable=False, server_default=text("0")),
    Column("nb_errors", BigInteger, nullable=False, server_default=text("0")),
    Column("nb_refused", BigInteger, nullable=False, server_default=text("0")),
    moment("last_finished_at"),
    CheckConstraint(one_of("status", "SUCCESS", "ERROR"), name="status"),
)
"""What the retention took out of `import_jobs`, so that counters never go back."""

import_job_partitions = Table(
    "import_job_partitions",
    metadata,
    Column("job_id", ForeignKey("import_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("week", Date, primary_key=True),
    Column("nb_created", Integer, nullable=False, server_default=text("0")),
    Column("nb_updated", Integer, nullable=False, server_default=text("0")),
    Column("nb_skipped", Integer, nullable=False, server_default=text("0")),
    Column("nb_errors", Integer, nullable=False, server_default=text("0")),
)
"""The same counts by partition; they add up to the row of the job."""

http_cache = Table(
    "http_cache",
    metadata,
    Column("url_key", Text, primary_key=True),
    Column("etag", Text),
    Column("last_modified", Text),
    Column("content_type", Text),
    Column("body", LargeBinary, nullable=False),
    moment("stored_at", now=True),
)
"""Validators and bodies of conditional requests. The body is kept: a 304 for one window says nothing of another."""

request_budgets = Table(
    "request_budgets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("period_start", DateTime(timezone=True), primary_key=True),
    Column("used", Integer, nullable=False),
    CheckConstraint(one_of("period", "hour", "day"), name="period"),
)
"""Requests spent with a service by the hour and the day, shared by all processes."""
