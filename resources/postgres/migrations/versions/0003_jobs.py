"""Users, asynchronous jobs, the pulse of runs, incidents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_GUARD_FUNCTION = """
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
_NOTIFY_FUNCTION = """
CREATE FUNCTION async_jobs_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('async_jobs', '');
    RETURN NULL;
END $$
"""
_TRIGGERS = (
    """
CREATE TRIGGER async_jobs_guard BEFORE UPDATE ON async_jobs FOR EACH ROW
WHEN (OLD.state IN ('completed', 'failed', 'cancelled') OR (NEW.state = 'completed' AND OLD.state <> 'running'))
EXECUTE FUNCTION async_jobs_guard()
""",
    """
CREATE TRIGGER async_jobs_inserted AFTER INSERT ON async_jobs FOR EACH STATEMENT EXECUTE FUNCTION async_jobs_notify()
""",
    """
CREATE TRIGGER async_jobs_returned AFTER UPDATE OF state ON async_jobs FOR EACH ROW
WHEN (NEW.state = 'pending' AND OLD.state <> 'pending') EXECUTE FUNCTION async_jobs_notify()
""",
)


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("watcher", sa.Text(), nullable=False, comment="Sensor, worker or command that saw it"),
        sa.Column("subject_type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="From a closed list, for counting"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "action IN ('closed', 'requeued', 'failed', 'cancelled', 'freed', 'refused', 'reported')",
            name=op.f("ck_incidents_action"),
        ),
        sa.CheckConstraint(
            "subject_type IN ('import_job', 'async_job', 'run', 'pool', 'backfill')",
            name=op.f("ck_incidents_subject_type"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index("ix_incidents_at", "incidents", ["at"], unique=False)
    op.create_index(
        "uq_incidents_reported",
        "incidents",
        ["subject_type", "subject", "reason"],
        unique=True,
        postgresql_where=sa.text("action = 'reported'"),
    )
    op.create_table(
        "job_totals",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "seconds", sa.Double(), server_default=sa.text("0"), nullable=False, comment="From claim to end, added up"
        ),
        sa.CheckConstraint("state IN ('completed', 'failed', 'cancelled')", name=op.f("ck_job_totals_state")),
        sa.PrimaryKeyConstraint("kind", "state", name=op.f("pk_job_totals")),
    )
    op.create_table(
        "run_heartbeats",
        sa.Column("run_id", sa.Text(), nullable=False, comment="Dagster run"),
        sa.Column(
            "token", sa.Uuid(), nullable=False, comment="Names the advisory lock of the process that serves the run"
        ),
        sa.Column("process", sa.Text(), nullable=False, comment="Host and process, for people"),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_heartbeats")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False, comment="Opaque; what budgets and usage call user_id"),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False, comment="For people; not unique"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id <> ''", name=op.f("ck_users_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_table(
        "async_jobs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of arrival"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column(
            "priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False, comment="Higher goes first"
        ),
        sa.Column("arguments", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True, comment="The same key of the same user is the same job"),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="Attempts that count"),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("timeout_seconds", sa.Double(), nullable=False, comment="Of one attempt"),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "attempt_token", sa.Uuid(), nullable=True, comment="Held by the only worker whose writes are accepted"
        ),
        sa.Column("worker_id", sa.Integer(), nullable=True, comment="Number of the worker's advisory lock"),
        sa.Column("worker", sa.Text(), nullable=True, comment="Host and process, for people"),
        sa.Column(
            "commits", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="Transactions of this attempt"
        ),
        sa.Column("progress", postgresql.JSONB(), nullable=True),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True, comment="For the user"),
        sa.Column("error_detail", sa.Text(), nullable=True, comment="For operators, redacted"),
        sa.CheckConstraint(
            "(state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_async_jobs_finished"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR (error_code IS NOT NULL AND error_message IS NOT NULL)",
            name=op.f("ck_async_jobs_failed"),
        ),
        sa.CheckConstraint("state <> 'pending' OR attempt_token IS NULL", name=op.f("ck_async_jobs_pending")),
        sa.CheckConstraint(
            "state <> 'running' OR (attempt_token IS NOT NULL AND claimed_at IS NOT NULL AND deadline_at IS NOT NULL"
            " AND worker_id IS NOT NULL)",
            name=op.f("ck_async_jobs_running"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'running', 'completed', 'failed', 'cancelled')", name=op.f("ck_async_jobs_state")
        ),
        sa.CheckConstraint(
            "attempt BETWEEN 0 AND max_attempts AND max_attempts >= 1", name=op.f("ck_async_jobs_attempt")
        ),
        sa.CheckConstraint("timeout_seconds > 0", name=op.f("ck_async_jobs_timeout_seconds")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_async_jobs_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_async_jobs")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_async_jobs_finished_at",
        "async_jobs",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_async_jobs_queue",
        "async_jobs",
        [sa.literal_column("priority DESC"), "not_before", "sequence"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_async_jobs_running",
        "async_jobs",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_async_jobs_user_id", "async_jobs", ["user_id", sa.literal_column("created_at DESC")], unique=False
    )
    op.create_index(
        "uq_async_jobs_idempotency_key",
        "async_jobs",
        ["user_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.execute(_GUARD_FUNCTION)
    op.execute(_NOTIFY_FUNCTION)
    for trigger in _TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    op.drop_index(
        "uq_async_jobs_idempotency_key",
        table_name="async_jobs",
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.drop_index("ix_async_jobs_user_id", table_name="async_jobs")
    op.drop_index("ix_async_jobs_running", table_name="async_jobs", postgresql_where=sa.text("state = 'running'"))
    op.drop_index("ix_async_jobs_queue", table_name="async_jobs", postgresql_where=sa.text("state = 'pending'"))
    op.drop_index(
        "ix_async_jobs_finished_at", table_name="async_jobs", postgresql_where=sa.text("finished_at IS NOT NULL")
    )
    op.drop_table("async_jobs")
    op.drop_table("users")
    op.drop_table("run_heartbeats")
    op.drop_table("job_totals")
    op.drop_index("uq_incidents_reported", table_name="incidents", postgresql_where=sa.text("action = 'reported'"))
    op.drop_index("ix_incidents_at", table_name="incidents")
    op.drop_table("incidents")
    op.execute("DROP FUNCTION async_jobs_guard()")
    op.execute("DROP FUNCTION async_jobs_notify()")
