"""Looking for canaries wherever the platform writes."""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path
from typing import Any

from psycopg import sql

from resources.postgres.database import Database

WORD = "canary"
"""Part of every credential of these tests, and of nothing else."""


def leaks(database: Database) -> list[str]:
    """`table.column: beginning` of every value of the database that holds a canary, compressed or not."""
    found = []
    with database.connect(autocommit=True) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(tables) > 5, "nothing to look at"
        for schema, table in tables:
            cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table)))
            names = [column.name for column in cursor.description or ()]
            for row in cursor:
                for name, value in zip(names, row, strict=True):
                    if WORD in _text(value):
                        found.append(f"{table}.{name}: {_text(value)[:200]}")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    with contextlib.suppress(zlib.error):  # most columns of bytes are not compressed
        value = zlib.decompress(value)
    return value.decode("utf-8", "replace")


def files_with_canaries(folder: Path) -> list[str]:
    """The files under `folder` that hold one."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and WORD.encode() in path.read_bytes()]
