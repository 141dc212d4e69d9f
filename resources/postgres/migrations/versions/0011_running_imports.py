"""An index of the imports that are under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_import_jobs_running", "import_jobs", ["id"], unique=False, postgresql_where=sa.text("status = 'RUNNING'")
    )


def downgrade() -> None:
    op.drop_index("ix_import_jobs_running", table_name="import_jobs", postgresql_where=sa.text("status = 'RUNNING'"))
