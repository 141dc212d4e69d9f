"""Tokens, sessions, rates, idempotent answers, launches and quotas of the HTTP service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_rates",
        sa.Column("subject", sa.Text(), nullable=False, comment="`user:<id>` or `address:<ip>`"),
        sa.Column("tokens", sa.Double(), nullable=False, comment="Requests saved up at `at`"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_api_rates")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "api_answers",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="Idempotency-Key"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="SHA-256 of method, path and payload"),
        sa.Column("status", sa.SmallInteger(), nullable=True, comment="NULL while the first request is under way"),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(status IS NULL) = (body IS NULL)", name=op.f("ck_api_answers_answered")),
        sa.CheckConstraint("octet_length(fingerprint) = 32", name=op.f("ck_api_answers_fingerprint")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_api_answers_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_api_answers")),
    )
    op.create_index("ix_api_answers_created_at", "api_answers", ["created_at"], unique=False)
    op.create_table(
        "api_tokens",
        sa.Column("prefix", sa.Text(), nullable=False, comment="First part of the token: finds the row, opens nothing"),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column(
            "secret_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="SHA-256 of the second part, which is 256 random bits",
        ),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), server_default=sa.text("''"), nullable=False, comment="For people: what uses it"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('user', 'admin')", name=op.f("ck_api_tokens_role")),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name=op.f("ck_api_tokens_secret_hash")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_api_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_api_tokens")),
    )
    op.create_index("ix_api_tokens_user_id", "api_tokens", ["user_id"], unique=False)
    op.create_table(
        "quota_limits",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("quota", sa.Text(), nullable=False),
        sa.Column("allowed", sa.BigInteger(), nullable=False, comment="A period"),
        sa.CheckConstraint("allowed >= 0", name=op.f("ck_quota_limits_allowed")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_quota_limits_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "quota", name=op.f("pk_quota_limits")),
    )
    op.create_table(
        "quota_usage",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("quota", sa.Text(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_quota_usage_used")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_quota_usage_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "quota", "period_start", name=op.f("pk_quota_usage")),
    )
    op.create_table(
        "run_launches",
        sa.Column(
            "id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
            comment="Also a tag of the run",
        ),
        sa.Column("job_name", sa.Text(), nullable=False, comment="Dagster job"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "unsure",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Attempts whose answer was lost",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True, comment="Dagster run"),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it is not launched yet, or never will be"),
        sa.CheckConstraint("(state = 'launched') = (run_id IS NOT NULL)", name=op.f("ck_run_launches_launched")),
        sa.CheckConstraint("(state = 'pending') = (finished_at IS NULL)", name=op.f("ck_run_launches_finished")),
        sa.CheckConstraint("state IN ('pending', 'launched', 'failed')", name=op.f("ck_run_launches_state")),
        sa.ForeignKeyConstraint(
            ["requested_by"], ["users.id"], name=op.f("fk_run_launches_requested_by_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_launches")),
    )
    op.create_index("ix_run_launches_created_at", "run_launches", ["created_at"], unique=False)
    op.create_index(
        "uq_run_launches_pending",
        "run_launches",
        ["job_name", "tags"],
        unique=True,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "api_sessions",
        sa.Column("id_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the cookie"),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["prefix"], ["api_tokens.prefix"], name=op.f("fk_api_sessions_prefix_api_tokens"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_api_sessions")),
    )
    op.create_index("ix_api_sessions_prefix", "api_sessions", ["prefix"], unique=False)
    op.create_index(
        "ix_deduplicated_events_begins",
        "deduplicated_events",
        [sa.literal_column("(coalesce(start_local, local_date::timestamp))"), "event_id"],
        unique=False,
        postgresql_where=sa.text("replaced_by IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_deduplicated_events_begins",
        table_name="deduplicated_events",
        postgresql_where=sa.text("replaced_by IS NULL"),
    )
    op.drop_index("ix_api_sessions_prefix", table_name="api_sessions")
    op.drop_table("api_sessions")
    op.drop_index("uq_run_launches_pending", table_name="run_launches", postgresql_where=sa.text("state = 'pending'"))
    op.drop_index("ix_run_launches_created_at", table_name="run_launches")
    op.drop_table("run_launches")
    op.drop_table("quota_usage")
    op.drop_table("quota_limits")
    op.drop_index("ix_api_tokens_user_id", table_name="api_tokens")
    op.drop_table("api_tokens")
    op.drop_index("ix_api_answers_created_at", table_name="api_answers")
    op.drop_table("api_answers")
    op.drop_table("api_rates")
