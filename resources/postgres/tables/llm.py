"""What calls to LLM providers share between processes: pace, usage, budgets and batches under way."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from resources.postgres.tables.base import metadata, moment, one_of

_SCOPES = one_of("blocked_scope", "provider_minute", "provider_day", "provider_billing", "user_budget")


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


llm_pacing = Table(
    "llm_pacing",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("account", Text, primary_key=True, comment="Hash of key and endpoint; the key cannot be read back"),
    Column("model", Text, primary_key=True),
    Column("dimension", Text, primary_key=True),
    Column("version", BigInteger, nullable=False, comment="Compared and raised by every write: nobody holds a lock"),
    Column("empty_at", Double, nullable=False, comment="Unix time at which the bucket was, or will be, empty"),
    Column("rate", Double, comment="Units per second; NULL while nothing is known"),
    Column("ceiling", Double, nullable=False, comment="Units of saved-up credit that are trusted"),
    Column("granted", Double, nullable=False, comment="Units handed out since the row was made"),
    Column("learned", Text, nullable=False, comment="Where the rate comes from"),
    Column("slowed_at", Double, nullable=False, comment="Unix time of the last cut after a refusal"),
    Column("raised_at", Double, nullable=False, comment="Unix time of the last careful raise"),
    Column("refusals", BigInteger, nullable=False),
    moment("blocked_until"),
    Column("blocked_scope", Text),
    Column("blocked_reason", Text),
    moment("updated_at", now=True),
    CheckConstraint(one_of("dimension", "requests", "tokens"), name="dimension"),
    CheckConstraint(one_of("learned", "start", "configured", "header", "refusal", "adapted"), name="learned"),
    CheckConstraint(_SCOPES, name="blocked_scope"),
    CheckConstraint("rate > 0", name="rate"),
    # Every call of every process rewrites it: room on the page keeps the updates away from the index.
    postgresql_with={"fillfactor": "50"},
)
"""The pace of one account with one model, for requests and for tokens: a token bucket shared by all processes."""

llm_usage = Table(
    "llm_usage",
    metadata,
    Column("day", Date, primary_key=True, comment="UTC"),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    # No foreign key: what was paid for stays in the books after its user is gone.
    Column("user_id", Text, primary_key=True, server_default=text("''"), comment="Empty: the platform itself"),
    Column("reference", Text, primary_key=True, server_default=text("''"), comment="Run or job that spent it"),
    _count("requests"),
    _count("rate_limited"),
    _count("input_tokens"),
    _count("output_tokens"),
    _count("cached_tokens"),
    Column("waited_seconds", Double, nullable=False, server_default=text("0")),
    Column("cost_usd", Numeric(14, 6), nullable=False, server_default=text("0")),
    Column(
        "unpriced_tokens",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Tokens of models that the price table does not know; not in the cost",
    ),
    moment("updated_at", now=True),
    Index("ix_llm_usage_user_id", "user_id", "day"),
    Index("ix_llm_usage_reference", "reference"),
)
"""What was spent, by day, model, purpose, user and run."""

llm_budget_limits = Table(
    "llm_budget_limits",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("tokens_per_day", BigInteger, nullable=False),
    moment("changed_at", now=True),
    CheckConstraint("tokens_per_day >= 0", name="tokens_per_day"),
)
"""Users whose daily budget differs from LLM_DAILY_TOKEN_BUDGET."""

llm_budgets = Table(
    "llm_budgets",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("day", Date, primary_key=True, comment="UTC"),
    _count("used_tokens"),
    CheckConstraint("used_tokens >= 0", name="used_tokens"),
)
"""Tokens that a user has spent on a day."""

llm_budget_reservations = Table(
    "llm_budget_reservations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("purpose", Text, nullable=False),
    moment("created_at", now=True),
    moment("expires_at", nullable=False),
    CheckConstraint("tokens > 0", name="tokens"),
    ForeignKeyConstraint(["user_id", "day"], ["llm_budgets.user_id", "llm_budgets.day"], ondelete="CASCADE"),
    Index("ix_llm_budget_reservations_user_id", "user_id", "day"),
)
"""Tokens set aside for accepted work. One that is never settled stops counting when it expires."""

llm_batches = Table(
    "llm_batches",
    metadata,
    Column("batch_id", Text, primary_key=True, comment="As the provider calls it"),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("items", JSONB, nullable=False, comment="custom_id -> what the answer is for, as the submitter needs it"),
    moment("submitted_at", now=True),
    moment("polled_at"),
    moment("finished_at"),
    moment("ingested_at"),
    Column("error_text", Text),
    CheckConstraint(
        one_of(
            "state",
            "validating",
            "in_progress",
            "finalizing",
            "completed",
            "expired",
            "cancelling",
            "cancelled",
            "failed",
        ),
        name="state",
    ),
    Index("ix_llm_batches_open", "submitted_at", postgresql_where=text("ingested_at IS NULL")),
)
"""Batches handed to a provider, until their results are in."""
