"""An index of when events end, for lists that hold what is still on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_deduplicated_events_ends",
        "deduplicated_events",
        [
            sa.literal_column("((event -> 'end') ->> 'date')"),
            "event_id",
        ],
        unique=False,
        postgresql_where=sa.text("replaced_by IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_deduplicated_events_ends",
        table_name="deduplicated_events",
        postgresql_where=sa.text("replaced_by IS NULL"),
    )
