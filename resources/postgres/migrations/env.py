"""Alembic's entry point. The connection is always handed over by `resources.postgres.migrate`, which holds the lock."""

from __future__ import annotations

from alembic import context

from resources.postgres.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
