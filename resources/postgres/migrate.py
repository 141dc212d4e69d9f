"""Bringing a database to the schema that this code expects, once, whoever starts first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from resources.errors import PermanentError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

_LOCK = 7_201_604_551_001
"""Key of the advisory lock: any fixed number that nothing else in this database uses."""
_LOCK_WAIT = "2s"
"""How long a migration waits for a table. Who asks for the table meanwhile waits behind it, heartbeats among them."""
_PAUSE = 1.0
"""Seconds in which these have their turn before it is tried again."""
_PATIENCE = 300.0
"""Seconds of trying. A dump takes longer, but holds up an upgrade that can be begun again."""


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
                _to_head(connection, config)
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()
    engine.dispose()
    return before, head_revision()


def _to_head(connection: Connection, config: Config) -> None:
    """Apply what is missing. A migration that cannot have its table at once lets others pass and is tried again."""
    from alembic import command
    from psycopg.errors import LockNotAvailable
    from sqlalchemy import text
    from sqlalchemy.exc import OperationalError

    connection.execute(text("SELECT set_config('lock_timeout', :wait, false)"), {"wait": _LOCK_WAIT})
    connection.commit()
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            command.upgrade(config, "head")
            connection.commit()
        except OperationalError as error:
            connection.rollback()
            if not isinstance(error.orig, LockNotAvailable):
                raise
            if time.monotonic() > end:
                raise SchemaError(
                    f"a migration could not have its table for {_PATIENCE:.0f} s. Look for a long transaction "
                    "(pg_stat_activity; a dump is one), then run `ingest db upgrade`."
                ) from error
        else:
            return
        time.sleep(_PAUSE)


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
