"""Bringing a database to the schema that this code expects, once, whoever starts first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resources.errors import PermanentError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

_LOCK = 7_201_604_551_001
"""Key of the advisory lock: any fixed number that nothing else in this database uses."""


class SchemaError(PermanentError):
    """The database is not at the revision that this code was written for."""


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def head_revision() -> str:
    """The newest revision that this code knows."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the package ships at least one migration"  # noqa: S101
    return head


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None when it is empty."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the database at `url` (SQLAlchemy form) to the newest revision.

    Returns the revisions before and after. Processes that start together queue on an advisory lock, so each migration
    runs once. Raises `SchemaError` when the database is newer than this code.
    """
    from alembic import command
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    config = _config()
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        # Held by the session, not the transaction: Alembic commits after each migration.
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()
        try:
            before = current_revision(connection)
            connection.commit()
            _refuse_newer(before)
            if before != head_revision():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()
    engine.dispose()
    return before, head_revision()


def _refuse_newer(revision: str | None) -> None:
    """An upgrade is no remedy for a database that is ahead of this code."""
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaError(
            f"the database is at revision {revision!r}, which this version does not know: "
            "it was upgraded by a newer one. Install that version, or restore a backup."
        )


def require_current(url: str) -> None:
    """Raise `SchemaError` when the database at `url` (SQLAlchemy form) is not at the newest revision. Changes nothing."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        found = current_revision(connection)
    engine.dispose()
    _refuse_newer(found)
    if found != head_revision():
        raise SchemaError(
            f"the database is at revision {found or 'none'} and this version needs {head_revision()}: "
            "run `ingest db upgrade` (docs/operations.md says in which order)."
        )
