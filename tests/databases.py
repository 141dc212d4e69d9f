"""Databases that tests make and drop."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from psycopg import sql

from resources.postgres.database import Database
from resources.postgres.urls import database_name, with_database


def scratch_folder() -> str:
    """Where tests make clusters: in memory where there is room, since hundreds of databases are made of 300 files each.

    Not pytest's folder: that has mode 0700, so as root the server could not live in it.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30
    return str(memory if roomy else "/var/tmp")


class Databases:
    """Makes and drops databases on one server."""

    def __init__(self, url: str) -> None:
        self.server = Database(url, patience=10)
        self._made: list[str] = []

    def create(self, *, template: str | None = None) -> str:
        """The libpq URL of a new database, a copy of the one that `template` is the URL of."""
        name = f"ingestion_test_{uuid.uuid4().hex}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(database_name(template)))
        with self.server.connect(autocommit=True) as connection:
            connection.execute(statement)
        self._made.append(name)
        return with_database(self.server.url, name)

    def drop_all(self) -> None:
        with self.server.connect(autocommit=True) as connection:
            for name in self._made:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self._made.clear()
