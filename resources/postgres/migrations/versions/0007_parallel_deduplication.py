"""Several deduplications at once, each on weeks of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("uq_import_jobs_running", table_name="import_jobs", postgresql_where=sa.text("status = 'RUNNING'"))
    op.create_index(
        "uq_import_jobs_running",
        "import_jobs",
        ["source"],
        unique=True,
        postgresql_where=sa.text("status = 'RUNNING' AND source <> 'deduplicated_events'"),
    )
    # Ranges of dates have an operator class of PostgreSQL's own; with the source in it this would need an extension.
    op.execute(
        "ALTER TABLE import_jobs ADD CONSTRAINT ex_import_jobs_weeks EXCLUDE USING gist"
        " (daterange(partition_start, partition_end, '[]') WITH &&)"
        " WHERE (status = 'RUNNING' AND source = 'deduplicated_events')"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE import_jobs DROP CONSTRAINT ex_import_jobs_weeks")
    op.drop_index("uq_import_jobs_running", table_name="import_jobs")
    # The old rule allows one of them only; the others are taken over by their retries.
    op.execute(
        "UPDATE import_jobs j SET status = 'ERROR', finished_at = now(), error_code = 'superseded',"
        " error_text = 'closed by a migration' WHERE status = 'RUNNING' AND source = 'deduplicated_events'"
        " AND EXISTS (SELECT FROM import_jobs o WHERE o.source = j.source AND o.status = 'RUNNING' AND o.id > j.id)"
    )
    op.create_index(
        "uq_import_jobs_running", "import_jobs", ["source"], unique=True, postgresql_where=sa.text("status = 'RUNNING'")
    )
