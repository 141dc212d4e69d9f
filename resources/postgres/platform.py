"""Which databases this process works with: the ones it was given, or those of the embedded server.

The launch commands open them once and hand them to their children as DATABASE_URL and DAGSTER_DATABASE_URL, so that one
process starts and stops the server and everybody else only connects.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resources.postgres.database import Database
from resources.postgres.urls import database_name, libpq, with_database
from resources.settings import PlatformSettings

if TYPE_CHECKING:
    from resources.postgres.server import EmbeddedServer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Databases:
    """The platform's database and that of Dagster's own storage, both as libpq URLs."""

    url: str = field(repr=False)
    dagster_url: str = field(repr=False)
    embedded: bool
    patience: float
    server: EmbeddedServer | None = field(default=None, repr=False)
    """The embedded server that this process holds."""

    @property
    def database(self) -> Database:
        return Database(self.url, patience=self.patience)

    def bring_back(self) -> None:
        """Start the embedded server anew when it was killed. Harmless when it runs; nothing where it is somebody else's.

        Whoever works waits for the server, and only a new holder would start it: programs that run for days have to do
        so themselves. Does not raise: who could not start it tries again later.
        """
        from resources.postgres.server import EmbeddedServerBusyError, EmbeddedServerError

        if self.server is None:
            return
        try:
            self.server.start()
        except (EmbeddedServerError, EmbeddedServerBusyError) as error:
            log.warning("PostgreSQL could not be started again: %s", error)


@contextmanager
def open_databases(settings: PlatformSettings | None = None) -> Iterator[Databases]:
    """The databases, for as long as the context lasts; an embedded server stops with its last user.

    Raises `EmbeddedServerError` when the embedded server cannot start, with the reason and the end of its log.
    """
    settings = settings or PlatformSettings()
    if settings.database_url is not None:
        yield _external(settings, settings.database_url.get_secret_value())
        return
    from resources.postgres.server import EmbeddedServer

    server = EmbeddedServer(settings.home / "postgres", tcp_port=settings.postgres_port)
    server.start()
    try:
        server.ensure_database("ingestion")
        server.ensure_database("ingestion_dagster")
        yield Databases(
            url=server.url("ingestion"),
            dagster_url=server.url("ingestion_dagster"),
            embedded=True,
            patience=settings.database_patience,
            server=server,
        )
    finally:
        server.release()


def _external(settings: PlatformSettings, given: str) -> Databases:
    url = libpq(given)
    if settings.dagster_database_url is not None:
        dagster_url = libpq(settings.dagster_database_url.get_secret_value())
    else:
        dagster_url = with_database(url, f"{database_name(url)}_dagster")
        _create_if_missing(url, f"{database_name(url)}_dagster")
    return Databases(url=url, dagster_url=dagster_url, embedded=False, patience=settings.database_patience)


def _create_if_missing(url: str, name: str) -> None:
    import psycopg
    from psycopg import sql

    from resources.errors import PermanentError

    with Database(url).connect(role="setup", autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            return
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.errors.DuplicateDatabase:
            return  # another process was faster
        except psycopg.errors.InsufficientPrivilege:
            raise PermanentError(
                f"the role of DATABASE_URL may not create the database {name!r} for Dagster's storage. "
                "Create it, or name an existing one in DAGSTER_DATABASE_URL."
            ) from None
