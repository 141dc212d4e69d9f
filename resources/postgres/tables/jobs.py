"""Users, asynchronous jobs, the pulse of runs, and what was repaired.

Belongs here: columns, constraints and triggers. The state machine over them is `ingestion_assets/ledger/`.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from resources.postgres.tables.base import metadata, moment, one_of

TERMINAL_STATES = ("completed", "failed", "cancelled")

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True, comment="Opaque; what budgets and usage call user_id"),
    Column("name", Text, nullable=False, server_default=text("''"), comment="For people; not unique"),
    moment("created_at", now=True),
    moment("disabled_at"),
    CheckConstraint("id <> ''", name="id"),
)
"""Who owns jobs and collections. Deleting a user deletes both."""

async_jobs = Table(
    "async_jobs",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("sequence", BigInteger, Identity(always=True), nullable=False, comment="Order of arrival"),
    Column("kind", Text, nullable=False),
    # What a person asked for, and what came of it, is theirs: it goes when they go. NULL: the platform itself.
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("priority", SmallInteger, nullable=False, server_default=text("0"), comment="Higher goes first"),
    Column("arguments", JSONB, nullable=False, server_default=text("'{}'")),
    Column("idempotency_key", Text, comment="The same key of the same user is the same job"),
    Column("attempt", Integer, nullable=False, server_default=text("0"), comment="Attempts that count"),
    Column("max_attempts", Integer, nullable=False),
    Column("timeout_seconds", Double, nullable=False, comment="Of one attempt"),
    moment("not_before", now=True),
    moment("created_at", now=True),
    moment("claimed_at"),
    moment("beat_at"),
    moment("deadline_at"),
    moment("finished_at"),
    moment("cancel_requested_at"),
    Column("attempt_token", Uuid, comment="Held by the only worker whose writes are accepted"),
    Column("worker_id", Integer, comment="Number of the worker's advisory lock"),
    Column("worker", Text, comment="Host and process, for people"),
    Column("commits", Integer, nullable=False, server_default=text("0"), comment="Transactions of this attempt"),
    Column("progress", JSONB),
    Column("result", JSONB),
    Column("error_code", Text),
    Column("error_message", Text, comment="For the user"),
    Column("error_detail", Text, comment="For operators, redacted"),
    CheckConstraint(one_of("state", "pending", "running", *TERMINAL_STATES), name="state"),
    CheckConstraint(f"({one_of('state', *TERMINAL_STATES)}) = (finished_at IS NOT NULL)", name="finished"),
    CheckConstraint(
        "state <> 'running' OR (attempt_token IS NOT NULL AND claimed_at IS NOT NULL AND deadline_at IS NOT NULL"
        " AND worker_id IS NOT NULL)",
        name="running",
    ),
    CheckConstraint("state <> 'pending' OR attempt_token IS NULL", name="pending"),
    CheckConstraint("state <> 'failed' OR (error_code IS NOT NULL AND error_message IS NOT NULL)", name="failed"),
    CheckConstraint("attempt BETWEEN 0 AND max_attempts AND max_attempts >= 1", name="attempt"),
    CheckConstraint("timeout_seconds > 0", name="timeout_seconds"),
    Index(
        "ix_async_jobs_queue",
        text("priority DESC"),
        "not_before",
        "sequence",
        postgresql_where=text("state = 'pending'"),
    ),
    Index("ix_async_jobs_running", "deadline_at", postgresql_where=text("state = 'running'")),
    Index("ix_async_jobs_user_id", "user_id", text("created_at DESC")),
    Index("ix_async_jobs_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    Index(
        "uq_async_jobs_idempotency_key",
        "user_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    ),
    # A job is written about three times and most columns are not indexed: room on the page keeps updates in place.
    postgresql_with={"fillfactor": "70"},
)
"""One row for each thing that was asked for. A finished row does not change (trigger) and success does not delete it."""

QUEUE_CHANNEL = "async_jobs"
"""Notified when a job becomes pending."""

GUARD_FUNCTION = """
CREATE FUNCTION async_jobs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('completed', 'failed', 'cancelled') THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'async job ' || OLD.id || ' is ' || OLD.state || ': a finished job does not change';
    END IF;
    IF NEW.state = 'completed' AND OLD.state <> 'running' THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'async job ' || OLD.id || ' is ' || OLD.state || ': only a running job is completed';
    END IF;
    RETURN NEW;
END $$
"""
GUARD_TRIGGER = """
CREATE TRIGGER async_jobs_guard BEFORE UPDATE ON async_jobs FOR EACH ROW
WHEN (OLD.state IN ('completed', 'failed', 'cancelled') OR (NEW.state = 'completed' AND OLD.state <> 'running'))
EXECUTE FUNCTION async_jobs_guard()
"""
NOTIFY_FUNCTION = """
CREATE FUNCTION async_jobs_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('async_jobs', '');
    RETURN NULL;
END $$
"""
INSERT_TRIGGER = """
CREATE TRIGGER async_jobs_inserted AFTER INSERT ON async_jobs FOR EACH STATEMENT EXECUTE FUNCTION async_jobs_notify()
"""
RETURN_TRIGGER = """
CREATE TRIGGER async_jobs_returned AFTER UPDATE OF state ON async_jobs FOR EACH ROW
WHEN (NEW.state = 'pending' AND OLD.state <> 'pending') EXECUTE FUNCTION async_jobs_notify()
"""
for _statement in (GUARD_FUNCTION, GUARD_TRIGGER, NOTIFY_FUNCTION, INSERT_TRIGGER, RETURN_TRIGGER):
    event.listen(async_jobs, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]

job_totals = Table(
    "job_totals",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("jobs", BigInteger, nullable=False, server_default=text("0")),
    Column("seconds", Double, nullable=False, server_default=text("0"), comment="From claim to end, added up"),
    CheckConstraint(one_of("state", *TERMINAL_STATES), name="state"),
)
"""What the retention took out of `async_jobs`, so that counters never go back."""

run_heartbeats = Table(
    "run_heartbeats",
    metadata,
    Column("run_id", Text, primary_key=True, comment="Dagster run"),
    Column("token", Uuid, nullable=False, comment="Names the advisory lock of the process that serves the run"),
    Column("process", Text, nullable=False, comment="Host and process, for people"),
    moment("started_at", now=True),
    moment("beat_at", now=True),
)
"""Which process serves a run. Dagster's own launcher cannot say. The row goes when the process lets go of the run."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    moment("at", now=True),
    Column("watcher", Text, nullable=False, comment="Sensor, worker or command that saw it"),
    Column("subject_type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="From a closed list, for counting"),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),
    CheckConstraint(
        one_of("subject_type", "import_job", "async_job", "run", "pool", "backfill", "folder"), name="subject_type"
    ),
    CheckConstraint(
        one_of("action", "closed", "requeued", "failed", "cancelled", "freed", "refused", "reported"), name="action"
    ),
    Index("ix_incidents_at", "at"),
    # What is only reported is reported once, not at every tick.
    Index(
        "uq_incidents_reported",
        "subject_type",
        "subject",
        "reason",
        unique=True,
        postgresql_where=text("action = 'reported'"),
    ),
)
"""What was found stuck, late or lost, and what was done about it."""
