"""Pace, usage, budgets and batches of LLM calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "llm_batches",
        sa.Column("batch_id", sa.Text(), nullable=False, comment="As the provider calls it"),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column(
            "items",
            postgresql.JSONB(),
            nullable=False,
            comment="custom_id -> what the answer is for, as the submitter needs it",
        ),
        sa.Column("submitted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ingested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('validating', 'in_progress', 'finalizing', 'completed', 'expired', 'cancelling', 'cancelled', "
            "'failed')",
            name=op.f("ck_llm_batches_state"),
        ),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_llm_batches")),
    )
    op.create_index(
        "ix_llm_batches_open",
        "llm_batches",
        ["submitted_at"],
        unique=False,
        postgresql_where=sa.text("ingested_at IS NULL"),
    )
    op.create_table(
        "llm_budget_limits",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("tokens_per_day", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("tokens_per_day >= 0", name=op.f("ck_llm_budget_limits_tokens_per_day")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_llm_budget_limits")),
    )
    op.create_table(
        "llm_budgets",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC"),
        sa.Column("used_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("used_tokens >= 0", name=op.f("ck_llm_budgets_used_tokens")),
        sa.PrimaryKeyConstraint("user_id", "day", name=op.f("pk_llm_budgets")),
    )
    op.create_table(
        "llm_pacing",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column(
            "account", sa.Text(), nullable=False, comment="Hash of key and endpoint; the key cannot be read back"
        ),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=False,
            comment="Compared and raised by every write: nobody holds a lock",
        ),
        sa.Column(
            "empty_at", sa.Double(), nullable=False, comment="Unix time at which the bucket was, or will be, empty"
        ),
        sa.Column("rate", sa.Double(), nullable=True, comment="Units per second; NULL while nothing is known"),
        sa.Column("ceiling", sa.Double(), nullable=False, comment="Units of saved-up credit that are trusted"),
        sa.Column("granted", sa.Double(), nullable=False, comment="Units handed out since the row was made"),
        sa.Column("learned", sa.Text(), nullable=False, comment="Where the rate comes from"),
        sa.Column("slowed_at", sa.Double(), nullable=False, comment="Unix time of the last cut after a refusal"),
        sa.Column("raised_at", sa.Double(), nullable=False, comment="Unix time of the last careful raise"),
        sa.Column("refusals", sa.BigInteger(), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("blocked_scope", sa.Text(), nullable=True),
        sa.Column("blocked_reason", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "blocked_scope IN ('provider_minute', 'provider_day', 'provider_billing', 'user_budget')",
            name=op.f("ck_llm_pacing_blocked_scope"),
        ),
        sa.CheckConstraint("dimension IN ('requests', 'tokens')", name=op.f("ck_llm_pacing_dimension")),
        sa.CheckConstraint(
            "learned IN ('start', 'configured', 'header', 'refusal', 'adapted')", name=op.f("ck_llm_pacing_learned")
        ),
        sa.CheckConstraint("rate > 0", name=op.f("ck_llm_pacing_rate")),
        sa.PrimaryKeyConstraint("provider", "account", "model", "dimension", name=op.f("pk_llm_pacing")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "llm_usage",
        sa.Column("day", sa.Date(), nullable=False, comment="UTC"),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column(
            "user_id", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Empty: the platform itself"
        ),
        sa.Column(
            "reference", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Run or job that spent it"
        ),
        sa.Column("requests", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rate_limited", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("waited_seconds", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=14, scale=6), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "unpriced_tokens",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Tokens of models that the price table does not know; not in the cost",
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "provider", "model", "purpose", "user_id", "reference", name=op.f("pk_llm_usage")
        ),
    )
    op.create_index("ix_llm_usage_reference", "llm_usage", ["reference"], unique=False)
    op.create_index("ix_llm_usage_user_id", "llm_usage", ["user_id", "day"], unique=False)
    op.create_table(
        "llm_budget_reservations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("tokens > 0", name=op.f("ck_llm_budget_reservations_tokens")),
        sa.ForeignKeyConstraint(
            ["user_id", "day"],
            ["llm_budgets.user_id", "llm_budgets.day"],
            name=op.f("fk_llm_budget_reservations_user_id_day_llm_budgets"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_llm_budget_reservations")),
    )
    op.create_index("ix_llm_budget_reservations_user_id", "llm_budget_reservations", ["user_id", "day"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_llm_budget_reservations_user_id", table_name="llm_budget_reservations")
    op.drop_table("llm_budget_reservations")
    op.drop_index("ix_llm_usage_user_id", table_name="llm_usage")
    op.drop_index("ix_llm_usage_reference", table_name="llm_usage")
    op.drop_table("llm_usage")
    op.drop_table("llm_pacing")
    op.drop_table("llm_budgets")
    op.drop_table("llm_budget_limits")
    op.drop_index("ix_llm_batches_open", table_name="llm_batches", postgresql_where=sa.text("ingested_at IS NULL"))
    op.drop_table("llm_batches")
